//! A client in a process of its own that may open few files: this test binary, started again for this one row.

use crate::servers::clients::{ALL, Caller, Which};
use crate::servers::load::{Load, Tally, offer};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// What the test itself has open is among them.
const FILES: u32 = 40;
const ROW: &str = "servers::descriptors_used_up_cost_no_more_than_they_must";
/// What a process of its own is to do: the client, burst, milliseconds, rounds and URL.
const TASK: &str = "UNWEDGE_TEST_FEW_DESCRIPTORS";
const TOLD: &str = "what became of it: ";

/// As `offer`, by a process that may open 40 files.
pub(crate) async fn offer_beyond(which: Which, load: Load, url: &str) -> Tally {
    let task = format!("{} {} {} {} {url}", which.as_str(), load.burst, load.every.as_millis(), load.rounds);
    let said = Command::new("timeout")
        .args(["60", "sh", "-c", &format!("ulimit -n {FILES} && exec \"$@\""), "sh"])
        .arg(std::env::current_exe().expect("a test has a path"))
        .args(["--exact", ROW, "--nocapture", "--test-threads=1"])
        .env(TASK, task)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("a shell");
    let text = String::from_utf8_lossy(&said.stdout);
    let told = text.lines().find_map(|line| line.split_once(TOLD)).map(|(_, told)| told);
    let told = told.unwrap_or_else(|| {
        panic!("{} said nothing: {text}\n{}", which.as_str(), String::from_utf8_lossy(&said.stderr))
    });
    serde_json::from_str(told).expect("its own words")
}

pub(crate) fn is_child() -> bool {
    std::env::var_os(TASK).is_some()
}

/// The other end of `offer_beyond`.
pub(crate) async fn child() {
    let task = std::env::var(TASK).expect("asked for before");
    let words: Vec<&str> = task.split(' ').collect();
    let [client, burst, every, rounds, url] = words[..] else { panic!("no task: {task}") };
    let number = |word: &str| word.parse::<u32>().expect("a number");
    let load = Load {
        burst: number(burst),
        every: Duration::from_millis(number(every).into()),
        rounds: number(rounds),
        post: None,
    };
    let which = ALL.into_iter().find(|which| which.as_str() == client).expect("a client");
    let tally = offer(Caller::new(which, false), load, url.to_owned()).await;
    println!("{TOLD}{}", serde_json::to_string(&tally).expect("numbers and words"));
}
