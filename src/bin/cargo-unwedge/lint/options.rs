//! What was asked for on the command line.

use crate::common::args::Arg;
use crate::common::{Args, Stop};

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) dir: String,
    pub(crate) exclude: Vec<glob::Pattern>,
    pub(crate) sarif: Option<String>,
    pub(crate) print: Option<Print>,
    pub(crate) tests: bool,
    pub(crate) json: bool,
}

/// A configuration for another tool.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Print {
    Clippy,
    Strict,
    Deny,
}

impl Options {
    pub(crate) fn read(mut args: Args) -> Result<Options, Stop> {
        let (mut dir, mut exclude, mut sarif, mut print) = (None, Vec::new(), None, None);
        let (mut tests, mut json) = (false, false);
        while let Some(arg) = args.next()? {
            let flag = match &arg {
                Arg::Flag(flag) => flag.as_str(),
                Arg::Value(value) if dir.is_none() => {
                    dir = Some(value.clone());
                    continue;
                }
                Arg::Value(_) => return Err(args.unknown(&arg)),
            };
            match flag {
                "exclude" => {
                    let text = args.text()?;
                    let glob = glob::Pattern::new(text.trim_end_matches('/'));
                    exclude.push(glob.map_err(|error| args.wrong(format!("{text:?}: {error}")))?);
                }
                "sarif" => sarif = Some(args.text()?),
                "print" => {
                    print = Some(match args.text()?.as_str() {
                        "clippy" => Print::Clippy,
                        "strict" => Print::Strict,
                        "deny" => Print::Deny,
                        other => return Err(args.wrong(format!("{other:?}: clippy, strict or deny"))),
                    });
                }
                "tests" => tests = true,
                "json" => json = true,
                _ => return Err(args.unknown(&arg)),
            }
        }
        Ok(Options { dir: dir.unwrap_or_else(|| ".".to_owned()), exclude, sarif, print, tests, json })
    }
}
