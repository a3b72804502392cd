//! What is known of raw clients: which paths wait without a limit, and what bounds them.

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Makes a client without a limit.
    Client,
    /// Begins a builder whose client has a limit only if it is set.
    Builder,
    /// Calls without a limit.
    Call,
    /// Connects without a limit: whatever bounds the future bounds all of it.
    Connect,
    /// The opt-out of a request, with its reason.
    LongPoll,
    /// The opt-out of every limit.
    Unbounded,
    /// A service that somebody vouches for, with a reason.
    Vouch,
    /// Bounds the future that it is given.
    Scope,
    /// A layer, or a middleware, whose service has a deadline.
    Stack,
}

impl Known {
    /// What this path stands for, if anything. It begins with the name of the crate.
    pub(crate) fn of(path: &[String]) -> Option<Known> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (krate, rest) = path.split_first()?;
        match *krate {
            "reqwest" => reqwest(rest),
            // Whatever else makes one is given a client of reqwest.
            "reqwest_middleware" if rest == ["ClientWithMiddleware", "default"] => Some(Known::Client),
            "hyper_util" => hyper_util(rest),
            "hyper" => match rest {
                ["client", "conn", "http1" | "http2", "handshake"] => Some(Known::Client),
                ["client", "conn", "http1" | "http2", "Builder", "new"] => Some(Known::Client),
                _ => None,
            },
            "ureq" => ureq(rest),
            "isahc" => isahc(rest),
            "std" if rest == ["net", "TcpStream", "connect"] => Some(Known::Connect),
            "tokio" => match rest {
                ["net", "TcpStream", "connect"] => Some(Known::Connect),
                ["time", "timeout" | "timeout_at"] => Some(Known::Scope),
                _ => None,
            },
            "unwedge" => unwedge(rest),
            _ => None,
        }
    }

    /// Whether paths of this crate mean anything here.
    pub(crate) fn is_crate(name: &str) -> bool {
        const CRATES: &[&str] = &[
            "reqwest",
            "reqwest_middleware",
            "hyper_util",
            "hyper",
            "ureq",
            "isahc",
            "std",
            "tokio",
            "unwedge",
        ];
        CRATES.contains(&name)
    }

    /// Whether anything known begins with this path, so that a glob import may have brought it.
    pub(crate) fn begins(path: &[String]) -> bool {
        let path = path.join("::");
        NAMES.iter().any(|name| {
            name.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    }
}

/// What a glob import of these crates brings along.
const NAMES: &[&str] = &[
    "hyper::client::conn::http1::handshake",
    "hyper::client::conn::http1::Builder",
    "hyper::client::conn::http2::handshake",
    "hyper::client::conn::http2::Builder",
    "hyper_util::client::legacy::Builder",
    "hyper_util::client::legacy::Client",
    "isahc::HttpClient",
    "isahc::HttpClientBuilder",
    "isahc::delete",
    "isahc::delete_async",
    "isahc::get",
    "isahc::get_async",
    "isahc::head",
    "isahc::head_async",
    "isahc::post",
    "isahc::post_async",
    "isahc::put",
    "isahc::put_async",
    "isahc::send",
    "isahc::send_async",
    "reqwest::Client",
    "reqwest::ClientBuilder",
    "reqwest::blocking::Client",
    "reqwest::blocking::ClientBuilder",
    "reqwest::blocking::get",
    "reqwest::get",
    "reqwest_middleware::ClientWithMiddleware",
    "std::net::TcpStream",
    "tokio::net::TcpStream",
    "tokio::time::timeout",
    "tokio::time::timeout_at",
    "unwedge::LongPoll",
    "unwedge::StackLayer",
    "unwedge::long_poll",
    "unwedge::stack::DeadlineLayer",
    "unwedge::stack::StackLayer",
    "unwedge::vouch",
    "unwedge::within",
    "ureq::Agent",
    "ureq::agent",
    "ureq::config::Config",
    "ureq::connect",
    "ureq::delete",
    "ureq::get",
    "ureq::head",
    "ureq::options",
    "ureq::patch",
    "ureq::post",
    "ureq::put",
    "ureq::run",
    "ureq::trace",
];

fn reqwest(path: &[&str]) -> Option<Known> {
    match path.strip_prefix(&["blocking"]).unwrap_or(path) {
        ["get"] => Some(Known::Call),
        ["Client", "new" | "default"] => Some(Known::Client),
        ["Client", "builder"] | ["ClientBuilder", "new" | "default"] => Some(Known::Builder),
        _ => None,
    }
}

fn hyper_util(path: &[&str]) -> Option<Known> {
    match path {
        ["client", "legacy", "Client", "builder"] | ["client", "legacy", "Builder", "new"] => {
            Some(Known::Client)
        }
        _ => None,
    }
}

fn ureq(path: &[&str]) -> Option<Known> {
    match path {
        ["get" | "post" | "put" | "delete" | "head" | "options" | "connect" | "patch" | "trace" | "run"] => {
            Some(Known::Call)
        }
        ["agent"] | ["Agent", "new" | "new_with_defaults"] => Some(Known::Client),
        ["Agent", "config_builder"] | ["config", "Config", "builder"] => Some(Known::Builder),
        ["builder"] | ["AgentBuilder", "new"] => Some(Known::Builder),
        ["config", "Config", "default"] => Some(Known::Client),
        _ => None,
    }
}

fn isahc(path: &[&str]) -> Option<Known> {
    match path {
        ["get" | "head" | "post" | "put" | "delete" | "send"] => Some(Known::Call),
        ["get_async" | "head_async" | "post_async" | "put_async" | "delete_async" | "send_async"] => {
            Some(Known::Call)
        }
        ["HttpClient", "new"] => Some(Known::Client),
        ["HttpClient", "builder"] | ["HttpClientBuilder", "new" | "default"] => Some(Known::Builder),
        _ => None,
    }
}

fn unwedge(path: &[&str]) -> Option<Known> {
    match path {
        ["LongPoll", "because" | "because_owned"] | ["long_poll"] => Some(Known::LongPoll),
        ["LongPoll", "unbounded"] => Some(Known::Unbounded),
        ["vouch"] => Some(Known::Vouch),
        ["within"] => Some(Known::Scope),
        ["StackLayer" | "DeadlineLayer", ..] => Some(Known::Stack),
        ["stack", "StackLayer" | "DeadlineLayer" | "StackBuilder", ..] => Some(Known::Stack),
        ["reqwest", "ResilienceMiddleware" | "Unwedge", ..] => Some(Known::Stack),
        _ => None,
    }
}

/// Methods of builders, and of requests, that set a limit which covers the wait for a response.
pub(crate) fn bounds(method: &str) -> bool {
    matches!(
        method,
        "timeout"
            | "read_timeout"
            | "timeout_read"
            | "timeout_global"
            | "timeout_per_call"
            | "timeout_recv_response"
    )
}

/// The clients whose `Default` has no limit.
pub(crate) fn is_default_unbounded(path: &[String]) -> bool {
    let mut path = path.to_vec();
    path.push("default".to_owned());
    matches!(Known::of(&path), Some(Known::Client | Known::Builder))
}
