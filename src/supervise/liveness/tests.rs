use super::*;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_beat_is_remembered_with_its_time_and_nobody_is_seen_before_it() {
    let liveness = Liveness::new();
    assert_eq!(liveness.last_tick("relay"), None);
    liveness.expect("relay", 10 * SECOND).unwrap();
    assert_eq!(liveness.last_tick("relay"), None, "named, and never seen");
    advance(SECOND).await;
    liveness.beat("relay");
    assert_eq!(liveness.last_tick("relay"), Some(Instant::now()));
    advance(7 * SECOND).await;
    let [relay] = &liveness.snapshot()[..] else { panic!("one subsystem") };
    assert_eq!((relay.name.as_str(), relay.last_tick_ago), ("relay", Some(7 * SECOND)));
    assert_eq!((relay.expected_every, relay.stale_after), (Some(10 * SECOND), Some(20 * SECOND)));
    assert_eq!((relay.stale, relay.state.as_str(), relay.restarts), (false, "working", 0));
    advance(14 * SECOND).await;
    let relay = &liveness.snapshot()[0];
    assert!(relay.stale);
    assert_eq!(relay.to_string(), "relay: no progress for 21 s");
}

#[tokio::test(start_paused = true)]
async fn health_names_who_is_stale_and_who_was_never_seen() {
    let liveness = Liveness::new();
    liveness.beat("scheduler");
    advance(50 * SECOND).await;
    liveness.beat("relay");
    assert_eq!(liveness.is_healthy(&["scheduler", "relay"], 60 * SECOND), (true, vec![]));
    advance(11 * SECOND).await;
    let (healthy, stale) = liveness.is_healthy(&["scheduler", "relay", "nobody"], 60 * SECOND);
    assert_eq!((healthy, stale), (false, vec!["scheduler".to_owned(), "nobody".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn only_a_limit_below_the_interval_is_said_to_be_too_short() {
    let liveness = Liveness::new();
    liveness.expect("relay", 60 * SECOND).unwrap();
    for (stale_after, said) in [(60 * SECOND, false), (59 * SECOND, true)] {
        let _ = liveness.is_healthy(&["relay"], stale_after);
        assert_eq!(liveness.0.said_short.load(Ordering::Relaxed), said, "{stale_after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expectation_of_nobody_is_never_green() {
    let liveness = Liveness::new();
    liveness.beat("relay");
    let (healthy, stale) = liveness.is_healthy::<&str>(&[], 60 * SECOND);
    assert!(!healthy);
    assert_eq!(stale, ["no subsystem is expected: name at least one"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_twice_a_blank_one_and_an_interval_of_nothing_are_refused_by_name() {
    let liveness = Liveness::new();
    liveness.expect("relay", SECOND).unwrap();
    let refused = |name: &str, every| liveness.expect(name, every).unwrap_err().to_string();
    assert!(refused("relay", SECOND).contains("\"relay\" already"), "{}", refused("relay", SECOND));
    assert!(refused("  ", SECOND).contains("blank"));
    assert!(refused("new", Duration::ZERO).contains("the interval of new is 0 s"));
    assert_eq!(liveness.snapshot().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn names_without_end_are_not_followed_without_end() {
    let liveness = Liveness::new();
    for n in 0..MOST + 10 {
        liveness.beat(&n.to_string());
    }
    assert_eq!(liveness.snapshot().len(), MOST);
    assert_eq!(liveness.last_tick(&(MOST + 1).to_string()), None);
}
