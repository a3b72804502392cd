use super::*;

const LIMIT: Duration = Duration::from_secs(60);

/// Now, and a function that says when so many seconds ago was.
fn clock() -> (Instant, impl Fn(u64) -> Instant) {
    let now = Instant::now() + Duration::from_secs(10_000);
    (now, move |ago| now - Duration::from_secs(ago))
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn one_that_works_and_is_silent_is_stale_after_its_limit_and_not_at_it() {
    let (now, ago) = clock();
    let seen = |beat| SignsOfLife {
        beat: Some(ago(beat)),
        progress: None,
        activity: Activity::Working { since: ago(1000) },
    };
    assert_eq!(judge(seen(60), LIMIT, now), Verdict::Fresh);
    assert_eq!(judge(seen(61), LIMIT, now), Verdict::Silent(seconds(61)));
}

#[test]
fn beating_is_not_progressing() {
    let (now, ago) = clock();
    let seen = |progress| SignsOfLife {
        beat: Some(ago(1)),
        progress: Some(ago(progress)),
        activity: Activity::Working { since: ago(1000) },
    };
    assert_eq!(judge(seen(60), LIMIT, now), Verdict::Fresh);
    assert_eq!(judge(seen(312), LIMIT, now), Verdict::NotProgressing(seconds(312)));
    let only_beats = SignsOfLife { progress: None, ..seen(0) };
    assert_eq!(judge(only_beats, LIMIT, now), Verdict::Fresh, "it never claimed to progress");
}

#[test]
fn parked_and_silent_for_ever_is_not_stale() {
    let (now, ago) = clock();
    let seen = SignsOfLife { beat: Some(ago(9000)), progress: Some(ago(9000)), activity: Activity::Parked };
    assert_eq!(judge(seen, LIMIT, now), Verdict::Fresh);
}

#[test]
fn resting_longer_than_announced_is_stale_however_short_the_silence() {
    let (now, ago) = clock();
    let rests =
        |until| SignsOfLife { beat: Some(ago(500)), progress: None, activity: Activity::Resting { until } };
    assert_eq!(judge(rests(now + LIMIT), LIMIT, now), Verdict::Fresh);
    assert_eq!(judge(rests(now - LATE), LIMIT, now), Verdict::Fresh);
    assert_eq!(judge(rests(ago(5)), LIMIT, now), Verdict::Overslept(seconds(5)));
}

#[test]
fn time_in_the_park_or_asleep_is_no_silence_of_the_work_after_it() {
    let (now, ago) = clock();
    let seen = SignsOfLife {
        beat: Some(ago(5)),
        progress: Some(ago(5000)),
        activity: Activity::Working { since: ago(5) },
    };
    assert_eq!(judge(seen, LIMIT, now), Verdict::Fresh);
}

#[test]
fn one_that_was_never_seen_is_stale_but_has_its_time_before_it_is_reported() {
    let (now, ago) = clock();
    let seen =
        |since| SignsOfLife { beat: None, progress: None, activity: Activity::Working { since: ago(since) } };
    assert_eq!(judge(seen(0), LIMIT, now), Verdict::NeverSeen);
    assert_eq!(is_due(seen(60), LIMIT, now), Verdict::Fresh);
    assert_eq!(is_due(seen(61), LIMIT, now), Verdict::NeverSeen);
}

#[test]
fn one_that_waits_for_its_restart_is_unhealthy_in_time_and_never_ended_for_it() {
    let (now, ago) = clock();
    let seen = |beat| SignsOfLife {
        beat: Some(ago(beat)),
        progress: None,
        activity: Activity::BackOff { until: now + LIMIT },
    };
    assert_eq!(judge(seen(10), LIMIT, now), Verdict::Fresh);
    assert_eq!(judge(seen(100), LIMIT, now), Verdict::Silent(seconds(100)));
    assert_eq!(is_due(seen(100), LIMIT, now), Verdict::Fresh);
}

#[test]
fn one_that_ended_for_good_is_not_waited_for() {
    let (now, ago) = clock();
    let seen = SignsOfLife { beat: Some(ago(9000)), progress: None, activity: Activity::Stopped };
    assert_eq!(judge(seen, LIMIT, now), Verdict::Fresh);
}

#[test]
fn a_new_run_is_judged_from_its_own_start() {
    let (now, ago) = clock();
    let seen =
        SignsOfLife { beat: Some(ago(500)), progress: None, activity: Activity::Working { since: ago(10) } };
    assert_eq!(judge(seen, LIMIT, now), Verdict::Fresh);
}
