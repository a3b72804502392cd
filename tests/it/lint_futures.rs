//! Futures that the lint sees bounded: by a timeout around them, a deadline, or a timer beside them; and clients that a branch
//! makes.

use crate::lint_command::{finds_what_is_marked, lint, places, tree};

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_in_a_variable_is_bounded_where_all_ways_go_on_under_a_timeout() {
    finds_what_is_marked(
        "futures_held",
        r#"
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};
const D: Duration = Duration::from_secs(5);
async fn f(a: &str, patient: bool) {
    let c = TcpStream::connect(a);
    timeout(D, c).await;
    let pinned = Box::pin(TcpStream::connect(a));
    unwedge::within(D, pinned).await;
    let named = std::pin::pin!(TcpStream::connect(a));
    timeout(D, named).await;
    let whole = async { TcpStream::connect(a).await?.readable().await };
    timeout(D, whole).await;
    let fused = TcpStream::connect(a).fuse();
    let inside = TcpStream::connect(a);
    timeout(D, async { inside.await?.readable().await }).await;
    let all = join_all(list.iter().map(|a| TcpStream::connect(a)));
    timeout(D, all).await;
    let moved = TcpStream::connect(a);
    let other = moved;
    timeout(D, other).await;
    let extended = TcpStream::connect(a);
    extended.timeout(D).await;
    let later = if patient { timeout(D * 2, fused).await } else { timeout(D, fused).await };
}
async fn in_some_cases(a: &str, patient: bool) {
    let c = TcpStream::connect(a); // !
    if patient { c.await; } else { timeout(D, c).await; }
}
async fn by_nothing(a: &str) {
    let c = TcpStream::connect(a); // !
    c.await;
    let endless = TcpStream::connect(a); // !
    timeout(Duration::MAX, endless).await;
    let lent = TcpStream::connect(a); // !
    tokio::pin!(lent);
    while timeout(D, &mut lent).await.is_err() { warn(); }
}
async fn awaited_before(a: &str) {
    let c = TcpStream::connect(a).await; // !
    timeout(D, c).await;
    timeout(D, handshake(TcpStream::connect(a).await?)).await; // !
    let stream = std::net::TcpStream::connect(a); // !
    stream?.set_read_timeout(Some(D));
}
async fn elsewhere(a: &str) {
    timeout(D, tokio::spawn(async { TcpStream::connect(a).await })).await; // !
    timeout(D, async { set.spawn(TcpStream::connect(a)) }).await; // !
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_beside_a_timer_in_a_select_is_bounded_and_its_handlers_are_not() {
    finds_what_is_marked(
        "futures_selected",
        r#"
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until};
const D: Duration = Duration::from_secs(5);
async fn f(a: &str, on: bool) {
    tokio::select! {
        r = TcpStream::connect(a) => drop(r),
        _ = sleep(D) => {}
    }
    let answer = tokio::select! {
        biased;
        Ok(r) = TcpStream::connect(a), if on => Some(r),
        _ = sleep_until(at) => None,
        else => None,
    };
    futures::select! {
        r = TcpStream::connect(a).fuse() => r,
        _ = tokio::time::sleep(D).fuse() => {}
        complete => {}
    }
    let timer = sleep(D);
    tokio::pin!(timer);
    tokio::select! { r = TcpStream::connect(a) => r, () = &mut timer => {} }
    tokio::select! { r = TcpStream::connect(a) => r, _ = async { sleep(D).await; warn() } => {} }
    let c = TcpStream::connect(a);
    tokio::select! { r = c => r, _ = sleep(D) => {} }
    tokio::select! { t = async { reqwest::get(a).await?.text().await } => t, _ = sleep(D) => {} }
}
async fn nothing_ends_it(a: &str, on: bool) {
    tokio::select! {
        r = TcpStream::connect(a) => drop(r), // !
        _ = shutdown.recv() => {}
    }
    tokio::select! {
        r = TcpStream::connect(a) => drop(r), // !
        _ = sleep(D), if on => {}
    }
    tokio::select! {
        r = TcpStream::connect(a) => drop(r), // !
        _ = sleep(Duration::MAX) => {}
    }
    tokio::select! {
        _ = sleep(D) => { TcpStream::connect(a).await; } // !
        r = reqwest::get(a) => drop(r), // !
    }
    let lent = TcpStream::connect(a); // !
    tokio::pin!(lent);
    loop { tokio::select! { r = &mut lent => break, _ = sleep(D) => warn() } }
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_a_timeout_is_bounded_where_its_body_is_read_in_there_too() {
    let source = r#"
use std::time::Duration;
use tokio::time::timeout;
const D: Duration = Duration::from_secs(5);
async fn f(u: &str) {
    timeout(D, async { reqwest::get(u).await?.text().await }).await;
    unwedge::within(D, async { reqwest::get(u).await?.error_for_status()?.json::<Job>().await }).await;
    timeout(D, async move {
        let answer = reqwest::get(u).await?;
        println!("{}", answer.status());
        answer.bytes().await
    }).await;
    timeout(D, async {
        let mut answer = reqwest::get(u).await?;
        while let Some(chunk) = answer.chunk().await? { write(chunk); }
    }).await;
    timeout(D, async { match reqwest::get(u).await { Ok(answer) => answer.text().await, Err(e) => Err(e) } }).await;
    timeout(D, async { if let Ok(answer) = reqwest::get(u).await { answer.text().await; } }).await;
    timeout(D, async {
        let Ok(answer) = reqwest::get(u).await else { return None };
        let answer = answer.error_for_status().ok()?;
        answer.text().await.ok()
    }).await;
    timeout(D, reqwest::get(u).and_then(|answer| answer.text())).await;
    timeout(D, retry(async || reqwest::get(u).await?.text().await)).await;
    unwedge::Deadline::scope(unwedge::Deadline::after(D), tokio::net::TcpStream::connect(u)).await;
    let whole = async { reqwest::get(u).await?.text().await };
    timeout(D, whole).await;
    unwedge::Deadline::after(D).scope(async { reqwest::get(u).await?.text().await }).await;
    unwedge::Deadline::after(D).scope(tokio::net::TcpStream::connect(u)).await;
    let deadline = unwedge::Deadline::after(D);
    deadline.scope(tokio::net::TcpStream::connect(u)).await;
}
async fn within_the_callers(deadline: unwedge::Deadline, u: &str) {
    deadline.scope(tokio::net::TcpStream::connect(u)).await;
}
async fn not_all_of_it(u: &str, short: bool) {
    timeout(D, reqwest::get(u)).await; // !
    timeout(D, async { reqwest::get(u).await }).await?.text().await; // !
    timeout(D, reqwest::get(u).await?.text()).await; // !
    timeout(D, async {
        let answer = reqwest::get(u).await?; // !
        if short { return answer.text().await }
        Ok(house::keep(answer))
    }).await;
    timeout(D, async { if let Ok(answer) = reqwest::get(u).await { return Some(answer); } None }).await; // !
    timeout(Duration::MAX, async { reqwest::get(u).await?.text().await }).await; // !
    timeout(D, async { ureq::get(u).call()?.text() }).await; // !
    timeout(D, async { tokio::spawn(async { reqwest::get(u).await?.text().await }) }).await; // !
    unwedge::Deadline::after(Duration::MAX).scope(tokio::net::TcpStream::connect(u)).await; // !
    let never = unwedge::Deadline::after(Duration::MAX);
    never.scope(tokio::net::TcpStream::connect(u)).await; // !
    house.scope(tokio::net::TcpStream::connect(u)).await; // !
}
"#;
    finds_what_is_marked("futures_read", source).await;
    let sarif = tree("futures_read_says", &[("src/lib.rs", source)]);
    let file = sarif.join("found.sarif");
    lint(&sarif, &["--sarif", file.to_str().unwrap()]).await;
    let said = std::fs::read_to_string(&file).unwrap();
    assert!(said.contains("put it and the reading of its body under a timeout"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_behind_a_branch_is_there_on_each_of_its_ways() {
    finds_what_is_marked(
        "futures_branches",
        r#"
use reqwest::Client;
use std::time::Duration;
const D: Duration = Duration::from_secs(5);
fn f(proxy: Option<reqwest::Proxy>, plain: bool) {
    let b = Client::builder();
    let client = (match proxy { Some(p) => b.proxy(p), None => b }).timeout(D).build();
    (if plain { Client::builder() } else { Client::builder().use_rustls_tls() }).timeout(D).build();
    (match proxy { Some(p) => (if plain { Client::builder() } else { house::builder() }).proxy(p), None => Client::builder() })
        .read_timeout(D)
        .build();
    let d = Client::builder();
    proxy.map_or(d.clone(), |p| d.proxy(p)).timeout(D).build();
    proxies.into_iter().fold(Client::builder(), |b, p| b.proxy(p)).timeout(D).build();
    let c = Client::builder();
    let c = (if plain { c } else { c.http1_only() }).user_agent("x");
    c.timeout(D).build();
}
fn without(proxy: Option<reqwest::Proxy>, plain: bool) {
    let b = Client::builder(); // !
    let client = (match proxy { Some(p) => b.proxy(p), None => b }).user_agent("x").build();
    (if plain { Client::builder() } else { Client::builder().timeout(D) }).user_agent("x").build(); // !
    (if plain { Client::builder() } else { house::builder() }).timeout(Duration::MAX).build(); // !
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_stack_answers_whether_it_was_a_timeout() {
    let source = r#"
use reqwest_middleware::ClientBuilder;
use reqwest_retry::RetryTransientMiddleware;
use std::sync::Arc;
struct Own;
async fn f(raw: house::Client, policy: Policy) {
    let inner = unwedge::reqwest::builder().inner_client()?;
    match inner.get("x").send().await { Err(e) => e.is_timeout(), _ => false };
    match unwedge::reqwest::builder().inner_client()?.get("x").send().await { Err(e) => e.is_timeout(), _ => false };
    let retrying = ClientBuilder::new(raw).with(RetryTransientMiddleware::new_with_policy(policy)).build();
    match retrying.get("x").send().await { Err(e) => e.is_timeout(), _ => false };
    let shared = ClientBuilder::new(raw).with_arc(Arc::new(RetryTransientMiddleware::new_with_policy(policy))).build();
    match shared.get("x").send().await { Err(e) => e.is_timeout(), _ => false };
    match ClientBuilder::new(raw).build().get("x").send().await { Err(e) => e.is_timeout(), _ => false };

    let ours = ClientBuilder::new(raw).with(unwedge::reqwest::ResilienceMiddleware::from(stack)).build();
    match ours.get("x").send().await { Err(e) => e.is_timeout(), _ => false }; // !
    let unknown = ClientBuilder::new(raw).with(house::resilience()).build();
    match unknown.get("x").send().await { Err(e) => e.is_timeout(), _ => false }; // !
    let own = ClientBuilder::new(raw).with(Own).build();
    match own.get("x").send().await { Err(e) => e.is_timeout(), _ => false }; // !
    let begun = ClientBuilder::new(raw);
    let begun = begun.with(middleware).build();
    match begun.get("x").send().await { Err(e) => e.is_timeout(), _ => false }; // !
    match unwedge::reqwest::client().get("x").send().await { Err(e) => e.is_timeout(), _ => false }; // !
}
"#;
    let manifest = "[package]\nname = \"t\"\n[dependencies]\nunwedge = \"0.1\"\n";
    let top = tree("futures_never_true", &[("Cargo.toml", manifest), ("src/lib.rs", source)]);
    let ran = lint(&top, &[]).await;
    let found: Vec<u64> = ran.objects().iter().map(|object| object["line"].as_u64().unwrap()).collect();
    let marked = source.lines().zip(1..).filter(|(line, _)| line.ends_with("// !")).map(|(_, number)| number);
    assert_eq!(found, marked.collect::<Vec<u64>>(), "{:#?}", places(&ran));
}
