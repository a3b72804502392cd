//! Arguments, and how a program ends.

use super::log;
use super::sink::is_closed;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// Why a program ends before its work is done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// An argument or a setting that cannot work: exit code 2.
    Usage(String),
    /// An address that cannot be had: exit code 2, and the help has nothing to say to it.
    Taken(String),
    /// A promise that was not kept, or work that cannot be done: exit code 1.
    Failed(String),
    /// Nobody reads standard output any more: a quiet end.
    Closed,
    /// `--help`, `--version`.
    Told(String),
}

impl Stop {
    /// An argument that cannot work: the message names its value and the rule.
    pub(crate) fn usage(message: impl Display) -> Stop {
        Stop::Usage(message.to_string())
    }

    /// An address that was asked for, and cannot be listened on for this reason.
    pub(crate) fn listen(setting: &str, at: SocketAddr, error: impl Display) -> Stop {
        let in_use = TcpListener::bind(at).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
        Stop::Taken(match in_use {
            true => format!("{setting}: port {} of {} is in use by another program", at.port(), at.ip()),
            false => format!("{setting}: {at} cannot be listened on: {error}"),
        })
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        if is_closed(&error) { Stop::Closed } else { Stop::Failed(error.to_string()) }
    }
}

impl From<lexopt::Error> for Stop {
    fn from(error: lexopt::Error) -> Stop {
        Stop::usage(error)
    }
}

/// Runs a program and turns its end into an exit code.
pub(crate) fn run(name: &str, program: impl FnOnce() -> Result<ExitCode, Stop>) -> ExitCode {
    match program() {
        Ok(code) => code,
        Err(Stop::Closed) => ExitCode::SUCCESS,
        Err(Stop::Told(text)) => {
            // Whoever closed standard output does not want to be told.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(Stop::Usage(message)) => {
            let _ = writeln!(io::stderr(), "{name}: {message} (see {name} --help)");
            ExitCode::from(2)
        }
        Err(Stop::Taken(message)) => {
            let _ = writeln!(io::stderr(), "{name}: {message}");
            ExitCode::from(2)
        }
        Err(Stop::Failed(message)) => {
            let _ = writeln!(io::stderr(), "{name}: {message}");
            ExitCode::FAILURE
        }
    }
}

/// One argument.
#[derive(Debug)]
pub(crate) enum Arg {
    /// `--name`, without its dashes. What follows is asked for by one of the functions of [`Args`].
    Flag(String),
    /// Anything else.
    Value(String),
}

/// The command line, one argument after the other. `--help` and `--version` are answered here, and what is said of the
/// log is kept for it.
pub(crate) struct Args {
    parser: lexopt::Parser,
    name: &'static str,
    help: &'static str,
    /// What people type where it is one command of several.
    called: Option<String>,
    flag: String,
}

impl Args {
    /// The arguments of this process.
    pub(crate) fn new(name: &'static str, help: &'static str) -> Args {
        Args { parser: lexopt::Parser::from_env(), name, help, called: None, flag: String::new() }
    }

    /// The arguments of a command within another program, which people type as `called`.
    pub(crate) fn within(
        called: String,
        name: &'static str,
        help: &'static str,
        given: Vec<std::ffi::OsString>,
    ) -> Args {
        let parser = lexopt::Parser::from_args(given);
        Args { parser, name, help, called: Some(called), flag: String::new() }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Arg>, Stop> {
        loop {
            match self.read()? {
                Some(Arg::Flag(flag)) if log::take(&flag, self)? => {}
                other => return Ok(other),
            }
        }
    }

    fn read(&mut self) -> Result<Option<Arg>, Stop> {
        use lexopt::Arg as Parsed;
        let flag = match self.parser.next()? {
            None => return Ok(None),
            Some(Parsed::Value(value)) => return Ok(Some(Arg::Value(text(value, "an argument")?))),
            Some(Parsed::Long(name)) => name.to_owned(),
            Some(Parsed::Short('h')) => "help".to_owned(),
            Some(Parsed::Short('V')) => "version".to_owned(),
            Some(Parsed::Short(letter)) => return Err(Stop::usage(format!("unknown option -{letter}"))),
        };
        match &*flag {
            "help" => {
                let usage = |called: &str| format!("Usage: {called}");
                let help = self.help.replacen(&usage(self.name), &usage(self.called()), 1);
                Err(Stop::Told(help + log::HELP))
            }
            "version" => Err(Stop::Told(format!("{} {}\n", self.called(), env!("CARGO_PKG_VERSION")))),
            _ => {
                self.flag.clone_from(&flag);
                Ok(Some(Arg::Flag(flag)))
            }
        }
    }

    fn called(&self) -> &str {
        self.called.as_deref().unwrap_or(self.name)
    }

    /// All that is left, as it stands there: the arguments of a command that is to be run.
    pub(crate) fn rest(&mut self) -> Result<Vec<std::ffi::OsString>, Stop> {
        Ok(self.parser.raw_args()?.collect())
    }

    /// What to say to an argument that nobody asked for.
    pub(crate) fn unknown(&self, arg: &Arg) -> Stop {
        match arg {
            Arg::Flag(flag) => Stop::usage(format!("unknown option --{flag}")),
            Arg::Value(value) => Stop::usage(format!("{value:?}: one argument too many")),
        }
    }

    /// The text after the flag.
    pub(crate) fn text(&mut self) -> Result<String, Stop> {
        let value = self.parser.value()?;
        text(value, &format!("--{}", self.flag))
    }

    /// The duration after the flag.
    pub(crate) fn duration(&mut self) -> Result<Duration, Stop> {
        let text = self.text()?;
        unwedge::duration::parse(&text).map_err(|why| self.wrong(why))
    }

    /// A duration above zero.
    pub(crate) fn limit(&mut self) -> Result<Duration, Stop> {
        let text = self.text()?;
        // Nothing with any unit, and with none.
        let nothing = text.bytes().all(|byte| byte == b'0') && !text.is_empty();
        match unwedge::duration::parse(&text) {
            Ok(limit) if !limit.is_zero() => Ok(limit),
            Err(why) if !nothing => Err(self.wrong(why)),
            _ => Err(self.wrong("0 s: it must be longer than zero")),
        }
    }

    /// The address with a port after the flag.
    pub(crate) fn address(&mut self) -> Result<SocketAddr, Stop> {
        let text = self.text()?;
        text.parse().map_err(|_| self.wrong(format!("{text:?} is no address like 127.0.0.1:4000")))
    }

    /// The whole number after the flag.
    pub(crate) fn number<N: FromStr>(&mut self) -> Result<N, Stop> {
        let text = self.text()?;
        text.parse().map_err(|_| self.wrong(format!("{text:?} is not a whole number in its range")))
    }

    /// The value of the flag that was read last cannot work.
    pub(crate) fn wrong(&self, why: impl Display) -> Stop {
        Stop::usage(format!("--{}: {why}", self.flag))
    }
}

fn text(value: std::ffi::OsString, of: &str) -> Result<String, Stop> {
    value.into_string().map_err(|value| Stop::usage(format!("{of}: {value:?} is not UTF-8")))
}
