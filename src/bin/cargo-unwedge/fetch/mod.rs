//! A command-line call that always comes back.
//!
//! It is one request through [`unwedge::Client`]: under a deadline that covers the last byte, retried where that is
//! safe, judged by a circuit breaker, and with an error that says where the time went.

mod call;
mod options;
mod story;

use crate::common::{Args, Output, Stop, log, signals};
use call::{Fetch, Told};
use options::Options;
use std::process::ExitCode;
use story::Story;
use tokio::time::{Instant, sleep_until};

pub(crate) const HELP: &str = "\
Makes an HTTP call that always comes back.

Usage: fetch URL [options]

  --deadline 30s      the whole call, every attempt and wait, up to the last byte of the body; for a long poll
                      only where it is given
  --attempt 10s       one attempt; by default two thirds of the deadline where that is shorter
  --connect 5s        name resolution, TCP and TLS together; at most the attempt
  --idle 10s          the longest silence inside a body; at most the attempt
  --retries 3         attempts after the first, where repeating is safe
  --method GET        POST where there is --data
  --header K:V        may be repeated
  --data TEXT         the body of the request
  --health PATH       asks this path of the server for its health first, as in /health
  --long-poll REASON  the server may hold the request, for this reason
  --hold 60s          how long it holds it at most
  --repeat 1          so many calls through one client, so that breaker and health check can be watched
  --every 1s          from the start of one call to the next
  --ca FILE           trusts the certificates in this PEM file too
  --http2             HTTP/2 and nothing else, also without TLS; by default a server with TLS chooses
  --quiet             says nothing but errors on standard error
  --json              one JSON object a call on standard output; the body is counted, not printed
  --help, --version

Durations read 250ms, 30s, 5m, 1h. The body goes to standard output, the story of the attempts to standard error.

Exit code: 0 when a complete response with a status below 400 arrived (with --repeat: to the last call), 1 when not,
2 for an argument that cannot work.
";

pub(crate) fn run(args: Args) -> Result<ExitCode, Stop> {
    let options = Options::read(args)?;
    log::where_asked_for()?;
    let story = Story::listen(!options.quiet && !options.json);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(fetch(&options, &story));
    // A standard output that takes no bytes may still hold a thread.
    runtime.shutdown_background();
    code
}

async fn fetch(options: &Options, story: &Story) -> Result<ExitCode, Stop> {
    let fetch = Fetch::new(options)?;
    if options.repeat == 1 {
        return once(&fetch, options, story).await;
    }
    tokio::select! {
        // A watch that is ended by hand has done its work.
        _ = signals::ended() => Ok(ExitCode::SUCCESS),
        code = repeat(&fetch, options, story) => code,
    }
}

async fn repeat(fetch: &Fetch<'_>, options: &Options, story: &Story) -> Result<ExitCode, Stop> {
    let mut code = ExitCode::FAILURE;
    for n in 1..=options.repeat {
        let next = Instant::now() + options.every;
        code = once(fetch, options, story).await?;
        if n < options.repeat {
            sleep_until(next).await;
        }
    }
    Ok(code)
}

async fn once(fetch: &Fetch<'_>, options: &Options, story: &Story) -> Result<ExitCode, Stop> {
    let told = story.watch(fetch.in_flight(), fetch.call()).await?;
    Output::new(options.json).object(&told.object())?;
    story.tell(&told);
    Ok(code_of(&told))
}

fn code_of(told: &Told) -> ExitCode {
    match told.status {
        Some(status) if told.error.is_none() && status.as_u16() < 400 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
