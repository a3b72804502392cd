//! A sweep that panics and a sweep that hangs: the loop goes on after both.

use std::time::Duration;
use unwedge::supervise::{Event, Supervisor};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut crew = Supervisor::new();
    let mut events = crew.events();
    // Every 200 ms, each sweep at most 100 ms.
    crew.patrol("alerts", Duration::from_millis(200), Duration::from_millis(100), |sweep| async move {
        sweep.phase("collect");
        match sweep.number() {
            2 => panic!("an index that is out of bounds"),
            3 => std::future::pending().await, // a half-open connection
            _ => {}
        }
        sweep.phase("execute");
        Ok::<_, unwedge::Error>(())
    });

    // A daemon passes `ctrl_c()` here; this one ends after its fourth sweep.
    let fourth = async {
        while let Ok(event) = events.recv().await {
            if let Event::Sweep { n, outcome, phase, .. } = event {
                println!("sweep {n}: {} in {}", outcome.as_str(), phase.unwrap_or("no phase"));
                if n == 4 {
                    break;
                }
            }
        }
    };
    let report = crew.run_until(fourth, Duration::from_secs(5)).await?;
    println!("clean: {}, restarts: {}", report.clean, report.restarts);
    report.exit()
}
