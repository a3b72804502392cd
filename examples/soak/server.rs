//! The faults, in a process of their own.

use crate::common::Stop;
use std::io::{self, Write};
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use unwedge::testing::{Fault, FaultServer};

/// The argument by which this program starts itself as the server.
pub(crate) const SERVE: &str = "--serve-faults";

/// A process starts within that on a machine that is not lost.
const START: Duration = Duration::from_secs(20);

/// Plays every fault until standard input ends, which it does with whoever started this.
pub(crate) async fn serve() -> Result<ExitCode, Stop> {
    let faults = FaultServer::start_all()?;
    let lines: String = faults.urls().map(|(_, url)| format!("{url}\n")).collect();
    io::stdout().write_all(lines.as_bytes())?;
    io::stdout().flush()?;
    let mut end = Vec::new();
    tokio::io::stdin().read_to_end(&mut end).await?;
    Ok(ExitCode::SUCCESS)
}

/// The process that plays the faults; it ends with this.
pub(crate) struct Server {
    urls: Vec<String>,
    _process: Child,
}

impl Server {
    pub(crate) async fn start() -> Result<Server, Stop> {
        let mut command = Command::new(std::env::current_exe()?);
        let command = command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let Some(stdout) = process.stdout.take() else {
            return Err(Stop::Failed("the faults have no standard output".to_owned()));
        };
        let mut lines = BufReader::new(stdout).lines();
        let mut urls = Vec::new();
        while urls.len() < Fault::all().len() {
            let line = timeout(START, lines.next_line()).await;
            let Ok(Some(url)) = line.map_err(io::Error::from).and_then(|line| line) else {
                return Err(Stop::Failed("the faults could not be started".to_owned()));
            };
            urls.push(url);
        }
        Ok(Server { urls, _process: process })
    }

    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }
}
