//! The platform whose loops go wrong in three ways, as a process: each is told from the others, and all others serve.

use crate::program::{CEILING, refused};
use crate::running::Running;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use unwedge::Client;

async fn ask(url: &str) -> (u16, Value) {
    let answer = Client::new().unwrap().get(url).send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Asks until the answer is `wanted`: on a busy machine a loop that is well may be late.
async fn ask_until(url: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
    let ends = Instant::now() + CEILING;
    loop {
        let (status, answer) = ask(url).await;
        if wanted(status, &answer) {
            return answer;
        }
        assert!(Instant::now() < ends, "{url} says {status} {answer}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn row<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let rows = answer["subsystems"].as_array().expect("rows");
    rows.iter().find(|row| row["name"] == name).unwrap_or(&Value::Null)
}

async fn stale(platform: &mut Running, name: &str) -> Value {
    platform.until(&format!("stale {name}"), |o| o["event"] == "stale" && o["name"] == name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_a_wedge_and_a_blocked_thread_are_told_apart_while_the_others_serve() {
    let mut platform = Running::start("supervised_platform", &["--tick", "500ms"]).await;
    let admin = platform.seen()[0]["admin"].as_str().expect("an address").to_owned();
    for _ in 0..2 {
        platform.until("recovery", |o| o["event"] == "recovered" && o["name"] == "health-sweep").await;
    }
    let liveness = ask_until(&format!("{admin}/admin/liveness"), |_, answer| {
        let (wedged, blocked) = (row(answer, "scheduler"), row(answer, "channel-manager"));
        let panicked = row(answer, "health-sweep");
        let others = ["event-relay", "liveness-monitor"].map(|name| row(answer, name)["stale"] == false);
        wedged["stale"] == true
            && wedged["waits_for"].is_string()
            && blocked["stale"] == true
            && panicked["restarts"] == 2
            && panicked["stale"] == false
            && panicked["waits_for"].is_null()
            && others == [true, true]
    })
    .await;
    let wedged = row(&liveness, "scheduler");
    assert!(wedged["waits_for"].as_str().is_some_and(|call| call.contains("/schedule")), "{wedged}");
    assert!(wedged["seconds_ago"].as_f64().is_some_and(|s| s >= 1.0), "{wedged}");
    assert_eq!((&wedged["state"], &wedged["restarts"]), (&"working".into(), &0.into()));
    let blocked = row(&liveness, "channel-manager");
    assert_eq!((&blocked["waits_for"], &blocked["restarts"]), (&Value::Null, &0.into()), "{blocked}");
    assert_eq!(blocked["expected_every_seconds"], 0.5);

    // What only looks alive is seen by the strict probe alone.
    let strict = ask_until(&format!("{admin}/healthz?strict"), |status, answer| {
        status == 503 && answer["stale"].as_array().is_some_and(|stale| stale.len() == 2)
    })
    .await;
    let mut names: Vec<&str> =
        strict["stale"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["channel-manager", "scheduler"]);
    assert_eq!(ask(&format!("{admin}/healthz")).await.0, 200);
    let page = ask(&format!("{admin}/admin")).await.1;
    assert!(page.as_str().is_some_and(|html| html.contains("channel-manager")), "{page}");

    let ran = platform.stop().await;
    let objects = ran.objects();
    let of = |event: &str, name: &str| -> Vec<&Value> {
        objects.iter().filter(|o| o["event"] == event && o["name"] == name).collect()
    };
    let panics = of("panic", "health-sweep");
    assert_eq!(panics.len(), 2, "{ran:?}");
    assert!(panics[0]["message"].as_str().is_some_and(|m| m.contains("index out of bounds")));
    let restarts = of("restart", "health-sweep");
    assert_eq!(restarts.len(), 2, "{ran:?}");
    for (restart, most) in restarts.into_iter().zip([1_100, 2_200]) {
        assert_eq!(restart["reason"], "panic");
        let wait = restart["in_ms"].as_u64().unwrap();
        assert!((most * 9 / 11..=most).contains(&wait), "{restart}");
    }
    assert_eq!(of("recovered", "health-sweep").len(), 2, "{ran:?}");
    assert_eq!(of("stale", "scheduler").len(), 1, "said once: {ran:?}");
    assert!(of("stale", "scheduler")[0]["waits_for"].as_str().is_some_and(|c| c.contains("/schedule")));
    assert_eq!(of("stale", "channel-manager")[0]["waits_for"], Value::Null);
    // The one that the panic did not reach went on during all of it.
    let since = panics[0]["t_ms"].as_u64();
    assert!(of("tick", "event-relay").iter().filter(|o| o["t_ms"].as_u64() > since).count() > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_platform_well_and_names_those_that_did_not_end() {
    let mut platform = Running::start("supervised_platform", &["--tick", "200ms", "--admin", "none"]).await;
    stale(&mut platform, "channel-manager").await;
    let ran = platform.stop().await;
    let done = ran.objects().pop().unwrap();
    assert_eq!(done["clean"], false);
    let stragglers = done["stragglers"].as_array().expect("names");
    assert!(stragglers.contains(&"channel-manager".into()), "{done}");
    for well in ["event-relay", "liveness-monitor", "health-sweep"] {
        assert!(!stragglers.contains(&well.into()), "{done}");
    }
    assert!(ran.stderr.contains("did not end in time, aborted: channel-manager"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_cannot_work_ends_with_two_and_nothing_on_standard_output() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let lines = [
        (&["--tick", "0s"][..], "longer than zero"),
        (&["--tick", "1"], "\"1\" has no unit"),
        (&["--admin", &taken], "is in use by another program"),
        (&["--bogus"], "--bogus"),
    ];
    refused("supervised_platform", &lines).await;
}
