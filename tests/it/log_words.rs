//! What a call says in the log: words that people search for.

use crate::support::*;
use crate::watch::*;
use tokio::time::sleep;
use unwedge::testing::{Peer, Reply};
use unwedge::{Collect, StackLayer, long_poll, retry};

#[tokio::test(start_paused = true)]
async fn an_attempt_that_will_be_repeated_says_when_and_why() {
    let peer =
        Peer::new().then(Reply::refuse()).then(Reply::status(502)).then(Reply::hang()).forever(Reply::ok(""));
    let backoff = retry::Backoff::exponential(5 * SECOND).cap(300 * SECOND).jitter(retry::Jitter::None);
    let retries = retry::Settings::default().max_retries(10).backoff(backoff);
    let limits = unwedge::Limits::default().total(30 * MINUTE).attempt(10 * SECOND);
    let layer = built(StackLayer::builder().limits(limits).retry(retries));
    let (log, _guard) = Log::listen();
    call(&stack(&peer, &layer), get("/")).await.unwrap();
    let origin = "origin=http://peer.test";
    assert_eq!(
        log.with("DEBUG"),
        [
            format!(
                "DEBUG retry 1/10 in 5s: connection refused {origin} attempt=1 wait=5s cause=\"connection refused\""
            ),
            format!("DEBUG retry 2/10 in 10s: 502 {origin} attempt=2 wait=10s cause=\"502\""),
            format!(
                "DEBUG retry 3/10 in 20s: no response headers after 10s {origin} attempt=3 wait=20s \
                 cause=\"no response headers after 10s\""
            ),
        ]
    );
    assert_eq!(log.with("WARN"), [""; 0], "it went well in the end");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_failed_is_a_warning_at_most_once_a_second_with_the_number_left_out() {
    let peer = Peer::new().forever(Reply::refuse());
    let layer = each_once(steady().failures(1000)).build().unwrap();
    let service = stack(&peer, &layer);
    let (log, _guard) = Log::listen();
    for _ in 0..30 {
        calls(&service, 1).await;
        sleep(100 * MS).await;
    }
    let line = |suppressed: u32| {
        format!(
            "WARN GET http://peer.test/: connection refused origin=http://peer.test attempt=1 \
             cause=\"connection refused\" suppressed={suppressed}"
        )
    };
    assert_eq!(log.with("WARN"), [line(0), line(9), line(9)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_failed_says_when_the_next_one_has_a_chance_where_that_is_known() {
    let peer = Peer::new().forever(Reply::refuse());
    let layer = each_once(steady().failures(1).open(retry::Backoff::constant(7 * SECOND))).build().unwrap();
    let service = stack(&peer, &layer);
    let (log, _guard) = Log::listen();
    call(&service, get("/")).await.unwrap_err();
    let [line] = &log.with("WARN GET")[..] else { panic!("{:?}", log.lines()) };
    assert!(line.contains(" attempt=1 wait=7s cause=\"connection refused\" suppressed=0"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_no_warnings_and_the_circuit_says_once_that_it_opens() {
    let peer = Peer::new().times(5, Reply::status(500)).forever(Reply::ok(""));
    let layer = judged(steady());
    let service = stack(&peer, &layer);
    let (log, _guard) = Log::listen();
    calls(&service, 100).await;
    sleep(5 * SECOND).await;
    calls(&service, 3).await;
    let told: Vec<_> = log
        .lines()
        .into_iter()
        .filter(|line| !line.starts_with("span") && !line.starts_with("record"))
        .collect();
    let origin = "origin=\"http://peer.test\"";
    assert_eq!(
        told,
        [
            format!("WARN opening circuit after 5 consecutive failures {origin} from=\"closed\" to=\"open\""),
            format!("INFO entering half-open {origin} from=\"open\" to=\"half_open\""),
            format!("INFO circuit closed {origin} from=\"half_open\" to=\"closed\""),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_and_each_attempt_have_a_span() {
    let peer = Peer::new().times(2, Reply::status(502)).forever(Reply::ok(""));
    let layer = built(exact());
    let (log, _guard) = Log::listen();
    call(&stack(&peer, &layer), post("/jobs?id=7").map(|body| body)).await.unwrap();
    call(&stack(&peer, &layer), get("/jobs?id=7")).await.unwrap();
    assert_eq!(
        log.with("span call"),
        ["POST", "GET"].map(|method| format!(
            "span call http.request.method={method} server.address=\"peer.test\" server.port=80 \
             url.full=\"http://peer.test/jobs\""
        ))
    );
    assert_eq!(log.with("span attempt").len(), 1 + 2);
    assert_eq!(log.recorded("http.request.resend_count"), ["record http.request.resend_count=1"]);
}

#[tokio::test(start_paused = true)]
async fn an_opt_out_of_every_bound_is_told() {
    let peer = Peer::new().forever(Reply::ok(""));
    let (log, _guard) = Log::listen();
    let service = stack(&peer, &StackLayer::default());
    let poll = long_poll!("jobs are parked here");
    call(&service, with(get("/"), poll.clone())).await.unwrap();
    assert_eq!(log.with("without a bound").len(), 0);
    call(&service, with(with(get("/"), poll.unbounded()), Collect::never())).await.unwrap();
    assert_eq!(
        log.with("without a bound"),
        ["DEBUG long poll without a bound origin=http://peer.test reason=\"jobs are parked here\""]
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_says_when_it_is_lost_and_when_it_is_connected() {
    let quiet = "data: b\n\n";
    let peer = Peer::new()
        .then(Reply::status(503))
        .then(events("data: a\n\n"))
        .then(events_then_silence(quiet))
        .forever(Reply::status(204));
    let (log, _guard) = Log::listen();
    let mut stream = crate::event_streams::over(&peer, crate::event_streams::steady().name("prod-eu"));
    while stream.next().await.is_some() {}
    let lost = |cause: &str, error: &str| {
        format!(
            "WARN event stream lost cluster=\"prod-eu\" cause=\"{cause}\" attempt=1 wait=1s \
             error=\"GET http://peer.test/events: {error}\""
        )
    };
    assert_eq!(
        log.with("WARN"),
        [
            lost("server", "503 Service Unavailable"),
            lost("server", "the server ended the event stream"),
            lost("timeout", "the event stream is silent: no byte for 1m"),
        ]
    );
    assert_eq!(
        log.with("INFO"),
        [
            "INFO event stream connected cluster=\"prod-eu\" attempt=2",
            "INFO event stream connected cluster=\"prod-eu\" attempt=1",
            "INFO event stream ended by the server cluster=\"prod-eu\"",
        ]
    );
}
