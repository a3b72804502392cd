use super::*;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Wake;

const LEASE: Duration = Duration::from_secs(6);

fn poll(flight: &SingleFlight, waiting: &Waiting, now: Instant) -> Poll<Ended> {
    flight.poll(waiting, now, &mut Context::from_waker(Waker::noop()))
}

/// The probe under way, or a new one, ends like this.
fn verdict(flight: &SingleFlight, result: Result<(), Arc<str>>, now: Instant) -> Option<Duration> {
    let under_way = lock(&flight.0).under_way;
    let number = under_way.map_or_else(|| lock(&flight.0).begin(now), |(number, _)| number);
    flight.finish(number, result, now)
}

fn wait(flight: &SingleFlight, now: Instant) -> Waiting {
    match flight.ask(None, now) {
        Answer::Wait(waiting) => waiting,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_caller_leads_and_the_others_share_its_verdict() {
    let now = Instant::now();
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::OnDemand);
    assert!(matches!(flight.ask(None, now), Answer::Lead(_)));
    let (a, b) = (wait(&flight, now), wait(&flight, now));
    assert!(poll(&flight, &a, now).is_pending());
    verdict(&flight, Err("503".into()), now);
    assert!(matches!(poll(&flight, &a, now), Poll::Ready(Ended::Failed(cause)) if &*cause == "503"));
    assert!(matches!(poll(&flight, &b, now), Poll::Ready(Ended::Failed(_))));
    assert!(matches!(flight.ask(None, now), Answer::Refuse { .. }));
}

#[test]
fn a_leader_that_leaves_makes_one_waiter_lead_and_the_verdict_stays_unknown() {
    let now = Instant::now();
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::OnDemand);
    assert!(matches!(flight.ask(None, now), Answer::Lead(_)));
    let (a, b) = (wait(&flight, now), wait(&flight, now));
    flight.abandon(1);
    assert_eq!(flight.next_check(), None);
    assert!(matches!(poll(&flight, &a, now), Poll::Ready(Ended::Lead(_))));
    assert!(poll(&flight, &b, now).is_pending(), "one probe on the wire");
    verdict(&flight, Ok(()), now);
    assert!(matches!(poll(&flight, &b, now), Poll::Ready(Ended::Passed)));
}

#[test]
fn a_waiter_that_leaves_is_forgotten() {
    let now = Instant::now();
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::OnDemand);
    assert!(matches!(flight.ask(None, now), Answer::Lead(_)));
    let waiting = wait(&flight, now);
    assert!(poll(&flight, &waiting, now).is_pending());
    flight.leave(&waiting);
    assert!(lock(&flight.0).waiters.is_empty());
}

#[test]
fn a_new_half_open_generation_makes_the_verdict_stale_once() {
    let now = Instant::now();
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::OnDemand);
    verdict(&flight, Ok(()), now);
    assert!(matches!(flight.ask(None, now), Answer::Go));
    assert!(matches!(flight.ask(Some(2), now), Answer::Lead(_)));
    verdict(&flight, Ok(()), now);
    assert!(matches!(flight.ask(Some(2), now), Answer::Go));
}

#[test]
fn after_failure_means_no_check_before_the_first_failure_and_none_after_the_next_success() {
    let now = Instant::now();
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::AfterFailure);
    assert!(matches!(flight.ask(None, now + Duration::from_secs(3600)), Answer::Go));
    flight.doubt();
    assert!(matches!(flight.ask(None, now), Answer::Lead(_)));
    verdict(&flight, Ok(()), now);
    assert!(matches!(flight.ask(None, now + Duration::from_secs(3600)), Answer::Go));
}

#[test]
fn a_probe_of_a_half_open_circuit_goes_however_fresh_the_verdict_is_and_one_at_a_time() {
    let now = Instant::now();
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::Background);
    verdict(&flight, Ok(()), now);
    assert!(flight.rests(now));
    let number = flight.probe(2, now).unwrap();
    assert_eq!(flight.probe(2, now), None);
    assert!(flight.rests(now), "somebody is at it");
    assert!(!flight.rests(now + LEASE));
    flight.finish(number, Ok(()), now);
    assert!(flight.probe(2, now).is_some(), "the next follows at once");
}

#[test]
fn a_healthy_origin_is_called_while_it_is_checked_beside_the_calls_and_the_outcome_holds_from_then_on() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::Background);
    assert!(matches!(flight.ask(None, start), Answer::Lead(1)), "nothing is known yet");
    assert_eq!(flight.lead_beside(start), None, "somebody is at it");
    flight.finish(1, Ok(()), start);
    assert_eq!(flight.lead_beside(at(29)), None, "it is fresh");
    let number = flight.lead_beside(at(30)).unwrap();
    assert!(matches!(flight.ask(None, at(33)), Answer::Go));
    assert!(
        matches!(flight.ask(Some(1), at(33)), Answer::Wait(_)),
        "a probe of a half-open circuit is no call"
    );
    flight.finish(number, Err("503".into()), at(34));
    assert!(matches!(flight.ask(None, at(34)), Answer::Refuse { .. }));
    let number = flight.lead_beside(at(35)).unwrap();
    assert!(matches!(flight.ask(None, at(36)), Answer::Wait(_)), "it was down");
    flight.finish(number, Ok(()), at(37));
    assert!(matches!(flight.ask(None, at(37)), Answer::Go));
}

#[test]
fn the_moment_between_a_verdict_and_its_next_check_makes_no_caller_check_unless_nobody_begins_one() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::Background);
    let number = flight.lead_beside(start).unwrap();
    flight.finish(number, Ok(()), start);
    assert!(matches!(flight.ask(None, at(30_000)), Answer::Go));
    let number = flight.lead_beside(at(30_001)).unwrap();
    assert!(matches!(flight.ask(None, at(36_000)), Answer::Go));
    assert!(matches!(flight.ask(None, at(36_001)), Answer::Lead(_)), "nobody makes that check any more");
    assert!(flight.finish(number, Ok(()), at(36_002)).is_none());

    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::Background);
    let number = flight.lead_beside(start).unwrap();
    flight.finish(number, Ok(()), start);
    assert!(matches!(flight.ask(None, at(31_000)), Answer::Lead(_)), "its task has ended");
    assert!(matches!(flight.ask(None, at(31_001)), Answer::Wait(_)), "on demand then, one for all");
}

#[test]
fn a_verdict_that_a_call_made_is_renewed_beside_the_calls_once_the_task_that_keeps_it_has_seen_it() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    for seen in [false, true] {
        let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::Background);
        assert!(matches!(flight.ask(None, start), Answer::Lead(1)));
        assert!(flight.rests(start), "a call is at it");
        flight.finish(1, Ok(()), start);
        assert!(!seen || flight.rests(at(1_000)));
        let answer = flight.ask(None, at(30_000));
        assert_eq!((matches!(answer, Answer::Go), matches!(answer, Answer::Lead(2))), (seen, !seen));
    }
}

#[test]
fn who_waited_with_its_check_for_room_leads_for_its_whole_time_from_then_on() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::OnDemand);
    assert!(matches!(flight.ask(None, start), Answer::Lead(1)));
    let waiting = wait(&flight, start);
    flight.renew(1, at(4));
    flight.renew(2, at(8));
    assert_eq!(flight.leader_ends(), Some(at(10)));
    assert!(poll(&flight, &waiting, at(9)).is_pending());
    flight.finish(1, Ok(()), at(9));
    assert!(matches!(poll(&flight, &waiting, at(9)), Poll::Ready(Ended::Passed)));
    flight.renew(1, at(9));
    assert_eq!(flight.leader_ends(), None);
}

#[test]
fn an_outage_that_ends_says_how_long_it_was() {
    let now = Instant::now();
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::OnDemand);
    assert_eq!(verdict(&flight, Ok(()), now), None);
    assert_eq!(verdict(&flight, Err("503".into()), now), None);
    let later = now + Duration::from_secs(7);
    assert_eq!(verdict(&flight, Ok(()), later), Some(Duration::from_secs(7)));
}

#[test]
fn a_leader_that_nobody_polls_any_more_loses_its_lead_and_its_late_verdict_is_no_news() {
    let now = Instant::now();
    let flight = SingleFlight::new(Duration::from_secs(30), LEASE, Mode::OnDemand);
    assert!(matches!(flight.ask(None, now), Answer::Lead(1)));
    let waiting = wait(&flight, now);
    assert_eq!(flight.leader_ends(), Some(now + LEASE));
    assert!(poll(&flight, &waiting, now + LEASE - Duration::from_millis(1)).is_pending());
    assert!(matches!(poll(&flight, &waiting, now + LEASE), Poll::Ready(Ended::Lead(2))));
    assert_eq!(flight.finish(1, Err("late".into()), now + LEASE), None);
    flight.abandon(1);
    assert!(
        matches!(flight.ask(None, now + LEASE), Answer::Wait(_)),
        "the second probe is still on the wire"
    );
    flight.finish(2, Ok(()), now + LEASE);
    assert!(matches!(flight.ask(None, now + LEASE), Answer::Go));
}

/// A waker that looks at the flight when it is dropped, and panics when it is to wake.
struct Nosy(Arc<SingleFlight>, Arc<AtomicU32>);

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        panic!("nobody is here");
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        let _ = self.0.leader_ends();
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn wakers_that_are_replaced_or_dropped_may_look_at_the_flight() {
    let (done, told) = std::sync::mpsc::sync_channel(1);
    // On a thread of its own, since what waits for itself never ends.
    std::thread::spawn(move || {
        let (now, dropped) = (Instant::now(), Arc::new(AtomicU32::new(0)));
        let flight = Arc::new(SingleFlight::new(Duration::from_secs(30), LEASE, Mode::OnDemand));
        assert!(matches!(flight.ask(None, now), Answer::Lead(_)));
        let waiting = wait(&flight, now);
        for _ in 0..3 {
            let waker = Waker::from(Arc::new(Nosy(Arc::clone(&flight), Arc::clone(&dropped))));
            assert!(flight.poll(&waiting, now, &mut Context::from_waker(&waker)).is_pending());
        }
        let replaced = dropped.load(Ordering::Relaxed);
        flight.leave(&waiting);
        let _ = done.send((replaced, dropped.load(Ordering::Relaxed)));
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok((2, 3)));
}

#[test]
fn a_waker_that_panics_keeps_no_other_waiter_asleep() {
    struct Woken(AtomicU32);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let now = Instant::now();
    let flight = Arc::new(SingleFlight::new(Duration::from_secs(30), LEASE, Mode::OnDemand));
    assert!(matches!(flight.ask(None, now), Answer::Lead(_)));
    let woken = Arc::new(Woken(AtomicU32::new(0)));
    let panics = Arc::new(Nosy(Arc::clone(&flight), Arc::default()));
    for waker in [Waker::from(panics), Waker::from(Arc::clone(&woken))] {
        let waiting = wait(&flight, now);
        assert!(flight.poll(&waiting, now, &mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(verdict(&flight, Ok(()), now), None);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
}
