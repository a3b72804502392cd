//! Ordinary days of real servers: nginx, haproxy and nghttpd as Debian has them. The same calls are offered at a fixed rate to both
//! of our clients and to two plain ones, and none of ours may be worse off. Most rows are played where
//! `UNWEDGE_SLOW_TESTS` is set.

mod clients;
mod descriptors;
mod load;
mod process;
mod row;

use clients::Which;
use load::Load;
use process::{Server, Site, haproxy, nghttpd, nginx, signal};
use row::{Front, compare, compare_with, skipped};
use std::time::Duration;
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);
const CLIENTS: usize = clients::ALL.len();

const QUICK: &str = "location / { return 200 good; }";
/// A body of 1.5 KB that takes 50 ms, so that there is something in flight.
const SLOWLY: &str = "sendfile_max_chunk 1k; limit_rate 20k; location / { return 200 $long; }";

/// Whether this row is played here; else the reason is said.
fn slow(haproxy_too: bool) -> bool {
    if nginx().is_none() {
        skipped("no nginx");
        return false;
    }
    if haproxy_too && haproxy().is_none() {
        skipped("no haproxy");
        return false;
    }
    if std::env::var_os("UNWEDGE_SLOW_TESTS").is_none_or(|value| value.is_empty() || value == "0") {
        skipped("rows that take a minute in all: set UNWEDGE_SLOW_TESTS=1");
        return false;
    }
    true
}

fn site<'a>(http2: bool, http: &'a str, server: &'a str) -> Site<'a> {
    Site { http2, workers: 1, http, server }
}

/// What `SLOWLY` sends.
fn long() -> String {
    format!("map $uri $long {{ default {}; }}", "x".repeat(1500))
}

/// Half of `steady`, because each call is two there.
fn through_two(seconds: u32) -> Load {
    Load::new(8, 50, seconds)
}

/// 320 calls a second, so many at once that some are in flight when something happens.
fn steady(seconds: u32) -> Load {
    Load::new(16, 50, seconds)
}

/// Rows of the comparison are measured by hand; none is missing, and none is of a row that is gone.
#[test]
fn every_row_stands_in_the_comparison() {
    let page = include_str!("../../docs/comparison.md");
    let table = page.lines().skip_while(|line| !line.starts_with("| the server ")).skip(2);
    let named: Vec<&str> =
        table.map_while(|line| Some(line.strip_prefix("| ")?.split_once(" |")?.0)).collect();
    let source = include_str!("servers.rs");
    for name in &named {
        assert!(source.contains(&format!("\"{name}\"")), "no row is called {name:?}");
    }
    assert_eq!(named.len(), source.matches("\n#[tokio::test").count(), "{named:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_server_that_takes_few_requests_a_connection_costs_no_call() {
    if nginx().is_none() {
        return skipped("no nginx");
    }
    let front = async || {
        let server = format!("keepalive_requests 20;\n{QUICK}");
        Front::of(Server::nginx(site(true, "", &server), CLIENTS).await, true)
    };
    compare("HTTP/2, keepalive_requests 20", steady(2), front).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_server_with_its_defaults_costs_no_call() {
    if !slow(false) {
        return;
    }
    let front = async || Front::of(Server::nginx(site(true, "", QUICK), CLIENTS).await, true);
    // Above the 1000 requests after which a connection ends by default.
    compare("HTTP/2, all defaults", steady(4), front).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_that_hands_on_refused_streams_costs_no_call() {
    if !slow(true) {
        return;
    }
    let front = async || {
        let server = format!("keepalive_requests 100;\n{QUICK}");
        let behind = Server::nginx(site(true, "", &server), 1).await;
        let before = Server::haproxy(behind.ports[0], true, CLIENTS).await;
        let mut front = Front::of(before, true);
        front.servers.push(Box::new(behind));
        front
    };
    compare("haproxy before it, HTTP/2 on both sides", through_two(4), front).await;
}

/// This signal to the server, again and again.
async fn again_and_again(name: &'static str, master: u32, every: Duration) {
    loop {
        sleep(every).await;
        signal(name, master);
    }
}

async fn reloaded(http2: bool) -> Front {
    let server = Server::nginx(site(http2, &long(), SLOWLY), CLIENTS).await;
    let master = server.master();
    let mut front = Front::of(server, http2);
    front.trouble = Box::pin(again_and_again("HUP", master, 200 * MS));
    front
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_reloads_under_load_costs_no_call() {
    if !slow(false) {
        return;
    }
    compare("reloaded each 200 ms", steady(3), async || reloaded(false).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_server_that_reloads_under_load_costs_no_call() {
    if !slow(false) {
        return;
    }
    compare("HTTP/2, reloaded each 200 ms", steady(3), async || reloaded(true).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_that_reloads_under_load_costs_no_call() {
    if !slow(true) {
        return;
    }
    let front = async || {
        let behind = Server::nginx(site(true, &long(), SLOWLY), 1).await;
        let before = Server::haproxy(behind.ports[0], false, CLIENTS).await;
        let master = before.master();
        let mut front = Front::of(before, false);
        front.trouble = Box::pin(again_and_again("USR2", master, 1000 * MS));
        front.servers.push(Box::new(behind));
        front
    };
    compare("haproxy reloaded each second", through_two(4), front).await;
}

/// Each of two workers is killed once: what it had in flight is lost to all.
async fn killed(http2: bool, keepalive: &str) -> Front {
    let server = format!("{keepalive}\n{SLOWLY}");
    let server = Server::nginx(Site { workers: 2, ..site(http2, &long(), &server) }, CLIENTS).await;
    let workers = server.forked(2).await;
    let mut front = Front::of(server, http2);
    front.trouble = Box::pin(async move {
        for worker in workers {
            sleep(1000 * MS).await;
            signal("KILL", worker);
        }
    });
    front
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_costs_no_call_on_warm_connections() {
    if !slow(false) {
        return;
    }
    compare("workers killed, warm connections", steady(3), async || killed(false, "").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_costs_no_call_on_fresh_connections() {
    if !slow(false) {
        return;
    }
    let front = async || killed(false, "keepalive_timeout 0;").await;
    compare("workers killed, fresh connections", steady(3), front).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_costs_no_call_on_http2() {
    if !slow(false) {
        return;
    }
    compare("workers killed, HTTP/2", steady(3), async || killed(true, "").await).await;
}

/// 75 calls a second where 50 are let through: 15 in 200 ms, so that they are not in step with the limit.
async fn limited_rate(name: &'static str, status: u16) {
    let front = async || {
        let http = "limit_req_zone $server_port zone=all:1m rate=50r/s;";
        let server = format!("limit_req zone=all burst=8 nodelay; limit_req_status {status};\n{QUICK}");
        // Without a file nothing asks the limits: `return` comes before them.
        let server = server.replace("return 200 good", "try_files /none =204");
        Front::of(Server::nginx(site(false, http, &server), CLIENTS).await, false)
    };
    let shares = compare(name, Load::new(15, 200, 5), front).await;
    assert!(shares.of(Which::HyperUtil).share() < 90.0, "nothing was limited: {shares}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_the_rate_said_by_503_costs_no_more_than_it_must() {
    if slow(false) {
        limited_rate("limit_req 50/s with 503, 75/s offered", 503).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_the_rate_said_by_429_costs_no_more_than_it_must() {
    if slow(false) {
        limited_rate("limit_req 50/s with 429, 75/s offered", 429).await;
    }
}

/// 12 calls in 100 ms where 8 may be in flight, for 50 ms each.
async fn limited_connections(name: &'static str, status: u16) {
    let front = async || {
        let http = format!("limit_conn_zone $server_port zone=all:1m;\n{}", long());
        let behind = Server::nginx(site(false, &http, SLOWLY), 1).await;
        let server = format!(
            "location / {{ limit_conn all 8; limit_conn_status {status}; proxy_buffering off; \
             proxy_pass http://127.0.0.1:{}; }}",
            behind.ports[0]
        );
        let mut front = Front::of(Server::nginx(site(false, &http, &server), CLIENTS).await, false);
        front.servers.push(Box::new(behind));
        front
    };
    let shares = compare(name, Load::new(12, 100, 4), front).await;
    assert!(shares.of(Which::HyperUtil).share() < 90.0, "nothing was limited: {shares}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_connections_said_by_503_costs_no_more_than_it_must() {
    if slow(false) {
        limited_connections("limit_conn 8 with 503, 12 at once", 503).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_connections_said_by_429_costs_no_more_than_it_must() {
    if slow(false) {
        limited_connections("limit_conn 8 with 429, 12 at once", 429).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_hangs_up_costs_the_healthy_ones_no_call() {
    if !slow(false) {
        return;
    }
    let front = async || {
        let server = format!("location /broken {{ return 444; }}\n{QUICK}");
        let server = Server::nginx(site(false, "", &server), CLIENTS).await;
        Front { beside: Some("/broken"), ..Front::of(server, false) }
    };
    compare("a route beside that answers by 444", Load::new(8, 50, 4), front).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_end_when_the_next_call_comes_cost_no_call() {
    if !slow(false) {
        return;
    }
    let front = async || {
        let server = format!("keepalive_timeout 1s;\n{QUICK}");
        Front::of(Server::nginx(site(false, "", &server), CLIENTS).await, false)
    };
    compare("keepalive_timeout 1s, 32 calls each second", Load::new(32, 1000, 6), front).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptors_used_up_cost_no_more_than_they_must() {
    if descriptors::is_child() {
        return descriptors::child().await;
    }
    if !slow(false) {
        return;
    }
    let front = async || {
        let server = Server::nginx(site(false, &long(), SLOWLY), CLIENTS).await;
        Front { few_files: true, ..Front::of(server, false) }
    };
    let shares = compare("40 descriptors, 64 calls at once", Load::new(64, 250, 4), front).await;
    assert!(shares.of(Which::HyperUtil).share() < 90.0, "there were enough: {shares}");
}

/// An nghttpd for each client, started so.
async fn nghttpds(arguments: &[&str]) -> Front {
    let mut servers = Vec::new();
    for _ in 0..CLIENTS {
        servers.push(Server::nghttpd(arguments).await);
    }
    Front::of_each(servers, true)
}

/// Whether rows of nghttpd are played here; else the reason is said.
fn slow_nghttpd() -> bool {
    if nghttpd().is_none() {
        skipped("no nghttpd");
        return false;
    }
    slow(false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_server_that_takes_one_request_at_a_time_costs_no_call() {
    if !slow_nghttpd() {
        return;
    }
    let front = async || nghttpds(&["--max-concurrent-streams=1"]).await;
    compare("nghttpd, one stream, 256 calls at once", Load::new(256, 2000, 6), front).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_server_with_tiny_windows_costs_no_upload() {
    if !slow_nghttpd() {
        return;
    }
    // 1023 bytes of a stream may be under way: 64 windows for each body.
    let front = async || nghttpds(&["--window-bits=10"]).await;
    compare("nghttpd, windows of 1 KiB, POSTs of 64 KiB", Load::new(4, 100, 4).posting(64 * 1024), front)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_after_a_second_costs_no_more_posts_than_it_must() {
    if !slow(false) {
        return;
    }
    let front = async || {
        let server = format!("keepalive_timeout 1s 1s;\n{QUICK}");
        Front::of(Server::nginx(site(false, "", &server), CLIENTS).await, false)
    };
    // A POST that may have arrived is sent once, and reqwest owns the connections of its family: what either loses is chance.
    let load = Load::new(32, 1000, 6).posting(16);
    compare_with(&[Which::Client], "keepalive_timeout 1s, 32 POSTs each second", load, front).await;
}
