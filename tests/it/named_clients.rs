//! Several clients of one origin, told apart wherever they are shown.

use crate::admin::{ask, get as page, json_of};
use crate::metrics::Counting;
use crate::support::*;
use crate::watch::Log;
use axum::body::Body;
use futures_util::FutureExt;
use http::Request;
use serde_json::json;
use std::pin::pin;
use tokio::time::sleep;
use unwedge::admin::Admin;
use unwedge::breaker::{Breaker, Phase};
use unwedge::stack::CircuitBreakerLayer;
use unwedge::supervise::Supervisor;
use unwedge::testing::{Peer, Reply};
use unwedge::{Client, StackLayer, breaker, long_poll};

const ORIGIN: &str = "http://peer.test";

fn named(peer: &Peer, name: &str) -> Client {
    client(peer).name(name).build().unwrap()
}

fn circuit(client: &Client) -> Breaker {
    client.breakers().of(&ORIGIN.parse().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_clients_of_one_origin_have_gauges_and_counters_of_their_own() {
    let counting = Counting::begin();
    let peer = Peer::new().then(Reply::ok("")).forever(Reply::hang());
    let (scheduler, relay) = (named(&peer, "scheduler"), named(&peer, "relay"));
    scheduler.get(ORIGIN).send().await.unwrap();
    circuit(&relay).force_open();
    let poll = scheduler.get(ORIGIN).long_poll(long_poll!("the test parks it")).send();
    let mut poll = pin!(poll);
    assert!(poll.as_mut().now_or_never().is_none());
    sleep(5 * SECOND).await;
    scheduler.in_flight().publish();
    relay.in_flight().publish();
    let series = counting.series();
    let value = |name: &str| {
        let found = series.iter().find(|(shown, _)| shown == name);
        found.unwrap_or_else(|| panic!("no {name} in {series:#?}")).1
    };
    for (name, scheduler, relay) in [
        ("unwedge_breaker_phase{origin=http://peer.test,client=_}", 0.0, 3.0),
        ("unwedge_calls_in_flight{client=_}", 1.0, 0.0),
        ("unwedge_oldest_in_flight_seconds{client=_}", 5.0, 0.0),
    ] {
        let of = |client| value(&name.replace("client=_", &format!("client={client}")));
        assert_eq!((of("scheduler"), of("relay")), (scheduler, relay), "{name}");
    }
    for name in [
        "unwedge_attempts_total{origin=http://peer.test,client=scheduler,outcome=2xx}",
        "unwedge_long_polls_in_flight{origin=http://peer.test,client=scheduler}",
        "unwedge_breaker_transitions_total{origin=http://peer.test,client=relay,from=closed,to=forced_open}",
        "http.client.request.duration{http.request.method=GET,server.address=peer.test,server.port=80,\
         http.response.status_code=200,client=scheduler}",
    ] {
        assert_eq!(value(name), 1.0, "{name}");
    }
    let all = series.iter().filter(|(shown, _)| shown.contains("origin=") || shown.contains("in_flight"));
    assert!(
        all.clone().count() > 6 && all.clone().all(|(shown, _)| shown.contains("client=")),
        "{series:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_json_and_the_page_name_the_client_of_each_circuit_and_call() {
    let peer = Peer::new().forever(Reply::hang());
    let (scheduler, relay) = (named(&peer, "scheduler"), named(&peer, "<relay>"));
    circuit(&scheduler).force_open();
    let mut call = pin!(relay.get(ORIGIN).send());
    assert!(call.as_mut().now_or_never().is_none());
    let crew = Supervisor::new();
    let alone = Breaker::new("agents", breaker::Settings::default()).unwrap();
    let admin = Admin::new(&crew).breakers(scheduler.breakers()).breakers(relay.breakers()).breakers(alone);
    let router = admin.calls(scheduler.in_flight()).calls(relay.in_flight()).router().unwrap();
    let rows = json_of(&router, "/admin/breakers").await["breakers"].clone();
    let shown: Vec<_> = rows.as_array().unwrap().iter().map(|row| (&row["client"], &row["phase"])).collect();
    let (forced, closed) = (json!("forced_open"), json!("closed"));
    let (first, second) = (json!("scheduler"), json!("<relay>"));
    assert_eq!(shown, [(&first, &forced), (&second, &closed), (&json!(null), &closed)]);
    assert_eq!(json_of(&router, "/admin/calls").await["calls"][0]["client"], "<relay>");
    let (_, body) = page(&router, "/admin").await;
    assert!(body.contains("http://peer.test (client scheduler)"), "{body}");
    assert!(body.contains("client &lt;relay&gt;") && !body.contains("<relay>"), "{body}");
    circuit(&relay).force_open();
    for _ in 0..3 {
        sleep(SECOND).await;
    }
    let (_, body) = page(&router, "/admin").await;
    let hour = body.split("id=\"hour\"").nth(1).unwrap();
    assert!(hour.contains("http://peer.test (client &lt;relay&gt;)"), "{hour}");
}

#[tokio::test(start_paused = true)]
async fn a_command_is_for_one_client_or_for_all_of_an_origin() {
    const TOKEN: &str = "correct-horse-battery";
    let peer = Peer::new().forever(Reply::ok(""));
    let (scheduler, relay) = (named(&peer, "scheduler"), named(&peer, "relay"));
    let phases = || (circuit(&scheduler).phase(), circuit(&relay).phase());
    assert_eq!(phases(), (Phase::Closed, Phase::Closed));
    let crew = Supervisor::new();
    let admin = Admin::new(&crew).breakers(scheduler.breakers()).breakers(relay.breakers()).commands(TOKEN);
    let router = admin.router().unwrap();
    let post = |command: &str, fields: &str| {
        let request = Request::post(format!("/admin/breakers/{command}"));
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        request.body(Body::from(format!("origin={ORIGIN}{fields}"))).unwrap()
    };
    let (status, body) = ask(&router, post("open", "&client=relay")).await;
    let told = "{\"client\":\"relay\",\"origin\":\"http://peer.test\",\"phase\":\"forced_open\"}\n";
    assert_eq!((status.as_u16(), body.as_str()), (200, told));
    assert_eq!(phases(), (Phase::Closed, Phase::ForcedOpen));
    let (status, body) = ask(&router, post("open", "&client=nobody")).await;
    assert!(status == 404 && body.contains("nobody"), "{body}");
    assert_eq!(phases(), (Phase::Closed, Phase::ForcedOpen));
    assert_eq!(ask(&router, post("open", "")).await.0, 200);
    assert_eq!(phases(), (Phase::ForcedOpen, Phase::ForcedOpen));
    assert_eq!(ask(&router, post("release", "&client=scheduler")).await.0, 200);
    assert_eq!(phases(), (Phase::Closed, Phase::ForcedOpen));
}

#[tokio::test(start_paused = true)]
async fn transitions_and_lines_name_the_client_and_a_number_stays_out_of_the_log() {
    let (log, _listens) = Log::listen();
    let peer = Peer::new().forever(Reply::refuse());
    let (scheduler, other) = (named(&peer, "scheduler"), client(&peer).build().unwrap());
    let mut news = scheduler.breakers().subscribe();
    circuit(&scheduler).force_open();
    assert_eq!(news.try_recv().unwrap().client.as_deref(), Some("scheduler"));
    circuit(&other).force_open();
    let opened = log.with("circuit forced open");
    assert!(opened[0].contains(" client=\"scheduler\"") && !opened[1].contains("client="), "{opened:?}");
    circuit(&scheduler).reset();
    scheduler.get(ORIGIN).send().await.unwrap_err();
    for text in ["retry 1/3", "connection refused"] {
        assert!(log.with(text).iter().all(|line| line.contains("client=\"scheduler\"")), "{:?}", log.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn clients_without_a_name_are_numbered_in_the_order_in_which_they_are_made() {
    let number = |layer: &StackLayer| {
        let breaker = layer.breakers().of(&ORIGIN.parse().unwrap()).unwrap();
        breaker.client().unwrap().parse::<u64>().unwrap()
    };
    let (first, second) = (StackLayer::default(), StackLayer::builder().build().unwrap());
    assert!((1..number(&second)).contains(&number(&first)));
    assert_eq!(number(&first), number(&first.clone()), "a clone is the same client");
    let part = CircuitBreakerLayer::new(breaker::Settings::default()).unwrap();
    let part = part.breakers().of(&ORIGIN.parse().unwrap()).unwrap();
    assert!(part.client().unwrap().parse::<u64>().unwrap() > number(&second));
    // Calls bear the same number.
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &first);
    let mut waits = pin!(call(&service, get("/")));
    assert!(waits.as_mut().now_or_never().is_none());
    assert_eq!(first.in_flight().snapshot()[0].client.parse::<u64>().unwrap(), number(&first));
}

#[test]
fn a_name_that_cannot_be_one_is_an_error_in_every_family() {
    for (name, why) in
        [("", "blank"), ("7", "is a number"), ("a\tb", "control"), (&*"x".repeat(65), "65 bytes")]
    {
        let errors = [
            StackLayer::builder().name(name).build().map(drop),
            Client::builder().name(name).build().map(drop),
            unwedge::reqwest::builder().name(name).build().map(drop),
        ];
        for error in errors {
            let error = error.unwrap_err();
            assert!(error.is_config() && error.to_string().contains(why), "{name:?}: {error}");
        }
    }
    let stack = StackLayer::builder().name("relay").build().unwrap();
    let both = unwedge::reqwest::builder().stack(stack).name("scheduler").build().unwrap_err();
    assert!(both.is_config() && both.to_string().contains("scheduler"), "{both}");
    assert!(unwedge::reqwest::builder().name("scheduler").build().is_ok());
}
