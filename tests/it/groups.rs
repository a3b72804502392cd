//! Breaker, budget and gate of an origin and a group, and the health verdict that groups share.

use crate::support::*;
use unwedge::breaker::Phase;
use unwedge::testing::{Peer, Reply};
use unwedge::{Client, Group, StackLayer, breaker, retry};

/// Opens after five failures in a row and stays open for long.
fn opens() -> breaker::Settings {
    breaker::Settings::default().open(60 * SECOND)
}

fn single() -> StackLayer {
    let retry = retry::Settings::default().max_retries(0);
    StackLayer::builder().retry(retry).breaker(opens()).build().expect("settings that fit together")
}

fn phases(layer: &StackLayer) -> Vec<(Option<String>, Phase)> {
    let all = layer.breakers().snapshot();
    let mut all: Vec<_> =
        all.into_iter().map(|b| (b.group.map(|group| group.to_string()), b.phase)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[tokio::test(start_paused = true)]
async fn a_broken_route_refuses_its_own_group_only() {
    let layer = single();
    let (broken, well) = (Peer::new().forever(Reply::status(500)), Peer::new().forever(Reply::ok("")));
    let (broken, well) = (stack(&broken, &layer), stack(&well, &layer));
    for _ in 0..20 {
        let _ = call(&broken, with(get("/billing"), Group::new("billing"))).await;
        tokio::time::advance(2 * SECOND).await;
    }
    let refused = call(&broken, with(get("/billing"), Group::from(String::from("billing")))).await;
    assert!(refused.unwrap_err().is_open());
    assert_eq!(call(&well, with(get("/jobs"), Group::new("jobs"))).await.unwrap().status(), 200);
    assert_eq!(call(&well, get("/")).await.unwrap().status(), 200);
    let billing = Some("billing".to_owned());
    let jobs = Some("jobs".to_owned());
    assert_eq!(
        phases(&layer),
        [(None, Phase::Closed), (billing, Phase::Open), (jobs, Phase::Closed)],
        "one for the origin, and one for each group"
    );
    let own = layer.breakers().of_group(&"http://peer.test".parse().unwrap(), "billing").unwrap();
    assert_eq!((own.phase(), own.group().map(Group::as_str)), (Phase::Open, Some("billing")));
}

#[tokio::test(start_paused = true)]
async fn without_groups_an_origin_is_judged_as_one() {
    let layer = single();
    let peer = Peer::new().forever(Reply::status(500));
    let service = stack(&peer, &layer);
    for n in 0..20 {
        let _ = call(&service, get(if n % 2 == 0 { "/billing" } else { "/jobs" })).await;
        tokio::time::advance(2 * SECOND).await;
    }
    assert!(call(&service, get("/other")).await.unwrap_err().is_open());
    assert_eq!(phases(&layer), [(None, Phase::Open)]);
}

#[tokio::test(start_paused = true)]
async fn a_transition_names_the_group() {
    let layer = single();
    let mut events = layer.breakers().subscribe();
    layer.breakers().of_group(&"http://peer.test".parse().unwrap(), "billing").unwrap().force_open();
    let told = events.try_recv().unwrap();
    assert_eq!((told.group, told.to), (Some(Group::new("billing")), Phase::ForcedOpen));
}

#[tokio::test(start_paused = true)]
async fn each_group_has_a_budget_of_its_own() {
    let budget = retry::Budget::default().tokens(4).retry_cost(4);
    let retry = every(MS).budget(budget);
    let layer = built(StackLayer::builder().retry(retry));
    let peer = Peer::new().forever(Reply::status(500));
    let service = stack(&peer, &layer);
    for group in ["a", "b"] {
        let before = peer.requests().len();
        let _ = call(&service, with(get("/"), Group::new(group))).await;
        assert_eq!(peer.requests().len() - before, 2, "one retry in group {group}, paid by itself");
    }
}

#[tokio::test(start_paused = true)]
async fn the_health_verdict_is_the_origins_and_shared_by_its_groups() {
    let peer = Peer::new().forever(Reply::ok(""));
    let layer = StackLayer::builder().health("/health").build().unwrap();
    let service = stack(&peer, &layer);
    for request in [
        get("/"),
        with(get("/"), Group::new("a")),
        with(get("/"), Group::new("b")),
        with(get("/"), Group::new("a")),
    ] {
        call(&service, request).await.unwrap();
    }
    let checks = asked(&peer).into_iter().filter(|asked| asked.ends_with("/health")).count();
    assert_eq!(checks, 1, "{:?}", asked(&peer));
}

#[tokio::test(start_paused = true)]
async fn the_evidence_of_a_failed_check_goes_to_the_group_that_asked() {
    let peer = Peer::new().forever(Reply::status(500));
    let layer = single_with_health();
    let service = stack(&peer, &layer);
    for _ in 0..20 {
        let _ = call(&service, with(get("/"), Group::new("asks"))).await;
        tokio::time::advance(31 * SECOND).await;
    }
    let seen = phases(&layer);
    assert_eq!(seen[0], (None, Phase::Closed), "nobody asked for the origin itself");
    assert_ne!(seen[1], (Some("asks".to_owned()), Phase::Closed));
}

fn single_with_health() -> StackLayer {
    let retry = retry::Settings::default().max_retries(0);
    let stack = StackLayer::builder().retry(retry).breaker(opens()).health("/health");
    stack.build().expect("settings that fit together")
}

#[tokio::test(start_paused = true)]
async fn groups_above_the_most_share_one_and_that_is_said_once() {
    let (log, _guard) = crate::watch::Log::listen();
    let layer = single();
    let peer = Peer::new().forever(Reply::ok(""));
    let service = stack(&peer, &layer);
    for n in 0..1_100 {
        call(&service, with(get("/"), Group::new(format!("request-{n}")))).await.unwrap();
    }
    let seen = phases(&layer);
    assert_eq!(seen.len(), 1 + 1_024 + 1, "the origin's own, its groups, and one for all others");
    assert_eq!(seen.iter().filter(|(group, _)| group.as_deref() == Some("(others)")).count(), 1);
    assert_eq!(log.with("more than 1024 groups").len(), 1);
    // A group that was known before is itself.
    let first = layer.breakers().of_group(&"http://peer.test".parse().unwrap(), "request-0").unwrap();
    assert_eq!(first.group().map(Group::as_str), Some("request-0"));
}

#[tokio::test(start_paused = true)]
async fn a_group_name_that_is_empty_or_too_long_is_an_error_before_anything_is_sent() {
    let peer = Peer::new().forever(Reply::ok(""));
    let service = stack(&peer, &single());
    for (name, said) in [(String::new(), "empty"), ("\u{fc}".repeat(33), "at most 64")] {
        let error = call(&service, with(get("/"), Group::new(name))).await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains(said), "{error}");
    }
    assert_eq!(peer.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn on_a_redirect_the_group_goes_along_and_the_verdict_is_the_new_origins() {
    let (a, b) = (Peer::new().forever(moved(307, "http://b/")), Peer::new().forever(Reply::ok("")));
    let client: Client = between(&a, &b);
    client.get("http://a/").group("billing").send().await.unwrap();
    let mut seen: Vec<_> = client
        .breakers()
        .snapshot()
        .into_iter()
        .filter_map(|b| Some(format!("{} {}", b.origin, b.group?)))
        .collect();
    seen.sort();
    assert_eq!(seen, ["http://a billing", "http://b billing"]);
}
