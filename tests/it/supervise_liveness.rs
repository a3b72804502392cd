//! Alive, getting on, or only looking as if.

use crate::supervise::{DAY, exact, lasts, news};
use crate::support::{MINUTE, SECOND, call, get, stack};
use crate::watch::Log;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::sleep;
use unwedge::StackLayer;
use unwedge::supervise::{Event, Heartbeat, Reason, State, Subsystem, Supervisor, Verdict, Watch};
use unwedge::testing::{Peer, Reply};
use unwedge::{Limits, retry};

/// The stale events so far, as `name minutes`: the watchdog looks every second.
fn stale(events: Vec<Event>) -> Vec<String> {
    let show = |event| match event {
        Event::Stale { name, silent_for, .. } => Some(format!("{name} {}", silent_for.as_secs() / 60)),
        _ => None,
    };
    events.into_iter().filter_map(show).collect()
}

/// Gets stuck, gets on again and stops once more.
#[tokio::test(start_paused = true)]
async fn one_that_gets_nowhere_recovers_by_progress_and_not_by_its_beats() {
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.spawn("scheduler", MINUTE, |heart| async move {
        heart.progress();
        for n in 1.. {
            sleep(10 * SECOND).await;
            match n % 20 {
                0 => heart.progress(),
                _ => heart.beat(),
            }
        }
    });
    lasts(crew, 390 * SECOND).await;
    let told: Vec<_> = news(&mut events).iter().map(|event| format!("{event:?}")).collect();
    let kinds: Vec<_> = told.iter().filter_map(|event| event.split(' ').next()).collect();
    assert_eq!(kinds, ["Stale", "Recovered", "Stale", "ShuttingDown"], "{told:?}");
}

/// What became of a loop that is to beat every minute, after this time.
async fn after<F, Fut>(time: Duration, run: F) -> (Subsystem, Vec<String>)
where
    F: FnMut(Heartbeat) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut crew = Supervisor::new();
    let (liveness, mut events) = (crew.liveness(), crew.events());
    crew.spawn("scheduler", MINUTE, run);
    let mut shown = Vec::new();
    let ended = async {
        sleep(time).await;
        shown = liveness.snapshot();
    };
    crew.run_until(ended, SECOND).await.unwrap();
    (shown.remove(0), stale(news(&mut events)))
}

#[tokio::test(start_paused = true)]
async fn one_that_works_and_is_silent_is_reported_once_after_twice_its_interval() {
    let (shown, stale) = after(10 * MINUTE, |heart| async move {
        heart.beat();
        pending::<()>().await;
    })
    .await;
    assert_eq!(stale, ["scheduler 2"]);
    assert_eq!(shown.verdict, Verdict::Silent(10 * MINUTE));
    assert_eq!(shown.to_string(), "scheduler: no progress for 600 s");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_never_seen_is_reported_when_it_had_its_time() {
    let (shown, stale) = after(10 * MINUTE, |_| pending::<()>()).await;
    assert_eq!(stale, ["scheduler 2"]);
    assert_eq!((shown.verdict, shown.last_tick_at), (Verdict::NeverSeen, None));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_parked_is_left_alone_and_shown_with_its_reason() {
    let (shown, stale) = after(10 * MINUTE, |heart| async move {
        let _parked = heart.parked("no job until somebody sends one");
        pending::<()>().await;
    })
    .await;
    assert_eq!(stale, [""; 0]);
    assert_eq!(shown.state, State::Parked("no job until somebody sends one".to_owned()));
    assert_eq!(shown.to_string(), "scheduler: parked (no job until somebody sends one)");
}

#[tokio::test(start_paused = true)]
async fn one_that_left_the_park_is_watched_again() {
    let (_, stale) = after(10 * MINUTE, |heart| async move {
        drop(heart.parked("for a moment"));
        pending::<()>().await;
    })
    .await;
    assert_eq!(stale, ["scheduler 2"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_rests_as_announced_is_left_alone_however_long() {
    let (shown, stale) = after(10 * MINUTE, |heart| async move {
        heart.rest(DAY).await;
    })
    .await;
    assert_eq!(stale, [""; 0]);
    assert_eq!(shown.state, State::Resting(DAY - 10 * MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_dropped_is_over() {
    let (shown, stale) = after(10 * MINUTE, |heart| async move {
        let _ = tokio::time::timeout(MINUTE, heart.rest(DAY)).await;
        pending::<()>().await;
    })
    .await;
    assert_eq!(shown.state, State::Working);
    assert_eq!(stale.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_beats_and_gets_nowhere_is_stale_and_told_apart_from_a_silent_one() {
    let (shown, stale) = after(312 * SECOND, |heart| async move {
        heart.progress();
        loop {
            sleep(10 * SECOND).await;
            heart.beat();
        }
    })
    .await;
    assert_eq!(stale, ["scheduler 2"]);
    assert_eq!(shown.verdict, Verdict::NotProgressing(312 * SECOND));
    assert_eq!(shown.to_string(), "scheduler: alive, not progressing for 312 s");
}

#[tokio::test(start_paused = true)]
async fn health_sees_who_is_silent_and_forgives_who_said_why() {
    let mut crew = Supervisor::new();
    let liveness = crew.liveness();
    crew.spawn("silent", MINUTE, |heart| async move {
        heart.beat();
        pending::<()>().await;
    });
    crew.spawn("parked", MINUTE, |heart| async move {
        let _parked = heart.parked("nothing to do");
        pending::<()>().await;
    });
    crew.spawn("resting", MINUTE, |heart| async move {
        heart.rest(DAY).await;
    });
    let mut seen = Vec::new();
    let ended = async {
        for _ in 0..2 {
            sleep(100 * SECOND).await;
            seen.push(liveness.is_healthy(&["silent", "parked", "resting"], 2 * MINUTE));
        }
    };
    crew.run_until(ended, SECOND).await.unwrap();
    assert_eq!(seen, [(true, vec![]), (false, vec!["silent".to_owned()])]);
}

#[tokio::test(start_paused = true)]
async fn watch_off_says_nothing_and_enforce_starts_the_stale_one_again() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    crew.spawn("off", MINUTE, |_| pending::<()>()).watch(Watch::Off);
    crew.spawn("kept", MINUTE, move |heart| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            heart.beat();
            pending::<()>().await;
        }
    })
    .policy(exact())
    .watch(Watch::Enforce);
    let (log, _guard) = Log::listen();
    lasts(crew, 5 * MINUTE).await;
    let told: Vec<_> = news(&mut events)
        .into_iter()
        .filter_map(|event| match event {
            Event::Stale { name, silent_for, .. } => {
                Some(format!("stale {name} {}", silent_for.as_secs() / 60))
            }
            Event::Restart { name, reason: Reason::Stale, wait, .. } => {
                Some(format!("restart {name} {wait:?}"))
            }
            Event::Recovered { name, after } => Some(format!("recovered {name} {}", after.as_secs() / 60)),
            _ => None,
        })
        .collect();
    // It hung right after its first heartbeat: that was no health, and the waits grow.
    let round = |restart| ["stale kept 2", restart, "recovered kept 2"];
    assert_eq!(told, [round("restart kept 1s"), round("restart kept 2s")].concat());
    assert_eq!(runs.load(Ordering::Relaxed), 3);
    let told = log.with("ERROR stale, restarting it: kept: no progress for 2m");
    assert!(told.len() == 2 && told[0].ends_with(" subsystem=\"kept\""), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stale_subsystem_is_shown_with_the_call_that_it_waits_in() {
    let peer = Peer::new().then(Reply::status(502)).forever(Reply::hang());
    let limits = Limits::default().total(DAY).attempt(330 * SECOND);
    let layer = StackLayer::builder()
        .limits(limits)
        .retry(retry::Settings::default().backoff(retry::Backoff::constant(290 * SECOND)))
        .build()
        .unwrap();
    let mut crew = Supervisor::new();
    let (liveness, mut events) = (crew.liveness(), crew.events());
    let service = stack(&peer, &layer);
    crew.spawn("scheduler", 150 * SECOND, move |heart| {
        let service = service.clone();
        async move {
            heart.progress();
            let _ = call(&service, get("/api/v1/alerts?token=secret")).await;
        }
    });
    let mut shown = Vec::new();
    let ended = async {
        sleep(299 * SECOND).await;
        shown = liveness.snapshot();
        sleep(13 * SECOND).await;
        shown.extend(liveness.snapshot());
    };
    let (log, _guard) = Log::listen();
    crew.run_until(ended, SECOND).await.unwrap();
    let wait = |seconds| format!("attempt 2 of 4, waiting for response headers for {seconds} s, deadline in");
    assert!(!shown[0].stale);
    assert!(shown[0].waits_for.as_ref().unwrap().contains(&wait(9)), "{:?}", shown[0]);
    assert!(shown[1].stale);
    let told = "scheduler: no progress for 312 s; in GET http://peer.test/api/v1/alerts, attempt 2 of 4, waiting for \
                response headers for 22 s, deadline in 23 h 54 m 48 s";
    assert_eq!(shown[1].to_string(), told);
    let Some(Event::Stale { waits_for: Some(waits_for), .. }) = news(&mut events).into_iter().next() else {
        panic!("it was reported")
    };
    assert!(waits_for.contains("GET http://peer.test/api/v1/alerts, attempt 2 of 4"), "{waits_for}");
    assert_eq!(log.with("ERROR stale: scheduler: no progress for 5m").len(), 1);
    assert_eq!(log.with("secret"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_several_calls_is_shown_and_those_of_others_are_not() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::builder().limits(Limits::default().total(DAY).attempt(DAY / 2)).build().unwrap();
    let (mut crew, other) = (Supervisor::new(), stack(&peer, &layer));
    let liveness = crew.liveness();
    let service = stack(&peer, &layer);
    crew.spawn("two", MINUTE, move |heart| {
        let service = service.clone();
        async move {
            let (first, second) = (service.clone(), service);
            let later = heart.scope(async move {
                sleep(SECOND).await;
                let _ = call(&second, get("/second")).await;
            });
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(later);
            let _ = call(&first, get("/first")).await;
        }
    });
    crew.spawn("none", MINUTE, |heart| async move { heart.cancelled().await });
    let (mut shown, mut table) = (Vec::new(), Vec::new());
    let ended = async {
        let mut nobodys = Box::pin(call(&other, get("/nobody")));
        let _ = tokio::time::timeout(10 * SECOND, &mut nobodys).await;
        shown = liveness.snapshot();
        table = layer.in_flight().snapshot().into_iter().map(|call| (call.subsystem, call.url)).collect();
    };
    crew.run_until(ended, SECOND).await.unwrap();
    assert!(shown[0].waits_for.as_ref().unwrap().contains("/first"), "{:?}", shown[0]);
    assert_eq!(shown[1].waits_for, None);
    table.sort();
    let two = Some("two".to_owned());
    let url = |path: &str| format!("http://peer.test/{path}");
    assert_eq!(table, [(None, url("nobody")), (two.clone(), url("first")), (two, url("second"))]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_polls_any_more_is_named_every_minute() {
    let peer = Peer::new().forever(Reply::hang());
    let layer = StackLayer::default();
    let service = stack(&peer, &layer);
    let mut crew = Supervisor::new();
    crew.spawn("relay", DAY, move |heart| {
        let service = service.clone();
        async move {
            let mut call = Box::pin(call(&service, get("/forgotten")));
            let _ = tokio::time::timeout(SECOND, &mut call).await;
            heart.cancelled().await;
        }
    });
    let (log, _guard) = Log::listen();
    lasts(crew, 3 * MINUTE + 30 * SECOND).await;
    let told = log.with("WARN call in flight beyond its bound: GET http://peer.test/forgotten");
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("subsystem=\"relay\""), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_to_detection_is_told_at_the_start() {
    let mut crew = Supervisor::new();
    crew.spawn("relay", MINUTE, |heart| async move { heart.cancelled().await });
    crew.patrol("alerts", 10 * MINUTE, MINUTE, |_| async {});
    crew.spawn("off", MINUTE, |heart| async move { heart.cancelled().await }).watch(Watch::Off);
    let (log, _guard) = Log::listen();
    lasts(crew, SECOND).await;
    assert_eq!(log.with("watchdog looks"), ["INFO watchdog looks after the loops subsystems=3 period=1s"]);
    assert_eq!(
        log.with("watched:"),
        [
            "INFO watched: a hang is reported within this time subsystem=\"relay\" within=2m1s",
            "INFO watched: a hang is reported within this time subsystem=\"alerts\" within=1m7s",
        ]
    );
}
