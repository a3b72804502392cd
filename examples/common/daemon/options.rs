//! What can be asked of every long-running example.

use crate::common::{Args, Stop};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use unwedge::retry;

/// The lines of these options, for a help text made by `concat!`.
macro_rules! help {
    () => {
        "  --server URL        uses this server; by default one of its own on a free port of this machine
  --admin ADDR|none   where the admin endpoints listen (127.0.0.1:0)
  --for DURATION      ends after this time, as by SIGTERM
  --seed N            fixes all that is drawn at random
  --json              one JSON object an event on standard output; the log goes to standard error
  --help, --version
"
    };
}
pub(crate) use help;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// `http://host:port`, with a path perhaps, and without a slash at its end.
    pub(crate) server: Option<String>,
    /// `None` where there shall be no admin endpoints.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) run_for: Option<Duration>,
    pub(crate) seed: Option<u64>,
    pub(crate) json: bool,
}

impl Default for Options {
    fn default() -> Options {
        let admin = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Options { server: None, admin, run_for: None, seed: None, json: false }
    }
}

impl Options {
    /// Takes a flag that belongs here, with its value, and says whether it does. A program that reads one of them in
    /// its own way asks for it first.
    pub(crate) fn take(&mut self, flag: &str, args: &mut Args) -> Result<bool, Stop> {
        match flag {
            "server" => self.server = Some(server(args)?),
            "admin" => self.admin = address_or_none(args)?,
            "for" => self.run_for = Some(args.limit()?),
            "seed" => self.seed = Some(args.number()?),
            "json" => self.json = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// These retries with waits that `--seed` fixes, and the open waits of the circuits of their client with them.
    pub(crate) fn seeded(&self, retries: retry::Settings) -> retry::Settings {
        match self.seed {
            Some(seed) => {
                let backoff = retries.get_backoff().clone().seed(seed);
                retries.backoff(backoff)
            }
            None => retries,
        }
    }
}

fn server(args: &mut Args) -> Result<String, Stop> {
    let text = args.text()?;
    let wrong = |why: &str| args.wrong(format!("{text:?} {why}: write http://host:port"));
    let url: http::Uri = text.parse().map_err(|_| wrong("is no URL"))?;
    match url.scheme_str() {
        Some("http" | "https") if url.query().is_none() => Ok(text.trim_end_matches('/').to_owned()),
        Some("http" | "https") => Err(wrong("has a query")),
        _ => Err(wrong("is neither http nor https")),
    }
}

fn address_or_none(args: &mut Args) -> Result<Option<SocketAddr>, Stop> {
    let text = args.text()?;
    if text == "none" {
        return Ok(None);
    }
    let address = text.parse();
    address
        .map(Some)
        .map_err(|_| args.wrong(format!("{text:?} is neither an address like 127.0.0.1:0 nor none")))
}
