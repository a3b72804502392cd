//! What to do about a place, in the words of the client that stands there.

use crate::lint::limits::Limit;
use crate::lint::report::Rule;

/// What stands in the place of this client or call. `what` is a path that begins with the name of its crate.
pub(crate) fn advice(rule: Rule, what: &str, limit: Limit) -> String {
    let instead = instead(what);
    match (rule, limit) {
        (Rule::UnboundedClient | Rule::UnboundedCall, Limit::Endless) => {
            format!("its limit never ends anything: {instead}")
        }
        (Rule::UnboundedClient | Rule::UnboundedCall, Limit::Sometimes) => {
            format!("its limit is set in some cases only: {instead}")
        }
        (Rule::UnboundedClient, _) => format!("a client without a limit: {instead}"),
        (Rule::UnboundedCall, _) => format!("a call without a limit: {instead}"),
        (rule, _) => rule.advice().to_owned(),
    }
}

fn instead(what: &str) -> &'static str {
    let (krate, path) = what.split_once("::").unwrap_or((what, ""));
    match krate {
        "async_openai" => {
            "send by unwedge::reqwest::client() in with_http_service(), or give with_http_client() one with a timeout"
        }
        "hyper" | "hyper_util" => "use unwedge::Client, or put unwedge::StackLayer around it",
        "isahc" => "use unwedge::Client, or set timeout()",
        "kube" | "kube_client" => {
            "use ClientBuilder::try_from(config)?.with_layer(&layer), where layer is \
             unwedge::StackLayer::default().origin(cluster_url)?.buffered()"
        }
        "octocrab" => {
            "give its builder with_service() and with_layer(&layer), where layer is unwedge::StackLayer with origin()"
        }
        "reqwest" if path.starts_with("blocking") => {
            "use unwedge::blocking::Client, or leave its timeout as it is"
        }
        "reqwest" if path == "get" => {
            "use unwedge::reqwest::get() or unwedge::get(), or put it and the reading of its body in one async block under a timeout"
        }
        "reqwest" => "use unwedge::reqwest::builder() or unwedge::Client, or set a timeout",
        "reqwest_middleware" => "use unwedge::reqwest::client()",
        "std" => "use TcpStream::connect_timeout",
        "tokio" => "put it under unwedge::within() or tokio::time::timeout()",
        "tonic" => "set timeout() and connect_timeout(), or put unwedge::grpc::GrpcLayer around its channel",
        "tungstenite" => {
            "connect by TcpStream::connect_timeout, set_read_timeout, then tungstenite::client()"
        }
        "async_tungstenite" | "tokio_tungstenite" if path.contains("tungstenite::") => {
            "connect by TcpStream::connect_timeout, set_read_timeout, then tungstenite::client()"
        }
        "async_tungstenite" | "tokio_tungstenite" => {
            "put it under unwedge::within() or tokio::time::timeout()"
        }
        "ureq" => "use unwedge::blocking::Client, or an Agent with timeout_global()",
        _ => "use unwedge::Client, or put it and the reading of its body under a timeout",
    }
}
