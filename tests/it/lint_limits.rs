//! What the lint takes for a limit, and what makes a place an exception.

use crate::lint_command::{finds_what_is_marked, lint, places, tree};

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_never_ends_anything_is_none() {
    finds_what_is_marked(
        "endless",
        r#"
use std::time::Duration;
const NEVER: Duration = Duration::MAX;
const SOON: Duration = Duration::from_secs(30);
const AS_LONG: Duration = NEVER;
fn f(wanted: Option<Duration>, patient: bool) {
    reqwest::Client::builder().timeout(Duration::MAX).build(); // !
    reqwest::Client::builder().timeout(std::time::Duration::MAX).build(); // !
    reqwest::Client::builder().timeout(NEVER).build(); // !
    reqwest::Client::builder().timeout(AS_LONG).build(); // !
    reqwest::Client::builder().timeout(Duration::from_secs(u64::MAX)).build(); // !
    reqwest::Client::builder().timeout(Duration::from_secs(u32::MAX as u64)).build(); // !
    reqwest::Client::builder().timeout(Duration::from_millis(99_999_999_999_999)).build(); // !
    reqwest::Client::builder().timeout(wanted.unwrap_or(Duration::MAX)).build(); // !
    reqwest::Client::builder().timeout(wanted.unwrap_or_else(|| NEVER)).build(); // !
    reqwest::Client::builder().timeout(if patient { NEVER } else { SOON }).build(); // !
    reqwest::Client::builder().timeout(match wanted { Some(d) => d, None => Duration::MAX }).build(); // !
    ureq::Agent::config_builder().timeout_global(Some(Duration::MAX)).build(); // !
    ureq::Agent::config_builder().timeout_global(if patient { None } else { Some(SOON) }).build(); // !
    let builder = reqwest::Client::builder(); // !
    let builder = builder.timeout(Duration::MAX);
    tokio::time::timeout(Duration::MAX, tokio::net::TcpStream::connect("x")); // !
    unwedge::within(NEVER, tokio::net::TcpStream::connect("x")); // !

    reqwest::Client::builder().timeout(SOON).build();
    reqwest::Client::builder().timeout(NEVER.min(SOON)).build();
    reqwest::Client::builder().timeout(wanted.unwrap_or(SOON)).build();
    reqwest::Client::builder().timeout(Duration::from_secs(86_400)).build();
    reqwest::Client::builder().timeout(Duration::MAX).read_timeout(SOON).build();
    reqwest::Client::builder().timeout(if patient { SOON * 2 } else { SOON }).build();
    ureq::Agent::config_builder().timeout_global(wanted).build();
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_set_in_some_cases_only_is_none() {
    finds_what_is_marked(
        "sometimes",
        r#"
use reqwest::Client;
use std::time::Duration;
const D: Duration = Duration::from_secs(30);
fn if_there_is_one(wanted: Option<Duration>) {
    let mut builder = Client::builder(); // !
    if let Some(wanted) = wanted {
        builder = builder.timeout(wanted);
    }
    builder.build();
}
fn by_an_expression(patient: bool) {
    let builder = Client::builder().user_agent("x"); // !
    let builder = if patient { builder } else { builder.timeout(D) };
    builder.build();
}
fn by_a_match(n: u32) {
    let builder = Client::builder(); // !
    let builder = match n { 0 => builder.timeout(D), _ => builder.user_agent("x") };
}
fn in_a_loop(limits: &[Duration]) {
    let mut builder = Client::builder(); // !
    for limit in limits { builder = builder.timeout(*limit); }
    while wanted() { builder = builder.timeout(D); }
}
fn by_a_closure(wanted: Option<Duration>) {
    let builder = Client::builder(); // !
    let builder = wanted.map_or(builder.clone(), |wanted| builder.timeout(wanted));
}
fn in_one_branch_alone(patient: bool) -> Client {
    if patient {
        let builder = Client::builder(); // !
        builder.build()
    } else {
        let builder = Client::builder();
        builder.timeout(D).build()
    }
}
fn in_each_case(patient: bool, n: u32) {
    let one = Client::builder();
    let one = if patient { one.timeout(D * 2) } else { one.timeout(D) };
    let two = Client::builder();
    let two = match n {
        0 => two.timeout(D),
        1 => return,
        2 => panic!("two"),
        _ => two.read_timeout(D),
    };
    let three = Client::builder();
    if patient {
        return;
    }
    let three = { three.timeout(D) };
    let four = if patient { Client::builder().user_agent("x") } else { Client::builder() };
    four.timeout(D).build();
    let five = Client::builder();
    let named = five.user_agent("x");
    let done = loop { break named.timeout(D) };
    let mut six;
    six = Client::builder();
    six = six.timeout(D);
}
async fn in_a_task() {
    let builder = Client::builder();
    tokio::spawn(async move { builder.timeout(D).build() });
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_builder_falls_back_to_has_no_limit() {
    finds_what_is_marked(
        "falls_back",
        r#"
use std::time::Duration;
const D: Duration = Duration::from_secs(30);
struct Kept { client: Result<reqwest::Client, reqwest::Error> }
fn f(kept: Kept, made: reqwest::Result<reqwest::Client>, text: Option<String>) {
    reqwest::Client::builder().timeout(D).build().unwrap_or_default(); // !
    reqwest::ClientBuilder::new().timeout(D).build().ok().unwrap_or_default(); // !
    reqwest::Client::builder().timeout(D).build().unwrap_or_else(|_| Default::default()); // !
    reqwest::Client::builder().timeout(D).build().unwrap_or_else(|_| reqwest::Client::new()); // !
    let builder = reqwest::Client::builder().timeout(D);
    builder.build().unwrap_or_default(); // !
    let built = reqwest::Client::builder().timeout(D).build();
    built.unwrap_or_default(); // !
    kept.client.unwrap_or_default(); // !
    made.unwrap_or_default(); // !

    text.unwrap_or_default();
    reqwest::blocking::Client::builder().build().unwrap_or_default();
    reqwest::Client::builder().timeout(D).build().unwrap_or_else(|_| house::client());
    unwedge::Client::builder().build().unwrap_or_default();
    let answer = reqwest::Client::builder().timeout(D).build().map(|client| client.get("x")).unwrap();
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_with_a_reason_accepts_the_place_on_its_line_or_below() {
    let source = r##"
fn f() {
    reqwest::get("x"); // unwedge: bounded by the watchdog of the job
    // unwedge: bounded by a scope around all of it
    reqwest::get("x");
    // unwedge: bounded by the proxy,
    // which ends what takes longer than a minute
    let client = house::with(
        reqwest::Client::new(),
    );
    //unwedge: bounded by nothing that takes long
    #[allow(unused)]
    let other = reqwest::Client::new();
    // unwedge: bounded by this
    reqwest::Client::builder()
        .user_agent("x")
        .build();
    reqwest::get("// unwedge: bounded by a text");
    reqwest::get(r#"
        // unwedge: bounded by a text"#);
    /// unwedge: bounded by a document
    reqwest::get("x");
    /* // unwedge: bounded by a longer comment */ reqwest::get("x");
    // unwedge: bounded by the line below, which is another

    reqwest::get("x");
    // an unwedge: bounded by
    reqwest::get("x");
}
// unwedge: bounded by the callers
static CLIENT: std::sync::LazyLock<reqwest::Client> =
    std::sync::LazyLock::new(reqwest::Client::new);
#[derive(Default)]
struct Kept {
    // unwedge: bounded by its callers
    client: reqwest::Client,
}
fn g(n: u32) {
    match n {
        // unwedge: bounded by the arm
        0 => drop(reqwest::get("x")),
        1 => drop('"'), // reqwest
        _ => drop(reqwest::get("x")), // unwedge: bounded by the last arm
    }
}
"##;
    let ran = lint(&tree("accepted", &[("src/lib.rs", source)]), &[]).await;
    let expected = [
        "src/lib.rs:3 unbounded-call reqwest::get the watchdog of the job",
        "src/lib.rs:5 unbounded-call reqwest::get a scope around all of it",
        "src/lib.rs:9 unbounded-client reqwest::Client::new the proxy, which ends what takes longer than a minute",
        "src/lib.rs:13 unbounded-client reqwest::Client::new nothing that takes long",
        "src/lib.rs:15 unbounded-client reqwest::Client::builder this",
        "src/lib.rs:18 unbounded-call reqwest::get",
        "src/lib.rs:19 unbounded-call reqwest::get",
        "src/lib.rs:22 unbounded-call reqwest::get",
        "src/lib.rs:23 unbounded-call reqwest::get",
        "src/lib.rs:26 unbounded-call reqwest::get",
        "src/lib.rs:28 unbounded-call reqwest::get",
        "src/lib.rs:32 unbounded-client reqwest::Client::new the callers",
        "src/lib.rs:36 unbounded-client reqwest::Client::default (derived by Kept) its callers",
        "src/lib.rs:41 unbounded-call reqwest::get the arm",
        "src/lib.rs:43 unbounded-call reqwest::get the last arm",
    ];
    assert_eq!(places(&ran), expected);
    assert_eq!(ran.code, Some(1));
    let good = "fn f() {\n    // unwedge: bounded by the watchdog\n    reqwest::get(\"x\");\n}\n";
    assert_eq!(lint(&tree("accepted_all", &[("a.rs", good)]), &[]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_without_a_reason_accepts_nothing_and_is_a_finding_where_there_is_no_other() {
    let source = "\
fn f() {
    reqwest::get(\"x\"); // unwedge: bounded by
    // unwedge: bounded by .
    reqwest::get(\"x\");
    // unwedge: bounded by
    house::get(\"x\");
    // unwedge: bounded bytes
    house::get(\"x\");
}
";
    let ran = lint(&tree("accepted_blank", &[("src/lib.rs", source)]), &[]).await;
    let expected = [
        "src/lib.rs:2 unbounded-call reqwest::get",
        "src/lib.rs:4 unbounded-call reqwest::get",
        "src/lib.rs:5 vouch // unwedge: bounded by",
    ];
    assert_eq!(places(&ran), expected);
    assert!(ran.stdout.lines().last().unwrap().contains("say what bounds the wait"), "{}", ran.stdout);
}
