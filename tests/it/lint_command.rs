//! The lint as people run it: what it finds, what it leaves alone, and how it ends.

use crate::program::{Ran, run};
use std::fs;
use std::path::PathBuf;

/// A directory with these files, new for each test.
pub(crate) fn tree(test: &str, files: &[(&str, &str)]) -> PathBuf {
    let top = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lint_command").join(test);
    let _ = fs::remove_dir_all(&top);
    fs::create_dir_all(&top).expect("a directory below target");
    for (path, text) in files {
        let path = top.join(path);
        fs::create_dir_all(path.parent().expect("it is below")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    top
}

pub(crate) async fn lint(top: &std::path::Path, args: &[&str]) -> Ran {
    run("lint", &[&[top.to_str().expect("a path in UTF-8"), "--json"], args].concat()).await
}

/// `file:line rule what reason`, the reason only where there is one.
pub(crate) fn places(ran: &Ran) -> Vec<String> {
    let place = |object: serde_json::Value| {
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let line = format!(
            "{}:{} {} {} {}",
            text("file"),
            object["line"],
            text("rule"),
            text("what"),
            text("reason")
        );
        line.trim_end().to_owned()
    };
    ran.objects().into_iter().map(place).collect()
}

/// Each line that ends in `// !` must be found, and no other.
pub(crate) async fn finds_what_is_marked(test: &str, source: &str) {
    let top = tree(test, &[("src/lib.rs", source)]);
    let ran = lint(&top, &[]).await;
    let found: Vec<u64> =
        ran.objects().iter().map(|object| object["line"].as_u64().expect("a line")).collect();
    let marked = source.lines().enumerate().filter(|(_, line)| line.ends_with("// !"));
    let marked: Vec<u64> = marked.map(|(index, _)| index as u64 + 1).collect();
    assert!(!marked.is_empty());
    assert_eq!(found, marked, "{test}: {:#?}", places(&ran));
    assert_eq!(ran.code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_aliases_and_globs_lead_to_the_client_behind_them() {
    finds_what_is_marked(
        "aliases",
        r#"
use reqwest as r;
use reqwest::{Client as C, blocking};
use hyper_util::client::legacy::{self, Client as Legacy};
extern crate ureq as u;
type Http = reqwest::Client;
mod inner {
    use super::*;
    fn f() { C::new(); } // !
    fn g() { super::Http::new(); } // !
    mod deeper { fn f() { super::super::r::get("x"); } } // !
}
mod globbed {
    use reqwest::*;
    fn f() { Client::new(); } // !
}
fn get(url: &str) {}
fn f() {
    r::Client::new(); // !
    blocking::get("x");
    blocking::Client::builder().timeout(None); // !
    ::reqwest::Client::default(); // !
    <reqwest::Client as Default>::default(); // !
    legacy::Builder::new(exec); // !
    Legacy::builder(exec).build_http(); // !
    u::get("x").call(); // !
    let c: Http = Default::default(); // !
    c.unwrap_or_else(C::new); // !
    get("x");
    use std::net::TcpStream as Socket;
    Socket::connect("x"); // !
}
#[derive(Clone, Default)]
struct Kept {
    client: C, // !
    maybe: Option<C>,
}
fn fall_back(kept: &Kept) -> C { kept.maybe.clone().unwrap_or_default() } // !
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_is_told_by_the_type_of_its_place() {
    finds_what_is_marked(
        "defaults",
        r#"
use reqwest::Client;
use reqwest_middleware::ClientWithMiddleware as Chain;
use std::sync::{Arc, LazyLock, OnceLock};
static CLOSURE: LazyLock<Client> = LazyLock::new(|| Default::default()); // !
static BLOCK: LazyLock<Arc<Client>> = LazyLock::new(|| { let _ = 1; Default::default() }); // !
static NAMED: LazyLock<Client> = LazyLock::new(Default::default); // !
static FULL: LazyLock<Client> = LazyLock::new(Client::new); // !
static NOTHING: OnceLock<Client> = OnceLock::new();
static MAYBE: LazyLock<Option<Client>> = LazyLock::new(Default::default);
static OURS: LazyLock<unwedge::Client> = LazyLock::new(Default::default);
struct Mine;
impl Mine {
    fn client(&self) -> Client { Default::default() } // !
    fn count(&self) -> usize { Default::default() }
}
fn made() -> Client { Default::default() } // !
fn chain(kept: Option<Chain>) -> Chain { kept.unwrap_or_default() } // !
fn bare() { Chain::default(); } // !
fn ready(kept: Option<Chain>) -> Chain { kept.unwrap_or_else(unwedge::reqwest::client) }
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sets_a_limit_and_what_only_looks_alike_is_left_alone() {
    finds_what_is_marked(
        "limits",
        r#"
use std::time::Duration;
struct Client;
impl Client { fn new() -> Client { Client } }
const D: Duration = Duration::from_secs(30);
async fn f() {
    Client::new();
    // reqwest::Client::new()
    let _ = "reqwest::Client::new()";
    reqwest::Client::builder().timeout(D).build();
    reqwest::Client::builder().user_agent("x").read_timeout(D).build();
    reqwest::Client::builder().connect_timeout(D).build(); // !
    reqwest::blocking::Client::builder().timeout(None).build(); // !
    let builder = reqwest::Client::builder();
    let builder = builder.timeout(D);
    let forgotten = reqwest::Client::builder(); // !
    ureq::Agent::config_builder().timeout_global(Some(D)).build();
    ureq::Agent::config_builder().timeout_global(None).build(); // !
    tokio::time::timeout(D, tokio::net::TcpStream::connect("x")).await;
    unwedge::within(D, async { tokio::net::TcpStream::connect("x").await }).await;
    tokio::net::TcpStream::connect("x").await; // !
    tokio::time::timeout(D, reqwest::get("x")).await; // !
    unwedge::StackLayer::default().layer(hyper_util::client::legacy::Client::builder(e).build_http());
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn macros_are_looked_into_where_they_read_as_rust() {
    finds_what_is_marked(
        "macros",
        r#"
macro_rules! client { ($x:expr) => { reqwest::Client::new() }; } // !
async fn f() {
    println!("{:?}", reqwest::get("x").await); // !
    let v = vec![reqwest::Client::new(); 2]; // !
    tokio::select! {
        answer = reqwest::get("x") => drop(answer), // !
        _ = done.recv() => { ureq::get("x").call(); } // !
    }
    assert!(true, "reqwest::get");
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_opt_out_is_listed_with_its_reason_and_a_blank_one_is_a_finding() {
    let source = r#"
use unwedge::{LongPoll, long_poll, vouch};
const WHY: &str = "jobs are parked";
fn f() {
    long_poll!("the broker holds it");
    LongPoll::because(WHY).unbounded();
    LongPoll::because(" ");
    vouch(reqwest::Client::new(), "a proxy cuts it off");
    #[expect(clippy::disallowed_methods, reason = "one shot, under a watchdog")]
    let _ = reqwest::get("x");
    #[allow(clippy::disallowed_methods)]
    reqwest::get("x");
}
"#;
    let top = tree("reasons", &[("src/lib.rs", source)]);
    let ran = lint(&top, &[]).await;
    let expected = [
        "src/lib.rs:5 long-poll unwedge::long_poll! the broker holds it",
        "src/lib.rs:6 long-poll unwedge::LongPoll::unbounded jobs are parked",
        "src/lib.rs:7 long-poll unwedge::LongPoll::because",
        "src/lib.rs:8 vouch unwedge::vouch a proxy cuts it off",
        "src/lib.rs:8 unbounded-client reqwest::Client::new a proxy cuts it off",
        "src/lib.rs:10 unbounded-call reqwest::get one shot, under a watchdog",
        "src/lib.rs:12 unbounded-call reqwest::get",
    ];
    assert_eq!(places(&ran), expected);
    let first = ran.stdout.lines().next().expect("a line");
    let keys = [
        r#"{"file":"src/lib.rs","#,
        r#""line":5,"#,
        r#""column":5,"#,
        r#""rule":"long-poll","#,
        r#""what":"unwedge::long_poll!","#,
        r#""reason":"the broker holds it"}"#,
    ];
    assert_eq!(first, keys.concat());
    assert!(ran.stdout.contains(r#""reason":null"#));
    let good = tree("good", &[("src/lib.rs", "fn f() { unwedge::long_poll!(\"held\"); }")]);
    assert_eq!(lint(&good, &[]).await.code, Some(0), "every place has a reason");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_read_with_its_renames_and_re_exports_and_without_its_tests() {
    let call = "fn f() { reqwest::get(\"x\"); }\n";
    let top = tree(
        "workspace",
        &[
            (
                "Cargo.toml",
                "[workspace]\nmembers = [\"a\", \"b\"]\n[workspace.dependencies]\nnet = { package = \"reqwest\", version = \"0.13\" }\n",
            ),
            (
                "a/Cargo.toml",
                "[package]\nname = \"a\"\n[dependencies]\nnet.workspace = true\nb = { path = \"../b\" }\n",
            ),
            (
                "a/src/lib.rs",
                "mod inner;\n#[cfg(test)]\nmod only;\npub use net::Client as Http;\nfn f() { b::Raw::new(); }\n",
            ),
            (
                "a/src/inner.rs",
                "fn f() { crate::Http::new(); }\n#[cfg(test)]\nmod tests { fn f() { reqwest::get(\"x\"); } }\n",
            ),
            ("a/src/only.rs", call),
            ("a/tests/t.rs", call),
            ("a/benches/b.rs", call),
            (
                "b/Cargo.toml",
                "[package]\nname = \"b\"\n[dependencies]\nreqwest = { package = \"ours\", version = \"1\" }\nhttp-client = { package = \"isahc\", version = \"2\" }\n",
            ),
            ("b/src/lib.rs", "pub use http_client::HttpClient as Raw;\nfn f() { reqwest::get(\"x\"); }\n"),
            ("vendor/v/src/lib.rs", call),
        ],
    );
    let ran = lint(&top, &["--exclude", "vendor"]).await;
    let inner = "a/src/inner.rs:1 unbounded-client reqwest::Client::new";
    let other = "a/src/lib.rs:5 unbounded-client isahc::HttpClient::new";
    assert_eq!(places(&ran), [inner, other]);
    let with_tests = places(&lint(&top, &["--exclude", "vendor", "--tests"]).await);
    for file in ["a/benches/b.rs:1", "a/src/only.rs:1", "a/tests/t.rs:1", "a/src/inner.rs:3"] {
        assert!(with_tests.iter().any(|place| place.starts_with(file)), "{file}: {with_tests:#?}");
    }
    assert_eq!(with_tests.len(), 6, "{with_tests:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_syntax_is_reported_by_file_and_line_and_the_walk_goes_on() {
    let deep = format!("fn f() {{ {}1{} }}", "(".repeat(5000), ")".repeat(5000));
    let files = [
        ("a.rs", "fn f() {\n  let = ;\n}\n"),
        ("b.rs", &deep),
        ("c.rs", "fn f() { reqwest::get(\"x\"); }"),
        ("d.rs", ""),
    ];
    let ran = lint(&tree("syntax", &files), &[]).await;
    let places = places(&ran);
    assert_eq!(places.len(), 3, "{places:#?}");
    assert!(places[0].starts_with("a.rs:2 syntax "), "{places:#?}");
    assert_eq!(places[1], "b.rs:1 syntax nested deeper than 200 brackets");
    assert_eq!(places[2], "c.rs:1 unbounded-call reqwest::get");
    assert_eq!(ran.code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_argument_ends_with_two_its_value_and_the_rule_and_nothing_on_standard_output() {
    let top = tree("bad", &[("a.rs", "fn f() { reqwest::get(\"x\"); }")]);
    let file = top.join("a.rs");
    let (top_path, file) = (top.to_str().unwrap(), file.to_str().unwrap());
    let nowhere = format!("{top_path}/no/such/report.sarif");
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&[file], "is no directory"),
        (&["no-such-directory"], "no-such-directory"),
        (&[top_path, "again"], "one argument too many"),
        (&[top_path, "--bogus"], "unknown option --bogus"),
        (&[top_path, "--print", "gcc"], "\"gcc\": clippy, strict or deny"),
        (&[top_path, "--exclude", "a[b"], "a[b"),
        (&[top_path, "--sarif", &nowhere], "report.sarif"),
    ];
    for (args, rule) in cases {
        let ran = run("lint", args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(rule), "{args:?}: {}", ran.stderr);
    }
    fs::write(top.join("latin.rs"), b"// fine\nfn f() {} // caf\xe9\n").unwrap();
    let ran = run("lint", &[top_path]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert!(
        ran.stderr.contains("latin.rs:2: not UTF-8") && ran.stderr.contains("--exclude"),
        "{}",
        ran.stderr
    );
    assert_eq!(run("lint", &[top_path, "--exclude", "latin.rs"]).await.code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_are_printed_and_what_is_there_stays_as_it_is() {
    let top = tree("print", &[("clippy.toml", "# mine\n")]);
    let path = top.to_str().unwrap();
    let clippy = run("lint", &[path, "--print", "clippy"]).await;
    assert_eq!(
        (clippy.code, clippy.stdout.as_str()),
        (Some(0), include_str!("../../src/manual/lints/clippy.toml"))
    );
    assert!(clippy.stderr.contains("clippy.toml is there and stays as it is"), "{}", clippy.stderr);
    assert_eq!(fs::read_to_string(top.join("clippy.toml")).unwrap(), "# mine\n");
    let strict = run("lint", &[path, "--print", "strict"]).await;
    assert!(strict.stdout.starts_with(&clippy.stdout) && strict.stdout.contains("disallowed-types"));
    // What a shell has just made for the output.
    fs::write(top.join("deny.toml"), "").unwrap();
    let deny = run("lint", &[path, "--print", "deny"]).await;
    assert_eq!(
        (deny.stdout.as_str(), deny.stderr.as_str()),
        (include_str!("../../src/manual/lints/deny.toml"), "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sarif_report_has_findings_and_suppressed_places_alike() {
    let source = "fn f() { reqwest::get(\"x\"); unwedge::long_poll!(\"held\"); }";
    let top = tree("sarif", &[("a b.rs", source)]);
    let report = top.join("report.sarif");
    let ran = run("lint", &[top.to_str().unwrap(), "--sarif", report.to_str().unwrap()]).await;
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(report["version"], "2.1.0");
    let driver = &report["runs"][0]["tool"]["driver"];
    assert_eq!(
        (&driver["name"], &driver["version"]),
        (&"cargo-unwedge".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let results = &report["runs"][0]["results"];
    assert_eq!(results[0]["ruleId"], "unbounded-call");
    assert!(results[0].get("suppressions").is_none());
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(
        (&place["artifactLocation"]["uri"], &place["region"]["startColumn"]),
        (&"a%20b.rs".into(), &10.into())
    );
    assert_eq!(results[1]["suppressions"][0]["justification"], "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn this_crate_passes_its_own_lint() {
    let ran = run("lint", &[env!("CARGO_MANIFEST_DIR"), "--json"]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.objects().is_empty(), "its own long polls are listed");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn findings_are_a_failure_also_where_nobody_reads_or_can_write_what_it_says() {
    use crate::program::{example, finish};
    use std::process::Stdio;
    let top = tree("unread", &[("src/lib.rs", "fn f() { let c = reqwest::Client::new(); }")]);
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let began = tokio::time::Instant::now();
    for (what, stdout, stderr) in [
        ("standard error is full", Stdio::piped(), full()),
        ("standard error is closed", Stdio::piped(), closed()),
        ("standard output is full", full(), Stdio::piped()),
        ("standard output is closed", closed(), Stdio::piped()),
    ] {
        let mut lint = example("lint");
        lint.arg(&top).stdout(stdout).stderr(stderr);
        let ran = finish(lint.spawn().unwrap(), began).await;
        assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
    }
}
