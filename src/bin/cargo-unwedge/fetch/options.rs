//! What was asked for on the command line.

use crate::common::args::Arg;
use crate::common::{Args, Stop};
use http::Method;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The command line. `None` stands for a default of the library, which may hang on another limit.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) deadline: Option<Duration>,
    pub(crate) attempt: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) method: Option<Method>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) data: Option<String>,
    pub(crate) health: Option<String>,
    pub(crate) long_poll: Option<String>,
    pub(crate) hold: Duration,
    pub(crate) repeat: u64,
    pub(crate) every: Duration,
    pub(crate) ca: Option<String>,
    pub(crate) http2: bool,
    pub(crate) quiet: bool,
    pub(crate) json: bool,
}

impl Options {
    pub(crate) fn read(mut args: Args) -> Result<Options, Stop> {
        let mut options = Options {
            url: String::new(),
            deadline: None,
            attempt: None,
            connect: None,
            idle: None,
            retries: None,
            method: None,
            headers: Vec::new(),
            data: None,
            health: None,
            long_poll: None,
            hold: 60 * SECOND,
            repeat: 1,
            every: SECOND,
            ca: None,
            http2: false,
            quiet: false,
            json: false,
        };
        let mut url = None;
        let mut hold = None;
        while let Some(arg) = args.next()? {
            let flag = match &arg {
                Arg::Flag(flag) => flag.as_str(),
                Arg::Value(value) if url.is_none() => {
                    url = Some(value.clone());
                    continue;
                }
                Arg::Value(_) => return Err(args.unknown(&arg)),
            };
            match flag {
                "deadline" => options.deadline = Some(args.limit()?),
                "attempt" => options.attempt = Some(args.limit()?),
                "connect" => options.connect = Some(args.limit()?),
                "idle" => options.idle = Some(args.limit()?),
                "retries" => options.retries = Some(args.number()?),
                "method" => options.method = Some(method(&mut args)?),
                "header" => options.headers.push(header(&mut args)?),
                "data" => options.data = Some(args.text()?),
                "health" => options.health = Some(args.text()?),
                "long-poll" => options.long_poll = Some(args.text()?),
                "hold" => hold = Some(args.limit()?),
                "repeat" => options.repeat = args.number()?,
                "every" => options.every = args.duration()?,
                "ca" => options.ca = Some(args.text()?),
                "http2" => options.http2 = true,
                "quiet" => options.quiet = true,
                "json" => options.json = true,
                _ => return Err(args.unknown(&arg)),
            }
        }
        options.url = url.ok_or_else(|| Stop::usage("no URL: say what to fetch"))?;
        if options.repeat == 0 {
            return Err(Stop::usage("--repeat: 0 calls are none, it must be at least 1"));
        }
        match (hold, &options.long_poll) {
            (Some(hold), Some(_)) => options.hold = hold,
            (Some(_), None) => return Err(Stop::usage("--hold: only a --long-poll is held")),
            (None, _) => {}
        }
        Ok(options)
    }
}

fn method(args: &mut Args) -> Result<Method, Stop> {
    let text = args.text()?;
    text.parse().map_err(|_| args.wrong(format!("{text:?} is not a method")))
}

/// What a header may consist of is for the library to say, which does not repeat a value that may be a secret.
fn header(args: &mut Args) -> Result<(String, String), Stop> {
    let text = args.text()?;
    match text.split_once(':') {
        Some((name, value)) => Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned())),
        None => Err(args.wrong(format!("{text:?} has no colon: write NAME:VALUE"))),
    }
}
