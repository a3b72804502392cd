//! What is known of raw clients: which paths wait without a limit, and what bounds them.

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Makes a client without a limit.
    Client,
    /// Begins a builder whose client has a limit only if it is set.
    Builder,
    /// Begins a builder whose client has a limit unless it is taken away.
    Tame,
    /// Settings of a client, which may have a limit.
    Settings,
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
    /// Whose `scope` does.
    Deadline,
    /// Is ready after a while.
    Timer,
    /// What looks like one of these and is none.
    Plain,
    /// A layer, or a middleware, whose service has a deadline.
    Stack,
    /// Makes a client of reqwest under middlewares.
    Middleware,
}

/// Crates of which paths mean anything here.
const CRATES: &[&str] = &[
    "async_openai",
    "async_tungstenite",
    "hyper",
    "hyper_util",
    "isahc",
    "kube",
    "kube_client",
    "octocrab",
    "reqwest",
    "reqwest_middleware",
    "std",
    "tokio",
    "tokio_tungstenite",
    "tonic",
    "tungstenite",
    "unwedge",
    "ureq",
];

impl Known {
    /// What this path stands for, if anything. It begins with the name of the crate.
    pub(crate) fn of(path: &[String]) -> Option<Known> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (krate, rest) = path.split_first()?;
        match *krate {
            "async_openai" => async_openai(rest),
            "async_tungstenite" | "tokio_tungstenite" | "tungstenite" => tungstenite(rest),
            "hyper" => match rest {
                ["client", "conn", "http1" | "http2", "handshake"] => Some(Known::Client),
                ["client", "conn", "http1" | "http2", "Builder", "new"] => Some(Known::Client),
                _ => None,
            },
            "hyper_util" => hyper_util(rest),
            "isahc" => isahc(rest),
            "kube" | "kube_client" => kube(rest),
            "octocrab" => octocrab(rest),
            "reqwest" => reqwest(rest),
            // Whatever else makes one is given a client of reqwest.
            "reqwest_middleware" => match rest {
                ["ClientWithMiddleware", "default"] => Some(Known::Client),
                ["ClientBuilder", "new" | "from_arc"] => Some(Known::Middleware),
                _ => None,
            },
            "std" if rest == ["net", "TcpStream", "connect"] => Some(Known::Connect),
            "tokio" => match rest {
                ["net", "TcpStream", "connect"] => Some(Known::Connect),
                ["time", "sleep" | "sleep_until"] => Some(Known::Timer),
                ["time", "timeout" | "timeout_at"] => Some(Known::Scope),
                _ => None,
            },
            "tonic" => tonic(rest),
            "unwedge" => unwedge(rest),
            "ureq" => ureq(rest),
            _ => None,
        }
    }

    /// Whether paths of this crate mean anything here.
    pub(crate) fn is_crate(name: &str) -> bool {
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
    "async_openai::Client",
    "async_tungstenite::tokio::client_async",
    "async_tungstenite::tokio::connect_async",
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
    "kube::Client",
    "kube::Config",
    "kube::client::Client",
    "kube::client::ClientBuilder",
    "kube::client::config::Config",
    "kube::config::Config",
    "octocrab::Octocrab",
    "octocrab::OctocrabBuilder",
    "reqwest::Client",
    "reqwest::ClientBuilder",
    "reqwest::blocking::Client",
    "reqwest::blocking::ClientBuilder",
    "reqwest::get",
    "reqwest_middleware::ClientBuilder",
    "reqwest_middleware::ClientWithMiddleware",
    "reqwest_middleware::Error",
    "std::net::TcpStream",
    "tokio::net::TcpStream",
    "tokio::time::sleep",
    "tokio::time::sleep_until",
    "tokio::time::timeout",
    "tokio::time::timeout_at",
    "tokio_tungstenite::client_async",
    "tokio_tungstenite::connect_async",
    "tonic::transport::Channel",
    "tonic::transport::Endpoint",
    "tonic::transport::channel::Channel",
    "tonic::transport::channel::Endpoint",
    "tungstenite::connect",
    "unwedge::Deadline",
    "unwedge::LongPoll",
    "unwedge::StackLayer",
    "unwedge::grpc::GrpcLayer",
    "unwedge::long_poll",
    "unwedge::reqwest::ResilienceMiddleware",
    "unwedge::reqwest::Unwedge",
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

/// Its services may be bounded by what is given for the client of reqwest that each has.
fn async_openai(path: &[&str]) -> Option<Known> {
    match path {
        ["Client", "new" | "default" | "with_config"] => Some(Known::Builder),
        _ => None,
    }
}

fn tungstenite(path: &[&str]) -> Option<Known> {
    let path = path.strip_prefix(&["tungstenite"]).unwrap_or(path);
    match path {
        // On the thread that calls it.
        ["connect" | "connect_with_config"] | ["client", "connect" | "connect_with_config"] => {
            Some(Known::Call)
        }
        ["tokio" | "async_std" | "smol", name] | [name] if is_handshake(name) => Some(Known::Connect),
        _ => None,
    }
}

fn is_handshake(name: &str) -> bool {
    name.starts_with("connect_async") || name.starts_with("client_async")
}

fn hyper_util(path: &[&str]) -> Option<Known> {
    match path {
        ["client", "legacy", "Client", "builder"] | ["client", "legacy", "Builder", "new"] => {
            Some(Known::Client)
        }
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

/// `Client::new` and `ClientBuilder::new` are given a service.
fn kube(path: &[&str]) -> Option<Known> {
    match path.strip_prefix(&["client"]).unwrap_or(path) {
        ["Client", "try_default"] => Some(Known::Client),
        ["Client" | "ClientBuilder", "try_from"] => Some(Known::Builder),
        ["Config", ..] | ["config", "Config", ..] => Some(Known::Settings),
        _ => None,
    }
}

/// `OctocrabBuilder::new_empty` is given a service.
fn octocrab(path: &[&str]) -> Option<Known> {
    match path {
        ["Octocrab", "builder" | "default"] | ["OctocrabBuilder", "new" | "default"] => Some(Known::Builder),
        _ => None,
    }
}

/// The blocking client has 30 s for each wait, unless they are taken away.
fn reqwest(path: &[&str]) -> Option<Known> {
    match path {
        ["get"] => Some(Known::Call),
        ["Client", "new" | "default"] => Some(Known::Client),
        ["Client", "builder"] | ["ClientBuilder", "new" | "default"] => Some(Known::Builder),
        ["blocking", "Client", "builder"] | ["blocking", "ClientBuilder", "new" | "default"] => {
            Some(Known::Tame)
        }
        _ => None,
    }
}

fn tonic(path: &[&str]) -> Option<Known> {
    let path = path.strip_prefix(&["transport"])?;
    match path.strip_prefix(&["channel"]).unwrap_or(path) {
        ["Endpoint", "from_static" | "from_shared" | "new" | "try_from" | "from"] => Some(Known::Builder),
        ["Channel", "from_static" | "from_shared" | "builder"] => Some(Known::Builder),
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

fn unwedge(path: &[&str]) -> Option<Known> {
    match path {
        ["LongPoll", "because" | "because_owned"] | ["long_poll"] => Some(Known::LongPoll),
        ["LongPoll", "unbounded"] => Some(Known::Unbounded),
        ["vouch"] => Some(Known::Vouch),
        ["within"] | ["deadline", "within"] => Some(Known::Scope),
        ["Deadline", ..] | ["deadline", "Deadline", ..] => Some(Known::Deadline),
        ["StackLayer" | "DeadlineLayer", ..] => Some(Known::Stack),
        ["stack", "BufferedLayer" | "DeadlineLayer" | "StackBuilder" | "StackLayer", ..] => {
            Some(Known::Stack)
        }
        ["grpc", "GrpcLayer", ..] => Some(Known::Stack),
        ["reqwest", "ResilienceMiddleware" | "Unwedge", ..] => Some(Known::Stack),
        ["reqwest", "builder" | "client" | "get"] => Some(Known::Middleware),
        _ => None,
    }
}

/// What a method of a builder, or of a request, gives that bounds the wait for a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounding {
    /// A duration.
    Duration,
    /// A client, which is looked at where it is made.
    Client,
}

pub(crate) fn bounding(method: &str) -> Option<Bounding> {
    match method {
        "timeout"
        | "read_timeout"
        | "timeout_read"
        | "timeout_global"
        | "timeout_per_call"
        | "timeout_recv_response"
        | "set_read_timeout" => Some(Bounding::Duration),
        "with_http_client" | "with_http_service" | "build_with_reqwest" => Some(Bounding::Client),
        _ => None,
    }
}

/// Fields of settings that do the same.
pub(crate) fn is_bounding_field(name: &str) -> bool {
    matches!(name, "read_timeout" | "timeout")
}

/// The clients whose `Default` has no limit.
pub(crate) fn is_default_unbounded(path: &[String]) -> bool {
    let mut path = path.to_vec();
    path.push("default".to_owned());
    matches!(Known::of(&path), Some(Known::Client | Known::Builder))
}

/// The client that a builder makes, where a default of it has no limit.
pub(crate) fn client_of(builder: &[String]) -> Option<Vec<String>> {
    let (krate, rest) = builder.split_first()?;
    let of_reqwest = krate == "reqwest" && matches!(rest.first()?.as_str(), "Client" | "ClientBuilder");
    of_reqwest.then(|| vec!["reqwest".to_owned(), "Client".to_owned()])
}
