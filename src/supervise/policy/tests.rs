use super::*;
use rand::SeedableRng;

const SECOND: Duration = Duration::from_secs(1);

/// The default without jitter.
fn exact() -> Policy {
    Policy::default().backoff(Backoff::exponential(SECOND).cap(30 * SECOND).jitter(Jitter::None))
}

/// A loop that ends in these ways after so many seconds each, started again as decided: the waits, and where it
/// escalated.
fn play(policy: &Policy, ends: &[(Reason, u64)]) -> (Vec<u64>, Vec<usize>) {
    let (mut restarts, mut rng) = (Restarts::default(), Rng::seed_from_u64(1));
    let mut now = Instant::now();
    let (mut waits, mut escalations) = (Vec::new(), Vec::new());
    for (n, (reason, ran)) in ends.iter().enumerate() {
        let began = now;
        now += Duration::from_secs(*ran);
        let healthy = *reason != Reason::Stale && now - began >= policy.healthy_after;
        match restarts.ended(policy, *reason, healthy, now, &mut rng) {
            Decision::Stop => break,
            Decision::Restart { wait, escalate } => {
                waits.push(wait.as_secs());
                if escalate {
                    escalations.push(n + 1);
                }
                now += wait;
            }
        }
    }
    (waits, escalations)
}

#[test]
fn waits_double_from_one_second_to_thirty_and_stay_there() {
    let (waits, _) = play(&exact(), &[(Reason::Panic, 0); 7]);
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    let (waits, _) = play(&exact(), &[(Reason::Error, 0), (Reason::Stale, 0), (Reason::Panic, 0)]);
    assert_eq!(waits, [1, 2, 4], "an error and a stale run count like a panic");
}

#[test]
fn thirty_seconds_of_health_make_the_next_wait_the_first_and_a_bit_less_do_not() {
    let ends = [(Reason::Panic, 0), (Reason::Panic, 29), (Reason::Panic, 30), (Reason::Panic, 0)];
    assert_eq!(play(&exact(), &ends).0, [1, 2, 1, 2]);
}

#[test]
fn a_return_is_restarted_after_five_seconds_or_not_at_all() {
    let policy = exact();
    assert_eq!(play(&policy, &[(Reason::Return, 0), (Reason::Panic, 0), (Reason::Return, 0)]).0, [5, 1, 5]);
    let stop = policy.on_return(OnReturn::Stop);
    assert_eq!(play(&stop, &[(Reason::Panic, 0), (Reason::Return, 0), (Reason::Panic, 0)]).0, [1]);
}

#[test]
fn the_sixth_restart_inside_two_minutes_escalates_once_and_goes_on_at_the_longest_wait() {
    let (waits, escalations) = play(&exact(), &[(Reason::Return, 1); 12]);
    assert_eq!(waits[..5], [5; 5]);
    assert_eq!(waits[5..], [30; 7]);
    assert_eq!(escalations, [6]);
}

#[test]
fn the_window_slides() {
    // A restart every 25 s (20 s of run, 5 s of wait) is five in two minutes and no more.
    let (_, escalations) = play(&exact(), &[(Reason::Return, 20); 40]);
    assert_eq!(escalations, [0; 0]);
    let (_, escalations) = play(&exact().intensity(4, 120 * SECOND), &[(Reason::Return, 20); 40]);
    assert_eq!(escalations, [5]);
}

#[test]
fn one_that_was_healthy_again_escalates_again() {
    let mut ends = vec![(Reason::Panic, 0); 8];
    ends.push((Reason::Panic, 500));
    ends.extend([(Reason::Panic, 0); 8]);
    let (waits, escalations) = play(&exact(), &ends);
    assert_eq!(escalations, [6, 14]);
    assert_eq!(waits[8], 1);
}

#[test]
fn the_sixth_hang_without_a_healthy_run_between_escalates_however_long_each_took() {
    let (waits, escalations) = play(&exact(), &[(Reason::Stale, 600); 8]);
    assert_eq!((waits[..6].to_vec(), escalations), (vec![1, 2, 4, 8, 16, 30], vec![6]));
    // An error every ten minutes is none, and a healthy run makes them count anew.
    let (_, escalations) = play(&exact(), &[(Reason::Error, 600); 20]);
    assert_eq!(escalations, [0; 0]);
    let days = [[(Reason::Stale, 600); 5].as_slice(), &[(Reason::Error, 600)]].concat();
    assert_eq!(play(&exact(), &days.repeat(4)).1, [0; 0]);
    // So does one that returned, however short it was: it did not hang.
    let weeks = [(Reason::Stale, 600), (Reason::Return, 5)];
    assert_eq!(play(&exact(), &weeks.repeat(20)).1, [0; 0]);
}

#[test]
fn no_restart_allowed_means_the_first_escalates() {
    let (waits, escalations) = play(&exact().intensity(0, SECOND), &[(Reason::Panic, 0); 2]);
    assert_eq!((waits, escalations), (vec![30, 30], vec![1]));
}

#[test]
fn settings_that_cannot_work_are_named_with_their_value() {
    let says = |policy: Policy, words: &[&str]| {
        let error = policy.check("relay").unwrap_err();
        assert!(error.is_config());
        for word in words {
            assert!(error.to_string().contains(word), "{error}");
        }
    };
    says(Policy::default().healthy_after(Duration::ZERO), &["healthy_after of relay", "0 s"]);
    says(Policy::default().intensity(5, Duration::ZERO), &["window of restarts of relay", "0 s"]);
    says(Policy::default().on_return(OnReturn::Restart(LONGEST + SECOND)), &["return of relay", "10 years"]);
    says(
        Policy::default().backoff(Backoff::exponential(SECOND).multiplier(0.5)),
        &["restarts of relay", "0.5"],
    );
    assert!(Policy::default().check("relay").is_ok());
}

#[test]
fn every_wait_is_drawn_from_ten_percent_around_what_was_set_unless_that_is_without_jitter() {
    let begun = Instant::now();
    let many = |policy: &Policy, reason: Reason, ends: u32| -> Vec<Duration> {
        let loops = 1..=50;
        loops
            .map(|seed| {
                let (mut restarts, mut rng) = (Restarts::default(), Rng::seed_from_u64(seed));
                let mut last = Duration::ZERO;
                for _ in 0..ends {
                    match restarts.ended(policy, reason, false, begun, &mut rng) {
                        Decision::Restart { wait, .. } => last = wait,
                        Decision::Stop => unreachable!("it is started again"),
                    }
                }
                last
            })
            .collect()
    };
    // The first and the third wait, a return, and the longest once it was given up.
    for (reason, ends, least, most) in [
        (Reason::Panic, 1, 900, 1_100),
        (Reason::Error, 3, 3_600, 4_400),
        (Reason::Return, 1, 4_500, 5_500),
        (Reason::Stale, 20, 27_000, 30_000),
        (Reason::Return, 20, 27_000, 30_000),
    ] {
        let mut waits = many(&Policy::default(), reason, ends);
        waits.sort_unstable();
        let within = Duration::from_millis(least)..=Duration::from_millis(most);
        assert!(waits.iter().all(|wait| within.contains(wait)), "{reason} {ends}: {waits:?}");
        let spread = waits[waits.len() - 1] - waits[0];
        assert!(spread > Duration::from_millis(most - least) / 2, "{reason} {ends}: {waits:?}");
        let exactly = many(&exact(), reason, ends);
        assert!(exactly.iter().all(|wait| *wait == exactly[0]), "{reason} {ends}: {exactly:?}");
    }
}
