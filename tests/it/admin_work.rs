//! What the page and the JSON say of queues, event streams and processes, of the call that a stale loop hangs in, and of
//! the cause of a trouble.

use crate::admin::{get, json_of};
use crate::event_streams::{data, over, steady};
use crate::support::{MINUTE, MS, SECOND, client, events, no_breaker};
use serde_json::{Value, json};
use std::future::pending;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use unwedge::Limits;
use unwedge::admin::Admin;
use unwedge::queue::{Queue, Settings};
use unwedge::supervise::Supervisor;
use unwedge::testing::{Peer, Reply};

fn router() -> axum::Router {
    Admin::new(&Supervisor::new()).program("portal", "1.2.3").router().unwrap()
}

/// The one of this name: other tests of this process have theirs.
async fn found(router: &axum::Router, path: &str, list: &str, key: &str, name: &str) -> Option<Value> {
    let all = json_of(router, path).await;
    all[list].as_array().unwrap().iter().find(|one| one[key] == name).cloned()
}

/// The row of the page that begins with this name, as markup.
async fn row(router: &axum::Router, name: &str) -> String {
    // What was rendered for another look is shown for half a second.
    sleep(600 * MS).await;
    let (_, page) = get(router, "/admin").await;
    let begins = format!("<span class=\"name\">{name}</span>");
    let rows = page.split("<li class=\"row ").find(|row| row.contains(&begins));
    rows.unwrap_or_else(|| panic!("no row {name}: {page}")).split("</li>").next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_shown_with_its_depth_its_oldest_item_and_what_expired_as_long_as_it_exists() {
    let router = router();
    let settings = Settings::default().name("incidents of admin_work").max_age(MINUTE).capacity(50);
    let queue = Queue::new(settings.valve(0.5, 10 * MINUTE)).unwrap();
    queue.push("alpha", 1).unwrap();
    sleep(20 * SECOND).await;
    queue.push("beta", 2).unwrap();
    let of = || found(&router, "/admin/queues", "queues", "name", "incidents of admin_work");
    let shown = of().await.unwrap();
    for (field, wanted) in [
        ("waiting", json!(2)),
        ("capacity", json!(50)),
        ("oldest_seconds", json!(20.0)),
        ("max_age_seconds", json!(60.0)),
        ("expired", json!(0)),
        ("has_valve", json!(true)),
        ("held_seconds", json!(null)),
        ("closed", json!(false)),
    ] {
        assert_eq!(shown[field], wanted, "{field}: {shown}");
    }
    let line = row(&router, "incidents of admin_work").await;
    assert!(line.contains("oldest 20 s, expires at 1 m") && line.contains("2 of 50 places taken"), "{line}");
    sleep(50 * SECOND).await;
    let line = row(&router, "incidents of admin_work").await;
    assert!(line.starts_with("bad") && line.contains("what is too old waits for a sweep"), "{line}");
    assert_eq!(queue.sweep().expired.len(), 1);
    let shown = of().await.unwrap();
    assert_eq!((&shown["waiting"], &shown["expired"]), (&json!(1), &json!(1)));
    drop(queue);
    assert_eq!(of().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_valve_holds_says_so() {
    let router = router();
    let settings = Settings::default().name("held of admin_work").max_age(MINUTE).valve(0.1, 10 * MINUTE);
    let queue = Queue::new(settings).unwrap();
    for n in 0..20 {
        queue.push("alpha", n).unwrap();
    }
    sleep(2 * MINUTE).await;
    assert!(queue.sweep().alarm.is_some());
    sleep(5 * SECOND).await;
    let shown = found(&router, "/admin/queues", "queues", "name", "held of admin_work").await.unwrap();
    assert_eq!((&shown["held_seconds"], &shown["waiting"]), (&json!(5.0), &json!(20)));
    let line = row(&router, "held of admin_work").await;
    assert!(line.contains("valve holds") && line.contains("held back what is too old for 5 s"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_is_shown_with_its_state_its_last_event_and_its_next_try() {
    let router = router();
    let peer = Peer::new().then(events("data: a\n\n")).forever(Reply::refuse());
    let mut stream = over(&peer, steady().name("prod-eu of admin_work"));
    let of = || found(&router, "/admin/streams", "streams", "name", "prod-eu of admin_work");
    assert_eq!(of().await.unwrap()["state"], "idle");
    assert_eq!(data(&mut stream).await, "a");
    let shown = of().await.unwrap();
    assert_eq!((&shown["state"], &shown["last_event_seconds_ago"]), (&json!("connected"), &json!(0.0)));
    // It is lost, refused after 1 s, and waits for 2 s, of which one is over.
    assert!(timeout(2 * SECOND, stream.next()).await.is_err());
    let shown = of().await.unwrap();
    for (field, wanted) in [
        ("state", json!("waiting")),
        ("cause", json!("network")),
        ("next_try_in_seconds", json!(1.0)),
        ("last_event_seconds_ago", json!(2.0)),
        ("lost", json!(2)),
    ] {
        assert_eq!(shown[field], wanted, "{field}: {shown}");
    }
    let line = row(&router, "prod-eu of admin_work").await;
    assert!(line.contains("next try in") && line.contains("connection refused"), "{line}");
    drop(stream);
    assert_eq!(of().await, None);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_shown_with_its_command_its_number_and_its_age_against_its_limit_while_it_runs() {
    let router = router();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let command = unwedge::child::Command::new("/bin/sleep", 77 * SECOND).args(["60"]);
    let running = tokio::spawn(command.run_until(async { stopped.await.unwrap_or(()) }));
    let of = || async {
        let all = json_of(&router, "/admin/processes").await;
        all["processes"].as_array().unwrap().iter().find(|one| one["limit_seconds"] == 77.0).cloned()
    };
    let shown = timeout(MINUTE, async {
        loop {
            match of().await {
                Some(shown) => return shown,
                None => tokio::task::yield_now().await,
            }
        }
    });
    let shown = shown.await.unwrap();
    assert_eq!((&shown["command"], &shown["ending"]), (&json!("/bin/sleep"), &json!(false)));
    let (_, page) = get(&router, "/admin").await;
    assert!(page.contains(&format!("pid {}, ", shown["pid"])), "{page}");
    assert!(!page.contains("sleep 60"), "arguments may be secrets");
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(of().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_headline_says_why_and_the_call_in_which_a_stale_loop_hangs_is_red() {
    let peer = Peer::new().forever(Reply::hang());
    let limits = Limits::default().total(60 * MINUTE).attempt(50 * MINUTE);
    let calls = client(&peer).limits(limits).breaker(no_breaker()).build().unwrap();
    let mut crew = Supervisor::new();
    let wedged = calls.clone();
    crew.spawn("scheduler", MINUTE, move |heart| {
        let wedged = wedged.clone();
        async move {
            heart.progress();
            let _ = wedged.get("http://alerts.example/api?token=s3cret").send().await;
        }
    });
    crew.spawn("locked", MINUTE, |heart| async move {
        heart.progress();
        pending::<()>().await;
    });
    let router = Admin::new(&crew).program("portal", "1.2.3").calls(calls.in_flight()).router().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { crew.run_until(sleep(60 * MINUTE), MINUTE).await.map(drop) });
    tasks.spawn(async move { calls.get("http://other.example/slow").send().await.map(drop) });
    sleep(MINUTE).await;
    let other = row(&router, "GET http://other.example/slow").await;
    let line = row(&router, "GET http://alerts.example/api").await;
    assert!(line.starts_with("good") && other.starts_with("good"), "not stale yet: {line}");
    sleep(5 * MINUTE).await;
    let (_, page) = get(&router, "/admin").await;
    let cause = "Not ready: scheduler makes no progress, in GET http://alerts.example/api</p>";
    assert!(page.contains(cause), "{page}");
    assert!(page.contains("<li>locked makes no progress</li>"), "{page}");
    let title = page.split("<title>").nth(1).unwrap().split("</title>").next().unwrap();
    assert!(title.starts_with("Not ready \u{b7} portal 1.2.3 on ") && title.contains(", pid "), "{title}");
    assert!(page.contains("<h1>portal 1.2.3</h1>") && page.contains(", up <span id=\"up\">6 m"), "{page}");
    let line = row(&router, "GET http://alerts.example/api").await;
    assert!(
        line.starts_with("bad") && line.contains("by scheduler, which is stale and hangs here"),
        "{line}"
    );
    let other = row(&router, "GET http://other.example/slow").await;
    assert!(other.starts_with("good") && !other.contains("hangs here"), "{other}");
    let line = row(&router, "locked").await;
    assert!(line.contains("; in no call: a lock or a channel"), "{line}");
    // From when it was stale on, to now: of 600 parts of an hour.
    let hour = page.split("id=\"hour\"").nth(1).unwrap();
    assert!(hour.contains("<rect class=\"bad\" x=\"56") && hour.contains("width=\"4"), "{hour}");
}

#[test]
fn a_loop_that_blocks_its_thread_is_told_apart_from_one_that_waits() {
    use std::sync::mpsc;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (release, held) = mpsc::sync_channel::<()>(1);
    let mut held = Some(held);
    let mut crew = Supervisor::new();
    crew.watch_every(10 * MS);
    crew.spawn("computes", 50 * MS, move |heart| {
        let held = held.take();
        async move {
            heart.progress();
            if let Some(held) = held {
                let _ = held.recv_timeout(MINUTE);
            }
            heart.cancelled().await;
        }
    });
    crew.spawn("waits", 50 * MS, |heart| async move {
        heart.progress();
        heart.cancelled().await;
    });
    let (liveness, router) = (crew.liveness(), Admin::new(&crew).router().unwrap());
    runtime.block_on(async {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(crew.run_until(async { ended.await.unwrap_or(()) }, SECOND));
        let inside = timeout(MINUTE, async {
            loop {
                let seen = liveness.snapshot();
                if seen[1].stale && seen[0].in_poll_for.is_some_and(|since| since >= SECOND) {
                    return seen;
                }
                sleep(10 * MS).await;
            }
        });
        let seen = inside.await.unwrap();
        assert!(
            seen[0].to_string().contains("; in no call: its thread has been inside poll for "),
            "{}",
            seen[0]
        );
        assert_eq!(seen[1].in_poll_for, None);
        let json = json_of(&router, "/admin/liveness").await;
        assert!(json["subsystems"][0]["in_poll_seconds"].as_f64().unwrap() >= 1.0, "{json}");
        assert_eq!(json["subsystems"][1]["in_poll_seconds"], json!(null));
        let (_, page) = get(&router, "/admin").await;
        assert!(
            page.contains("its thread has been inside poll for") && page.contains("a lock or a channel"),
            "{page}"
        );
        release.send(()).unwrap();
        end.send(()).unwrap();
        running.await.unwrap().unwrap();
    });
}
