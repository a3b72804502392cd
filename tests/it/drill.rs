//! The built drill: its command line, and one scenario from end to end. All of them are played by the gate.

use crate::program::{refused, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_a_name_and_a_promise_a_line() {
    let ran = run("drill", &["--list"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let names: Vec<&str> = ran.stdout.lines().filter_map(|line| Some(line.split_once('\t')?.0)).collect();
    assert_eq!(names.len(), ran.stdout.lines().count(), "{}", ran.stdout);
    for name in [
        "accept-silence",
        "headers-stall",
        "restart-502",
        "reset-mid-body",
        "drip",
        "broker",
        "flapping",
        "retry-after",
        "goodbye",
        "rolling-restart",
        "dead-replica",
        "quiet-watch",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_cannot_work_ends_with_two_and_nothing_on_standard_output() {
    let lines = [
        (&["--only", "no-such"][..], "accept-silence"),
        (&["--svg", "no-such-directory/x.svg"], "no-such-directory"),
        (&["--svg"], "--svg"),
        (&["--bogus"], "--bogus"),
        (&["stray"], "stray"),
    ];
    refused("drill", &lines).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_is_measured_with_all_three_clients_and_drawn() {
    let svg = std::env::temp_dir().join(format!("unwedge-drill-{}.svg", std::process::id()));
    let path = svg.to_str().expect("a path in UTF-8");
    let ran = run("drill", &["--only", "headers-stall", "--json", "--svg", path]).await;
    let picture = std::fs::read_to_string(&svg).expect("the picture was written");
    std::fs::remove_file(&svg).expect("it was there");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let objects = ran.objects();
    let [plain, plain_retry, unwedge, done] = &objects[..] else { panic!("four objects: {ran:?}") };
    for (run, client) in [(plain, "plain"), (plain_retry, "plain_retry"), (unwedge, "unwedge")] {
        assert_eq!((&run["scenario"], &run["client"]), (&"headers-stall".into(), &client.into()));
        for number in ["calls", "requests"] {
            assert!(run[number].as_u64().is_some_and(|n| n > 0), "{run}");
        }
        assert!(run["promise"].is_string() && run["breaker"].is_array(), "{run}");
    }
    assert_eq!((&plain["outcome"], &plain["kept"]), (&"hung".into(), &false.into()));
    assert_eq!(plain["recovered_ms"], serde_json::Value::Null);
    assert_eq!(plain_retry["outcome"], "recovered");
    assert_eq!((&unwedge["outcome"], &unwedge["kept"]), (&"recovered".into(), &true.into()));
    assert_eq!(unwedge["breaker"][0], "open");
    assert_eq!((&done["event"], &done["exit"]), (&"done".into(), &0.into()));
    assert_eq!((&done["scenarios"], &done["kept"]), (&1.into(), &1.into()));
    for said in ["role=\"img\"", "<title>Failed calls: unwedge ", "<desc>headers-stall, careful hyper: hung"]
    {
        assert!(picture.contains(said), "{said} is not in the picture");
    }
    assert!(ran.took.as_secs() < 60);
}

/// The servers behind one address and the agent with few descriptors are more than a scripted peer.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_meets_a_balancer_and_one_without_descriptors_is_a_process_of_its_own() {
    let ran = run("drill", &["--only", "dead-replica", "--only", "descriptors", "--json"]).await;
    let objects = ran.objects();
    let [replicas @ .., _, _, _, _] = &objects[..] else { panic!("seven objects: {ran:?}") };
    for run in replicas {
        let number = |field: &str| run[field].as_u64().expect("a number");
        // Each third connection ends without a word, and is tried again.
        assert!(number("requests") > number("calls") * 5 / 4, "{run}");
        assert!(number("calls") > 50, "{run}");
    }
    for run in &objects[3..6] {
        assert_eq!(run["scenario"], "descriptors");
        // Not a single connection came for 3.5 s, though the server was there.
        assert!(run["first_error_ms"].is_u64() && run["requests"].as_u64().expect("a number") < 40, "{run}");
        assert!(run["calls"].as_u64().expect("a number") > 10, "{run}");
    }
}
