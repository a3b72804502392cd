//! Lines of a program that must not stand still because nobody reads them: a thread of its own writes them, from a
//! queue with a bound. What does not fit is counted and left out.

use crate::common::sink::{self, Closed, Sink, Wrote};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Lines that wait to be written.
const QUEUE: usize = 4096;
/// How long the last line may take.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Lines {
    queue: mpsc::Sender<Line>,
    lost: Arc<AtomicU64>,
    closed: watch::Receiver<bool>,
}

/// Complete, with its line feed.
#[derive(Debug)]
enum Line {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Flush(oneshot::Sender<()>),
}

impl Lines {
    pub(crate) fn start() -> io::Result<Lines> {
        let (queue, lines) = mpsc::channel(QUEUE);
        let (close, closed) = watch::channel(false);
        let lost = Arc::<AtomicU64>::default();
        let to = (Sink::new(sink::stdout()?), Sink::new(sink::stderr()?));
        let counted = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || write(lines, to, &counted, &close))?;
        Ok(Lines { queue, lost, closed })
    }

    /// A line on standard output, soon.
    pub(crate) fn out(&self, line: String) {
        self.push(Line::Out(line.into_bytes()));
    }

    /// How many lines were left out.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until a line could not be written to standard output, since its reader is gone.
    pub(crate) async fn closed(&self) {
        // The thread ends with the last sender, and this is one.
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }

    /// A last line on standard output, and all that is before it; given up where nobody reads.
    pub(crate) async fn last(&self, line: String) {
        let (done, written) = oneshot::channel();
        let all = async {
            let _ = self.queue.send(Line::Out(line.into_bytes())).await;
            let _ = self.queue.send(Line::Flush(done)).await;
            written.await
        };
        let _ = timeout(PATIENCE, all).await;
    }

    /// The place of the log: standard error where standard output is for programs.
    pub(crate) fn log(&self, json: bool) -> Log {
        Log { lines: self.clone(), json }
    }

    fn push(&self, line: Line) {
        if self.queue.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(
    mut lines: mpsc::Receiver<Line>,
    (mut stdout, mut stderr): (Sink<impl Write>, Sink<impl Write>),
    lost: &AtomicU64,
    closed: &watch::Sender<bool>,
) {
    while let Some(line) = lines.blocking_recv() {
        let wrote = match line {
            // An empty line is none: what is said last, where nothing is left to be said.
            Line::Out(line) if line.is_empty() => continue,
            Line::Out(line) => match stdout.line(&line) {
                Err(Closed) => {
                    closed.send_replace(true);
                    continue;
                }
                Ok(wrote) => wrote,
            },
            // Without a reader of the log there is nobody to tell, and no reason to end.
            Line::Err(line) => stderr.line(&line).unwrap_or(Wrote::Lost),
            Line::Flush(done) => {
                let _ = done.send(());
                continue;
            }
        };
        match wrote {
            Wrote::Line => {}
            Wrote::Lost => drop(lost.fetch_add(1, Ordering::Relaxed)),
            Wrote::AfterLoss(lines) => tracing::warn!(lines, "there is room again: lines were lost"),
        }
    }
}

/// One event of the log, which its subscriber writes at once.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Lines,
    json: bool,
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let bytes = line.to_vec();
        self.lines.push(if self.json { Line::Err(bytes) } else { Line::Out(bytes) });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
