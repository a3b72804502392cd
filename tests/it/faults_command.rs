//! The faults as a command: what it says where, and that its counts are those of the faults.

use crate::program::{refused, run};
use crate::running::Running;
use serde_json::{Value, json};
use unwedge::testing::Fault;
use unwedge::{Client, Limits};

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_every_fault_a_line() {
    let ran = run("faults", &["--list"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let names: Vec<&str> = ran.stdout.lines().filter_map(|line| Some(line.split_once('\t')?.0)).collect();
    let all: Vec<&str> = Fault::all().iter().map(|fault| fault.name).collect();
    assert_eq!(names, all);
    let objects = run("faults", &["--list", "--json"]).await.objects();
    assert_eq!(objects.len(), all.len());
    assert!(
        objects.iter().all(|o| o["name"].is_string() && o["about"].is_string() && o["expect"].is_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_are_served_by_default_each_with_its_address() {
    let mut faults = Running::start("faults", &[]).await;
    for fault in Fault::all() {
        let said = faults.event("fault").await;
        assert_eq!(said["name"], fault.name);
        assert!(said["url"].as_str().is_some_and(|url| url.contains("://127.0.0.1:")), "{said}");
    }
    faults.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_counted_until_the_reset() {
    let mut faults = Running::start("faults", &["--serve", "status-503,refused,status-503"]).await;
    let control = faults.seen()[0]["control"].as_str().expect("an address").to_owned();
    let fault = faults.event("fault").await;
    assert_eq!(fault["name"], "status-503");
    let url = fault["url"].as_str().expect("an address").to_owned();
    let ask = async |path: &str| -> Value {
        unwedge::get(format!("{control}/{path}")).send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(ask("faults").await["status-503"], url);
    let limits = Limits::default().total(std::time::Duration::from_secs(20));
    let client = Client::builder().limits(limits).build().unwrap();
    for _ in 0..2 {
        let request = client.post(&url).body("not repeated");
        assert_eq!(request.send().await.unwrap().status(), 503);
    }
    let none = json!({ "connections": 0, "requests": 0 });
    let counts = ask("counts").await;
    // A busy machine may ask again before the first connection is back in its pool.
    let connections = counts["status-503"]["connections"].as_u64().expect("a number");
    assert!((1..=2).contains(&connections), "{counts}");
    let some = json!({ "connections": connections, "requests": 2 });
    assert_eq!(counts, json!({ "refused": none, "status-503": some }));
    let reset = unwedge::Client::default().post(format!("{control}/reset")).send().await.unwrap();
    assert_eq!(reset.status(), 204);
    assert_eq!(ask("counts").await, json!({ "refused": none, "status-503": none }));
    let stray = unwedge::get(format!("{control}/count")).send().await.unwrap();
    assert_eq!(stray.status(), 404);
    assert!(stray.text().await.unwrap().contains("GET /counts"));
    faults.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_cannot_work_ends_with_two_and_nothing_on_standard_output() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let lines = [
        (&["--serve", "no-such"][..], "unknown fault `no-such`; there are: refused, black-hole"),
        (&["--serve", "drip,,refused"], "unknown fault ``"),
        (&["--serve", "all,no-such"], "no-such"),
        (&["--control", &taken], "is in use by another program"),
        (&["--control", "9000"], "\"9000\" is no address"),
        (&["--for", "3"], "no unit"),
        (&["--server", "http://x"], "--server"),
        (&["drip"], "drip"),
    ];
    refused("faults", &lines).await;
}
