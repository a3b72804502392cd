//! One call, from the request to the last byte.

use crate::common::duration::human;
use crate::common::output::{counted, millis};
use crate::common::{Object, Stop};
use crate::fetch::options::Options;
use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use unwedge::client::{Network, Tls};
use unwedge::inflight::InFlight;
use unwedge::{Body, Client, Error, Limits, LongPoll, retry};

/// What binds a call where nothing else was asked for. A long poll is bound by its hold.
const DEADLINE: Duration = Duration::from_secs(30);

/// A client, and what it is to ask for.
pub(crate) struct Fetch<'a> {
    options: &'a Options,
    client: Client,
    method: Method,
    poll: Option<LongPoll>,
}

/// What became of a call.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) status: Option<StatusCode>,
    pub(crate) bytes: u64,
    pub(crate) attempts: u32,
    pub(crate) took: Duration,
    pub(crate) breaker: &'static str,
    pub(crate) error: Option<Trouble>,
    pub(crate) retry_in: Option<Duration>,
}

/// Why there is no complete response.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: &'static str,
    pub(crate) phase: Option<&'static str>,
    pub(crate) text: String,
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Trouble {
        Trouble {
            kind: error.kind().as_str(),
            phase: error.phase().map(|phase| phase.as_str()),
            text: error.to_string(),
        }
    }
}

/// How reading a body ended early.
enum Cut {
    Stop(Stop),
    Error(Error),
    /// Standard output took no more bytes before the deadline.
    Reader,
}

impl<'a> Fetch<'a> {
    pub(crate) fn new(options: &'a Options) -> Result<Fetch<'a>, Stop> {
        let method = match &options.method {
            Some(method) => method.clone(),
            None if options.data.is_some() => Method::POST,
            None => Method::GET,
        };
        let poll = match &options.long_poll {
            Some(reason) => {
                Some(LongPoll::because_owned(reason.clone()).map_err(Stop::usage)?.up_to(options.hold))
            }
            None => None,
        };
        Ok(Fetch { options, client: client(options)?, method, poll })
    }

    pub(crate) fn in_flight(&self) -> InFlight {
        self.client.in_flight()
    }

    /// Asks once. A setting or an address that cannot work is a wrong argument.
    pub(crate) async fn call(&self) -> Result<Told, Stop> {
        let began = Instant::now();
        let deadline = self.deadline();
        let mut told = Told::default();
        let mut request = self.client.request(self.method.clone(), &self.options.url);
        for (name, value) in &self.options.headers {
            request = request.header(name, value.as_str());
        }
        if let Some(data) = &self.options.data {
            request = request.body(data.clone());
        }
        if let Some(poll) = &self.poll {
            request = request.long_poll(poll.clone());
        }
        if let Some(deadline) = deadline {
            request = request.deadline(deadline);
        }
        let ended = match request.send().await {
            Ok(response) => {
                let response = response.into_http();
                told.status = Some(response.status());
                let attempts = response.body().attempts();
                told.attempts = attempts.count;
                told.retry_in = attempts.retry_in;
                let until = deadline.map(|deadline| began + deadline);
                self.read(response.into_body(), until, &mut told.bytes).await
            }
            Err(error) if error.is_config() => return Err(Stop::usage(error)),
            Err(error) => {
                told.attempts = error.attempts();
                Err(Cut::Error(error))
            }
        };
        match ended {
            Ok(()) => {}
            Err(Cut::Stop(stop)) => return Err(stop),
            Err(Cut::Error(error)) => {
                told.error = Some(Trouble::from(&error));
                told.retry_in = error.retry_in().or(told.retry_in);
            }
            Err(Cut::Reader) => {
                let text = "nobody took the body from standard output before the deadline".to_owned();
                told.error = Some(Trouble { kind: "deadline", phase: Some("body"), text });
            }
        }
        told.took = began.elapsed();
        self.ask_breaker(&mut told);
        Ok(told)
    }

    /// The values shown in the help are defaults, not given flags: they never bind a long poll.
    fn deadline(&self) -> Option<Duration> {
        match (self.options.deadline, &self.poll) {
            (None, Some(_)) => None,
            (given, _) => Some(given.unwrap_or(DEADLINE)),
        }
    }

    /// Reads the body as it comes, so that its size does not matter.
    async fn read(&self, mut body: Body, until: Option<Instant>, bytes: &mut u64) -> Result<(), Cut> {
        let mut stdout = tokio::io::stdout();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(Cut::Error)?.into_data() else { continue };
            *bytes += data.len() as u64;
            if !self.options.json {
                write(&mut stdout, data, until).await?;
            }
        }
        Ok(())
    }

    fn ask_breaker(&self, told: &mut Told) {
        let uri = self.options.url.parse::<Uri>().ok();
        let Some(Ok(breaker)) = uri.map(|uri| self.client.breakers().of(&uri)) else { return };
        let now = breaker.snapshot();
        told.breaker = now.phase.as_str();
        told.retry_in = told.retry_in.or(now.retry_in);
    }
}

/// A reader that has stopped reading must not hold the call beyond its deadline.
async fn write(stdout: &mut tokio::io::Stdout, data: Bytes, until: Option<Instant>) -> Result<(), Cut> {
    let written = async {
        stdout.write_all(&data).await?;
        stdout.flush().await
    };
    let done = match until {
        Some(until) => timeout_at(until, written).await.map_err(|_| Cut::Reader)?,
        // The hold bounds the server; who reads sets the pace of what a long poll brings.
        None => written.await,
    };
    done.map_err(|error| Cut::Stop(error.into()))
}

fn client(options: &Options) -> Result<Client, Stop> {
    let mut limits = Limits::default();
    if let Some(deadline) = options.deadline {
        limits = limits.total(deadline);
    }
    if let Some(attempt) = options.attempt {
        limits = limits.attempt(attempt);
    }
    if let Some(connect) = options.connect {
        limits = limits.connect(connect);
    }
    if let Some(idle) = options.idle {
        limits = limits.idle(idle);
    }
    let mut client = Client::builder().limits(limits);
    if let Some(retries) = options.retries {
        client = client.retry(retry::Settings::default().max_retries(retries));
    }
    if let Some(path) = &options.health {
        client = client.health(path.as_str());
    }
    if let Some(file) = &options.ca {
        let pem = std::fs::read(file).map_err(|error| Stop::usage(format!("--ca: {file:?}: {error}")))?;
        client = client.tls(Tls::default().add_root_certificate(pem));
    }
    if options.http2 {
        client = client.network(Network::default().http2_only());
    }
    client.build().map_err(Stop::usage)
}

impl Told {
    pub(crate) fn object(&self) -> Object {
        let object = Object::new()
            .with("outcome", if self.error.is_none() { "ok" } else { "error" })
            .with("status", self.status.map(|status| status.as_u16()))
            .with("bytes", self.bytes)
            .with("attempts", self.attempts)
            .with("ms", millis(self.took))
            .with("breaker", self.breaker);
        let object = match &self.error {
            Some(error) => {
                object.with("kind", error.kind).with("phase", error.phase).with("error", error.text.as_str())
            }
            None => object,
        };
        object.with_known("retry_in_ms", self.retry_in.map(millis))
    }

    /// The one line for a person, after what was heard of the attempts before the last.
    pub(crate) fn sentence(&self, before: &[String]) -> String {
        let mut line = match (&self.error, self.status) {
            (Some(error), _) => return error.text.clone(),
            (None, Some(status)) => {
                format!("{status}, {} in {}", counted(self.bytes, "byte"), human(self.took))
            }
            (None, None) => String::new(),
        };
        if self.attempts > 1 {
            line.push_str(&format!(" (attempt {}; before: {})", self.attempts, before.join(", ")));
        }
        if let Some(wait) = self.retry_in {
            line.push_str(&format!(", try again in {}", human(wait)));
        }
        if self.breaker != "closed" {
            line.push_str(&format!(", circuit {}", self.breaker.replace('_', "-")));
        }
        line
    }
}
