//! What is counted, compared with the manual and with what really happened.

use crate::support::*;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use std::collections::BTreeSet;
use std::task::Poll;
use tokio::time::{Instant, sleep, sleep_until};
use unwedge::metrics::{Kind, METRICS, record};
use unwedge::retry::Backoff;
use unwedge::testing::{Peer, Reply};
use unwedge::{Limits, Stack, StackLayer, breaker, long_poll, retry};

const PAGE: &str = include_str!("../../src/manual/metrics.md");

/// Counts what happens on this thread.
pub(crate) struct Counting {
    seen: Snapshotter,
    _local: metrics::LocalRecorderGuard<'static>,
}

impl Counting {
    pub(crate) fn begin() -> Counting {
        let recorder: &'static DebuggingRecorder = Box::leak(Box::new(DebuggingRecorder::new()));
        let counting =
            Counting { seen: recorder.snapshotter(), _local: metrics::set_default_local_recorder(recorder) };
        record();
        counting
    }

    /// `name{label=value,...}` and the value; of a histogram how many were recorded.
    pub(crate) fn series(&self) -> Vec<(String, f64)> {
        let all = self.seen.snapshot().into_vec();
        let shown = all.into_iter().map(|(key, _, _, value)| {
            let labels: Vec<String> =
                key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.0,
                DebugValue::Histogram(values) => values.len() as f64,
            };
            (format!("{}{{{}}}", key.key().name(), labels.join(",")), value)
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort_by(|a, b| a.0.cmp(&b.0));
        shown.iter().for_each(|(series, _)| is_listed(series));
        shown.into_iter().map(|(series, value)| (without_number(&series), value)).collect()
    }
}

/// The number of a client without a name hangs on the tests that run beside this one.
fn without_number(series: &str) -> String {
    let (name, rest) = series.split_once('{').unwrap();
    let numbered = |label: &&str| {
        let client = label.strip_prefix("client=");
        !client.is_some_and(|client| client == "other" || client.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let labels: Vec<&str> = rest.trim_end_matches('}').split(',').filter(numbered).collect();
    format!("{name}{{{}}}", labels.join(","))
}

/// Its name is in the table, and of labels it has those that the table lists, in that order; of calls some of them, and a
/// group only where requests have one.
fn is_listed(series: &str) {
    let (name, rest) = series.split_once('{').unwrap();
    let listed = METRICS.iter().find(|metric| metric.name == name);
    let listed = listed.unwrap_or_else(|| panic!("{series} is in no table"));
    let labels = rest.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
    let labels: Vec<&str> = labels.map(|(name, _)| name).collect();
    let mut expected = listed.labels.to_vec();
    if name == "http.client.request.duration" {
        expected.retain(|label| labels.contains(label));
    }
    expected.retain(|label| !["group", "client"].contains(label) || labels.contains(label));
    assert_eq!(labels, expected, "{series}");
}

/// The value of a series that must be there.
#[track_caller]
fn value(series: &[(String, f64)], name: &str) -> f64 {
    let found = series.iter().find(|(shown, _)| shown == name);
    found.unwrap_or_else(|| panic!("no {name} in {series:#?}")).1
}

async fn polled_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Names without labels.
fn names(series: &[(String, f64)]) -> BTreeSet<&str> {
    series.iter().filter_map(|(shown, _)| shown.split('{').next()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_is_counted_once_and_each_of_its_attempts_by_its_end() {
    let counting = Counting::begin();
    let peer = Peer::new()
        .then(Reply::refuse())
        .then(Reply::status(503))
        .then(Reply::ok(""))
        .forever(Reply::status(404));
    let service = stack(&peer, &built(StackLayer::builder().retry(every(MS))));
    call(&service, get("/jobs?token=x")).await.unwrap();
    call(&service, post("/jobs")).await.unwrap();
    let series = counting.series();
    let origin = "origin=http://peer.test";
    let at = "server.address=peer.test,server.port=80";
    for (name, wanted) in [
        (
            format!(
                "http.client.request.duration{{http.request.method=GET,{at},http.response.status_code=200}}"
            ),
            1.0,
        ),
        (
            format!(
                "http.client.request.duration{{http.request.method=POST,{at},http.response.status_code=404,error.type=404}}"
            ),
            1.0,
        ),
        (format!("unwedge_attempts_total{{{origin},outcome=connect}}"), 1.0),
        (format!("unwedge_attempts_total{{{origin},outcome=5xx}}"), 1.0),
        (format!("unwedge_attempts_total{{{origin},outcome=2xx}}"), 1.0),
        (format!("unwedge_attempts_total{{{origin},outcome=4xx}}"), 1.0),
        (format!("unwedge_retries_total{{{origin},cause=connect}}"), 1.0),
        (format!("unwedge_retries_total{{{origin},cause=503}}"), 1.0),
        (format!("unwedge_connection_failures_total{{{origin},cause=refused}}"), 1.0),
        // 500, less 4 twice, 4 back for the retry that succeeded, one more for the POST.
        (format!("unwedge_retry_budget_tokens{{{origin}}}"), 497.0),
        (format!("unwedge_breaker_phase{{{origin}}}"), 4.0),
    ] {
        assert_eq!(value(&series, &name), wanted, "{name}");
    }
    assert!(series.iter().all(|(shown, _)| !shown.contains("jobs") && !shown.contains("?")), "{series:?}");
}

/// A server of five failures and a probe that hangs.
fn breaks_down(then: Reply) -> Peer {
    let peer = Peer::new().on("/health", Reply::ok(""));
    peer.times(5, Reply::status(500)).then(Reply::hang()).forever(then)
}

/// The calls to it, until its recovery.
async fn lives_through_an_outage(peer: &Peer) -> Stack<Plain> {
    let rules = breaker::Settings::default().failures(5).open(Backoff::constant(SECOND)).half_open(1, 1);
    let layer = StackLayer::builder()
        .retry(retry::Settings::default().max_retries(0))
        .breaker(rules)
        .health("/health");
    let layer = layer.limits(Limits::default().attempt(5 * SECOND)).build().unwrap();
    let service = stack(peer, &layer);
    for _ in 0..5 {
        call(&service, get("/")).await.unwrap();
    }
    sleep(2 * SECOND).await;
    // A probe that is held and not polled loses its lease.
    let mut held = Box::pin(call(&service, get("/")));
    for _ in 0..50 {
        assert!(polled_once(held.as_mut()).await.is_none());
        sleep(MS).await;
    }
    sleep(12 * SECOND).await;
    let _ = call(&service, get("/")).await;
    drop(held);
    sleep(2 * SECOND).await;
    call(&service, get("/")).await.unwrap();
    service
}

#[tokio::test(start_paused = true)]
async fn a_circuit_is_counted_from_closed_to_closed_with_its_probe_that_hung_and_its_recovery() {
    let counting = Counting::begin();
    lives_through_an_outage(&breaks_down(Reply::ok(""))).await;
    let series = counting.series();
    let origin = "origin=http://peer.test";
    assert_eq!(value(&series, &format!("unwedge_breaker_phase{{{origin}}}")), 0.0, "{series:#?}");
    for (from, to, times) in [
        ("closed", "open", 1.0),
        ("open", "half_open", 2.0),
        ("half_open", "open", 1.0),
        ("half_open", "closed", 1.0),
    ] {
        let name = format!("unwedge_breaker_transitions_total{{{origin},from={from},to={to}}}");
        assert_eq!(value(&series, &name), times, "{name}");
    }
    assert_eq!(value(&series, &format!("unwedge_breaker_expired_leases_total{{{origin}}}")), 1.0);
    assert_eq!(value(&series, &format!("unwedge_health_checks_total{{{origin},outcome=passed}}")), 3.0);
    assert_eq!(value(&series, &format!("unwedge_recovery_seconds{{{origin}}}")), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_an_open_circuit_turns_away_is_counted_as_a_call_and_as_no_attempt() {
    let counting = Counting::begin();
    let peer = Peer::new().forever(Reply::ok(""));
    let layer = built(StackLayer::builder());
    layer.breakers().of(get("/").uri()).unwrap().force_open();
    assert!(call(&stack(&peer, &layer), get("/")).await.unwrap_err().is_open());
    let series = counting.series();
    let at = "server.address=peer.test,server.port=80";
    let name = format!("http.client.request.duration{{http.request.method=GET,{at},error.type=open}}");
    assert_eq!(value(&series, &name), 1.0);
    assert!(!names(&series).contains("unwedge_attempts_total"), "{series:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_is_counted_apart_and_while_it_waits() {
    let counting = Counting::begin();
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &built(StackLayer::builder()));
    let poll = with(get("/poll"), long_poll!("the test parks it").unbounded());
    {
        let mut waiting = Box::pin(call(&service, poll));
        assert!(polled_once(waiting.as_mut()).await.is_none());
        sleep(30 * SECOND).await;
        service.in_flight().publish();
        let series = counting.series();
        assert_eq!(value(&series, "unwedge_long_polls_in_flight{origin=http://peer.test}"), 1.0);
        assert_eq!(value(&series, "unwedge_unbounded_calls_total{origin=http://peer.test}"), 1.0);
        assert_eq!(value(&series, "unwedge_calls_in_flight{}"), 1.0);
        assert_eq!(value(&series, "unwedge_oldest_in_flight_seconds{}"), 30.0);
    }
    let series = counting.series();
    // The recorder shows what was added since it was last asked.
    assert_eq!(value(&series, "unwedge_long_polls_in_flight{origin=http://peer.test}"), -1.0);
    assert_eq!(
        value(&series, "unwedge_long_poll_duration_seconds{origin=http://peer.test,outcome=dropped}"),
        1.0
    );
    assert!(!names(&series).contains("http.client.request.duration"), "it would hide all others");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_counted_by_the_phase_that_it_fell_into() {
    let counting = Counting::begin();
    let peer = Peer::new().forever(Reply::hang());
    let service = stack(&peer, &built(StackLayer::builder()));
    let wished = with(get("/"), unwedge::Deadline::after(SECOND));
    call(&service, wished).await.unwrap_err();
    let series = counting.series();
    let name = "unwedge_deadline_exceeded_total{origin=http://peer.test,phase=headers}";
    assert_eq!(value(&series, name), 1.0, "{series:#?}");
}

#[tokio::test(start_paused = true)]
async fn origins_beyond_the_cap_and_methods_made_up_share_a_series() {
    let counting = Counting::begin();
    let peer = Peer::new().forever(Reply::ok(""));
    // Clients without a name may share their origins with those of other tests.
    let service = stack(&peer, &built(StackLayer::builder().name("many")));
    for n in 0..300 {
        let mut request = request(&format!("MADE{n}"), "/");
        *request.uri_mut() = format!("http://host{n}.test/").parse().unwrap();
        // The pipe knows one host, and what it refuses is counted as well.
        let _ = call(&service, request).await;
    }
    let series = counting.series();
    let of = |name: &str| series.iter().filter(|(shown, _)| shown.starts_with(name)).count();
    assert!(of("unwedge_breaker_phase{") <= 201, "{}", of("unwedge_breaker_phase{"));
    assert!(series.iter().any(|(shown, _)| shown.contains("origin=other")), "{series:#?}");
    assert!(series.iter().any(|(shown, _)| shown.contains("http.request.method=_OTHER")), "{series:#?}");
    assert!(!series.iter().any(|(shown, _)| shown.contains("MADE")), "{series:#?}");
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_lost_loops_that_end_and_items_that_expire_are_counted() {
    use unwedge::{queue, supervise::Supervisor};
    let counting = Counting::begin();
    let event = Reply::ok("data: 1\n\n").header("content-type", "text/event-stream");
    let peer = Peer::new().times(2, event).forever(Reply::hang());
    let service = stack(&peer, &built(StackLayer::builder()));
    let stream = unwedge::sse::Settings::default().name("prod").connect(service, get("/"));
    let mut stream = stream.expect("settings that fit together");
    for _ in 0..2 {
        stream.next().await.expect("no end").expect("an event");
    }
    drop(stream);

    let settings = queue::Settings::default().name("events").max_age(SECOND);
    let waiting = queue::Queue::new(settings).expect("a queue");
    waiting.push("a", 1).expect("room");
    sleep(2 * SECOND).await;
    assert_eq!(waiting.sweep().expired.len(), 1);
    assert!(waiting.try_pop().is_none());
    waiting.push("a", 2).expect("room");
    waiting.push("b", 3).expect("room");
    assert_eq!(waiting.try_pop().map(|item| item.value), Some(2));

    let mut crew = Supervisor::new();
    let mut runs = 0;
    crew.spawn("relay", 60 * SECOND, move |_| {
        runs += 1;
        async move {
            match runs {
                1 => panic!("the first one"),
                2 => Ok(()),
                3 => Err("the third one"),
                _ => std::future::pending().await,
            }
        }
    });
    crew.run_until(sleep(300 * SECOND), SECOND).await.expect("settings that fit together");

    let seen = counting.series();
    for (name, wanted) in [
        ("unwedge_event_stream_connects_total{stream=prod}", 2.0),
        ("unwedge_event_stream_losses_total{stream=prod,cause=server}", 1.0),
        ("unwedge_queue_expired_total{queue=events}", 1.0),
        ("unwedge_queue_waiting{queue=events}", 1.0),
        ("unwedge_restarts_total{subsystem=relay,reason=panic}", 1.0),
        ("unwedge_restarts_total{subsystem=relay,reason=return}", 1.0),
        ("unwedge_restarts_total{subsystem=relay,reason=error}", 1.0),
        ("unwedge_stale_total{subsystem=relay}", 1.0),
    ] {
        assert_eq!(value(&seen, name), wanted, "{name}");
    }
    assert!(!names(&seen).contains("unwedge_queue_held"), "it has no valve");
    drop(waiting);
    assert_eq!(value(&counting.series(), "unwedge_queue_waiting{queue=events}"), -1.0, "gone with its queue");
}

#[tokio::test(start_paused = true)]
async fn what_the_valve_of_a_queue_holds_is_shown_until_it_is_drained_expires_or_goes_with_the_queue() {
    use unwedge::queue::{Queue, Settings};
    let counting = Counting::begin();
    let queue = || {
        let settings = Settings::default().name("events").max_age(SECOND).valve(0.5, 60 * SECOND);
        Queue::new(settings).expect("a queue")
    };
    let held = || value(&counting.series(), "unwedge_queue_held{queue=events}");
    let push = |to: &Queue<u8, u8>| (0..20).for_each(|n| assert!(to.push(0, n).is_ok()));
    let first = queue();
    push(&first);
    assert_eq!((first.sweep().alarm, held()), (None, 0.0), "none is too old");
    sleep(2 * SECOND).await;
    assert!(first.sweep().alarm.is_some());
    assert_eq!(held(), 20.0);
    assert_eq!((first.drain().len(), held()), (20, 0.0));

    push(&first);
    sleep(2 * SECOND).await;
    assert!(first.sweep().alarm.is_some());
    sleep(61 * SECOND).await;
    assert_eq!((first.sweep().expired.len(), held()), (20, 0.0), "the valve gives way after its window");

    let second = queue();
    push(&second);
    sleep(2 * SECOND).await;
    assert!(second.sweep().alarm.is_some());
    assert_eq!(held(), 20.0);
    drop(second);
    assert_eq!(held(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_a_label_where_a_request_has_one() {
    let counting = Counting::begin();
    let peer = Peer::new().forever(Reply::ok(""));
    let layer = StackLayer::builder().name("jobs").build().unwrap();
    let service = stack(&peer, &layer);
    call(&service, with(get("/"), unwedge::Group::new("billing"))).await.unwrap();
    layer.breakers().of_group(&"http://peer.test".parse().unwrap(), "billing").unwrap().force_open();
    let series = counting.series();
    assert_eq!(
        value(&series, "unwedge_breaker_phase{origin=http://peer.test,client=jobs,group=billing}"),
        3.0
    );
    assert_eq!(value(&series, "unwedge_breaker_phase{origin=http://peer.test,client=jobs}"), 0.0);
    let budget = "unwedge_retry_budget_tokens{origin=http://peer.test,client=jobs,group=billing}";
    assert_eq!(value(&series, budget), 500.0);
    let changed = "unwedge_breaker_transitions_total\
                   {origin=http://peer.test,client=jobs,group=billing,from=closed,to=forced_open}";
    assert_eq!(value(&series, changed), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_full_run_emits_every_metric_of_the_table_and_no_other() {
    use unwedge::{queue, supervise::Supervisor};
    let counting = Counting::begin();
    let peer = Peer::new().then(Reply::refuse()).then(Reply::ok("")).forever(Reply::hang());
    let service = stack(&peer, &built(StackLayer::builder().retry(every(MS))));
    call(&service, get("/")).await.unwrap();
    call(&service, with(get("/"), unwedge::Deadline::after(SECOND))).await.unwrap_err();
    {
        let wait = long_poll!("the test parks it").unbounded();
        let mut poll = Box::pin(call(&service, with(get("/poll"), wait)));
        assert!(polled_once(poll.as_mut()).await.is_none());
        service.in_flight().publish();
    }
    let pooled = Peer::new().forever(Reply::ok(""));
    let pooled = client(&pooled).name("pooled").build().unwrap();
    pooled.get("http://peer.test/").await.unwrap();
    pooled.in_flight().publish();
    let shown = counting.series();
    for (state, count) in [("active", 0.0), ("idle", 1.0)] {
        let name = format!(
            "http.client.open_connections{{http.connection.state={state},server.address=peer.test,server.port=80,client=pooled}}"
        );
        assert_eq!(value(&shown, &name), count, "{name}");
    }
    let told = Peer::new().then(Reply::status(429).retry_after("100")).forever(Reply::ok(""));
    let throttled = stack(&told, &built(StackLayer::builder()));
    call(&throttled, get("/")).await.unwrap();
    assert!(call(&throttled, get("/")).await.unwrap_err().is_refused());
    for n in 0..=1024 {
        let group = format!("one of many {n}");
        service.breakers().of_group(&"http://peer.test".parse().unwrap(), group).unwrap();
    }
    let event = Reply::ok("data: 1\n\n").header("content-type", "text/event-stream");
    let peer = breaks_down(event);
    let service = lives_through_an_outage(&peer).await;
    let stream = unwedge::sse::Settings::default().name("prod").connect(service, get("/events"));
    let mut stream = stream.unwrap();
    for _ in 0..2 {
        stream.next().await.unwrap().unwrap();
    }
    let settings = queue::Settings::default().max_age(SECOND).valve(0.5, 60 * SECOND);
    let waiting = queue::Queue::new(settings).unwrap();
    waiting.push("a", 1).unwrap();
    sleep(2 * SECOND).await;
    assert!(waiting.sweep().alarm.is_none());
    let mut crew = Supervisor::new();
    let mut runs = 0;
    crew.spawn("relay", 10 * SECOND, move |_| {
        runs += 1;
        async move { if runs == 1 { Err("the first one") } else { std::future::pending().await } }
    });
    crew.run_until(sleep(60 * SECOND), SECOND).await.unwrap();

    let series = counting.series();
    let all: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names(&series), all);
}

#[tokio::test(start_paused = true)]
async fn a_supervised_loop_is_shown_with_its_age_and_whether_it_is_stale() {
    let (counting, start) = (Counting::begin(), Instant::now());
    let mut crew = unwedge::supervise::Supervisor::new();
    crew.spawn("relay", 10 * SECOND, |heart| async move {
        heart.beat();
        sleep(60 * SECOND).await;
        let _parked = heart.parked("nobody sends a job");
        heart.cancelled().await;
    });
    crew.spawn("mute", 600 * SECOND, |heart| async move { heart.cancelled().await });
    let looks = async {
        // Age of the relay, whether it is stale, age of the mute one.
        for (seconds, wanted) in [(15, [15.0, 0.0, 15.0]), (45, [45.0, 1.0, 45.0]), (75, [15.0, 0.0, 75.0])] {
            sleep_until(start + seconds * SECOND + SECOND / 2).await;
            let seen = counting.series();
            let age =
                |name| value(&seen, &format!("unwedge_subsystem_last_tick_age_seconds{{subsystem={name}}}"));
            let stale = value(&seen, "unwedge_subsystem_stale{subsystem=relay}");
            let told = [age("relay").round(), stale, age("mute").round()];
            assert_eq!(told, wanted, "after {seconds} s");
            assert_eq!(value(&seen, "unwedge_subsystem_stale{subsystem=mute}"), 0.0);
            assert!(value(&seen, "unwedge_watchdog_lag_seconds{}") >= 0.0);
        }
    };
    crew.run_until(looks, SECOND).await.unwrap();
}

#[test]
fn every_metric_is_in_the_manual_with_its_kind_and_labels() {
    let rows: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), METRICS.len(), "{rows:#?}");
    for metric in METRICS {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { " ".to_owned() } else { format!(" {} ", labels.join(" ")) };
        let row = format!("| `{}` | {kind} |{labels}|", metric.name);
        assert!(rows.iter().any(|line| line.starts_with(&row)), "the page lacks: {row}");
    }
}

#[test]
fn histograms_reach_beyond_the_default_deadline() {
    for metric in METRICS {
        assert_eq!(metric.kind == Kind::Histogram, !metric.buckets.is_empty(), "{}", metric.name);
        assert!(metric.buckets.is_empty() || metric.buckets.last() > Some(&30.0), "{}", metric.name);
        assert!(metric.buckets.is_sorted());
    }
}

#[tokio::test(start_paused = true)]
async fn calls_whose_group_is_one_too_many_are_counted() {
    let counting = Counting::begin();
    let peer = Peer::new().forever(Reply::ok(""));
    let service = stack(&peer, &StackLayer::builder().name("jobs").build().unwrap());
    for n in 0..1_030 {
        call(&service, with(get("/"), unwedge::Group::new(format!("g{n}")))).await.unwrap();
    }
    assert_eq!(
        value(&counting.series(), "unwedge_groups_folded_total{origin=http://peer.test,client=jobs}"),
        6.0
    );
}
