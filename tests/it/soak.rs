//! The soak, small: calls against every fault leave nothing behind.

use crate::program::run;

#[tokio::test(flavor = "multi_thread")]
async fn calls_against_every_fault_leave_no_socket_task_entry_slot_or_memory_behind() {
    let ran = run("soak", &["--json", "--calls", "700", "--seed", "7"]).await;
    let objects = ran.objects();
    let done = objects.last().expect("a last line");
    assert_eq!((&done["event"], &done["kept"], ran.code), (&"done".into(), &true.into(), Some(0)), "{ran:?}");
    let made: u64 =
        ["answered", "failed", "refused", "dropped"].iter().filter_map(|end| done[end].as_u64()).sum();
    assert_eq!((made, &done["calls"]), (700, &700.into()), "{done}");
    for end in ["answered", "failed", "refused", "dropped"] {
        assert_ne!(done[end], 0, "a load without all kinds of ends proves little: {done}");
    }
    for (what, at_most) in
        [("sockets", 0), ("tasks", 0), ("entries", 0), ("slots", 0), ("memory_kib", 8 * 1024)]
    {
        let count = |when: &str| done[format!("{what}_{when}")].as_u64();
        if let (Some(before), Some(after)) = (count("before"), count("after")) {
            assert!(after <= before + at_most, "{what}: {done}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_of_no_calls_is_refused() {
    let ran = run("soak", &["--calls", "0"]).await;
    assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{ran:?}");
    assert!(ran.stderr.contains("--calls: 0: it must be at least 1"), "{ran:?}");
}
