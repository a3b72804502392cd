//! The clients that the lint knows, what it says to each, and questions to errors that are never answered yes.

use crate::lint_command::{finds_what_is_marked, lint, places, tree};

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_other_crates_are_found_unless_they_are_given_a_limit_or_a_layer() {
    finds_what_is_marked(
        "families",
        r#"
use kube::client::ClientBuilder;
use octocrab::{Octocrab, OctocrabBuilder};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tower_layer::Layer;
use unwedge::{StackLayer, grpc::GrpcLayer};
const D: Duration = Duration::from_secs(30);

async fn grpc() {
    Endpoint::from_static("http://x").connect().await; // !
    tonic::transport::Channel::from_static("http://x").connect_lazy(); // !
    let endpoint = Endpoint::from_shared(url)?.connect_timeout(D); // !
    Endpoint::new(url)?.timeout(D).connect().await;
    Channel::builder(url).timeout(D).connect_timeout(D).connect().await;
    let channel = Endpoint::from_static("http://x").connect_lazy();
    let stack = StackLayer::default().origin("http://x")?;
    let grpc = tonic::client::Grpc::new(stack.layer(channel));
    let other = Endpoint::from_static("http://x").connect_lazy();
    let other = Layer::layer(&stack, other);
    let known = Endpoint::from_static("http://x").connect_lazy();
    let known = GrpcLayer::new(stack, tonic::body::Body::new).layer(known);
}
async fn sockets() {
    tokio_tungstenite::connect_async("ws://x").await; // !
    tokio_tungstenite::client_async("ws://x", stream).await; // !
    tokio_tungstenite::tungstenite::connect("ws://x"); // !
    tungstenite::connect("ws://x"); // !
    tungstenite::client("ws://x", stream);
    tokio::time::timeout(D, tokio_tungstenite::connect_async("ws://x")).await;
}
async fn cluster(layer: StackLayer) {
    kube::Client::try_default().await; // !
    kube::Client::try_from(given); // !
    ClientBuilder::try_from(given)?.build(); // !
    ClientBuilder::try_from(given)?.with_layer(&tower_http::trace::TraceLayer::new_for_http()).build(); // !
    ClientBuilder::try_from(given)?.with_layer(&StackLayer::default().buffered()).build();
    ClientBuilder::try_from(given)?.with_layer(&layer).build();
    let of_settings = StackLayer::builder().build()?.origin(url)?.buffered();
    let builder = ClientBuilder::try_from(given)?;
    let client = builder.with_layer(&of_settings).build();
    kube::Client::new(service, "default");
    let mut config = kube::Config::infer().await?;
    config.read_timeout = Some(D);
    kube::Client::try_from(config);
    let mut endless = kube::Config::infer().await?;
    endless.read_timeout = None;
    kube::Client::try_from(endless); // !
}
fn forge(layer: &unwedge::stack::BufferedLayer) {
    Octocrab::builder().personal_token(token).build(); // !
    Octocrab::default(); // !
    OctocrabBuilder::new().build(); // !
    Octocrab::builder().set_read_timeout(Some(D)).build();
    Octocrab::builder().set_read_timeout(None).build(); // !
    OctocrabBuilder::new_empty().with_service(service).with_layer(layer).build();
}
fn model(http: house::Client) {
    async_openai::Client::new(); // !
    async_openai::Client::with_config(config); // !
    async_openai::Client::with_config(config).with_http_client(http);
    async_openai::Client::build(http, config);
    let client = async_openai::Client::new();
    let client = client.with_http_service(service);
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blocking_client_of_reqwest_is_found_only_where_its_timeout_is_taken_away() {
    finds_what_is_marked(
        "blocking",
        r#"
use std::time::Duration;
fn f() {
    reqwest::blocking::get("x");
    reqwest::blocking::Client::new();
    reqwest::blocking::Client::builder().user_agent("x").build();
    reqwest::blocking::Client::builder().timeout(Duration::from_secs(5)).build();
    reqwest::blocking::Client::builder().timeout(None).build(); // !
    reqwest::blocking::ClientBuilder::new().timeout(Duration::MAX).build(); // !
    let builder = reqwest::blocking::Client::builder(); // !
    let builder = builder.timeout(None::<Duration>);
}
#[derive(Default)]
struct Kept { client: reqwest::blocking::Client }
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_under_a_layer_is_bounded_also_by_way_of_variables_and_arguments() {
    finds_what_is_marked(
        "layered",
        r#"
use hyper_util::client::legacy::Client;
use tower_layer::Layer;
use unwedge::{Stack, StackLayer};
struct Api { stack: StackLayer }
impl Api {
    fn client(&self) { let raw = Client::builder(e).build_http(); self.stack.layer(raw) }
    fn given(&self) { let raw = Client::builder(e).build_http(); self.stacked()?.layer(raw) }
    fn stacked(&self) -> Result<StackLayer, unwedge::Error> { house::stack() }
    fn other(&self) { let raw = Client::builder(e).build_http(); self.layers.layer(raw) } // !
}
fn middleware(stack: StackLayer) {
    let inner = reqwest::Client::builder().user_agent("x").build()?;
    reqwest_middleware::ClientBuilder::new(inner).with(unwedge::reqwest::ResilienceMiddleware::from(stack)).build();
    let named = reqwest::Client::builder().build()?;
    let stack = unwedge::reqwest::ResilienceMiddleware::default();
    reqwest_middleware::ClientBuilder::new(named).with(stack).build();
    let other = reqwest::Client::builder().build()?; // !
    reqwest_middleware::ClientBuilder::new(other).with(house::Signs).build();
}
fn layers() -> unwedge::stack::BufferedLayer { house::layers() }
fn called() { let raw = Client::builder(e).build_http(); layers().layer(raw); }
fn manual() {
    let http = Client::builder(e).build_http();
    let http = StackLayer::default().layer(http);
    let lost = Client::builder(e).build_http(); // !
    let raw = reqwest::Client::new(); // !
    raw.get("x").timeout(d).send();
}
"#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_a_macro_makes_clients_of_is_found_where_it_is_given() {
    finds_what_is_marked(
        "templates",
        r#"
use reqwest::Client;
macro_rules! make { ($t:ty) => { <$t>::new() }; }
macro_rules! made { ($name:ident, $t:path) => { static $name: LazyLock<$t> = LazyLock::new(|| <$t as Default>::default()); }; }
macro_rules! built { ($t:ident) => { { let b = $t::builder(); b.build() } }; }
macro_rules! calm { ($t:ty) => { <$t>::builder().timeout(D).build() }; }
macro_rules! named { ($t:ty) => { stringify!($t) }; }
made!(CLIENT, reqwest::Client); // !
fn f() {
    make!(Client); // !
    let c = make!(reqwest::Client); // !
    make!(String);
    make!(reqwest::blocking::Client);
    built!(Client); // !
    calm!(Client);
    named!(reqwest::Client);
    assert_send!(reqwest::Client);
    println!("{}", std::any::type_name::<Client>());
}
"#,
    )
    .await;
    let files = [
        ("src/lib.rs", "mod client;\n#[macro_use]\nmod macros;\n"),
        ("src/macros.rs", "macro_rules! make {\n    ($t:ty) => {\n        <$t>::new()\n    };\n}\n"),
        ("src/client.rs", "fn f() { crate::make!(reqwest::Client); }\n"),
    ];
    let ran = lint(&tree("templates_far", &files), &[]).await;
    assert_eq!(places(&ran), ["src/client.rs:1 unbounded-client reqwest::Client::new (by make!)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_the_error_of_a_middleware_that_is_never_answered_yes_is_found() {
    let source = r#"
use reqwest_middleware::ClientWithMiddleware;
struct Api { http: ClientWithMiddleware, plain: house::Client }
impl Api {
    async fn get(&self) {
        match self.http.get("x").send().await {
            Ok(answer) => drop(answer),
            Err(e) if e.is_timeout() => {} // !
            Err(e) => { if e.is_connect() {} } // !
        }
        match self.plain.get("x").send().await {
            Err(e) if e.is_timeout() => {}
            _ => {}
        }
        if let Err(error) = self.http.execute(request).await {
            if error.is_timeout() {} // !
        }
        match self.http.get("x").send().await {
            Err(reqwest_middleware::Error::Reqwest(e)) if e.is_timeout() => {} // !
            Err(reqwest_middleware::Error::Middleware(e)) => {}
            Ok(answer) => match answer.text().await {
                Err(e) if e.is_timeout() => {}
                _ => {}
            },
        }
    }
    async fn fetch(&self) -> Result<String, reqwest_middleware::Error> { house::fetch() }
    async fn fetched(&self) -> reqwest_middleware::Result<String> { house::fetch() }
}
async fn f(api: Api, client: &ClientWithMiddleware) {
    let result = client.get("x").send().await;
    match result {
        Err(e) if e.is_timeout() => {} // !
        _ => {}
    }
    let Err(e) = client.post("x").send().await else { return };
    e.is_timeout(); // !
    let e = client.get("x").send().await.unwrap_err();
    e.is_timeout(); // !
    client.get("x").send().await.map_err(|e| e.is_timeout()); // !
    client.get("x").send().await.is_err_and(|why| why.is_connect()); // !
    let e = client.get("x").send().await?.text().await.unwrap_err();
    e.is_timeout();
    match api.fetch().await { Err(e) => e.is_timeout(), _ => false }; // !
    match api.fetched().await { Err(e) => e.is_timeout(), _ => false }; // !
    let ready = unwedge::reqwest::builder().build()?;
    match ready.get("x").send().await { Err(e) => e.is_timeout(), _ => false }; // !
    match unwedge::reqwest::get("x").await { Err(e) => e.is_timeout(), _ => false }; // !
}
fn judge(error: &reqwest_middleware::Error, other: &reqwest::Error) -> bool {
    error.is_timeout() // !
        || other.is_timeout()
}
fn ours(error: &reqwest_middleware::Error) -> bool {
    use unwedge::reqwest::ErrorExt;
    error.was_timeout()
}
"#;
    finds_what_is_marked("never_true", source).await;
    let ran = lint(&tree("never_true_says", &[("src/lib.rs", source)]), &[]).await;
    let first = &ran.objects()[0];
    assert_eq!(
        (&first["rule"], &first["what"]),
        (&"never-true".into(), &"reqwest_middleware::Error::is_timeout".into())
    );
    assert!(first["advice"].as_str().unwrap().contains("ask was_timeout()"), "{first}");
    // Without this crate beside it, such an error is one of reqwest, which knows the answer.
    let without = [
        ("Cargo.toml", "[package]\nname = \"a\"\n[dependencies]\nreqwest-middleware = \"0.5\"\n"),
        ("src/lib.rs", source),
    ];
    let ran = lint(&tree("never_true_without", &without), &[]).await;
    assert!(places(&ran).iter().all(|place| !place.contains("never-true")), "{:#?}", places(&ran));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_finding_names_what_stands_in_the_place_of_this_client() {
    let cases = [
        ("reqwest::Client::new()", "unwedge::reqwest::builder()"),
        ("reqwest::get(\"x\")", "unwedge::reqwest::get()"),
        ("reqwest::blocking::Client::builder().timeout(None)", "unwedge::blocking::Client"),
        ("reqwest_middleware::ClientWithMiddleware::default()", "unwedge::reqwest::client()"),
        ("hyper_util::client::legacy::Client::builder(e)", "unwedge::StackLayer"),
        ("hyper::client::conn::http1::handshake(io)", "unwedge::StackLayer"),
        ("ureq::agent()", "timeout_global()"),
        ("isahc::HttpClient::new()", "set timeout()"),
        ("std::net::TcpStream::connect(\"x\")", "TcpStream::connect_timeout"),
        ("tokio::net::TcpStream::connect(\"x\")", "unwedge::within()"),
        ("tonic::transport::Endpoint::from_static(\"x\")", "connect_timeout()"),
        ("kube::Client::try_default()", "with_layer(&layer)"),
        ("octocrab::Octocrab::builder()", "with_layer(&layer)"),
        ("async_openai::Client::new()", "with_http_service()"),
        ("tokio_tungstenite::connect_async(\"x\")", "unwedge::within()"),
        ("tungstenite::connect(\"x\")", "set_read_timeout"),
        ("reqwest::Client::builder().timeout(Duration::MAX)", "never ends anything"),
    ];
    let body: String = cases.iter().map(|(code, _)| format!("    {code};\n")).collect();
    let top = tree("advice", &[("src/lib.rs", &format!("fn f() {{\n{body}}}\n"))]);
    let ran = lint(&top, &[]).await;
    let said = ran.objects();
    assert_eq!(said.len(), cases.len(), "{:#?}", places(&ran));
    for ((code, wanted), said) in cases.iter().zip(&said) {
        let advice = said["advice"].as_str().unwrap_or_else(|| panic!("{code}: {said}"));
        assert!(advice.contains(wanted), "{code}: {advice}");
    }
    let text = crate::program::run("lint", &[top.to_str().unwrap()]).await;
    for line in text.stdout.lines().zip(&said) {
        assert!(line.0.ends_with(line.1["advice"].as_str().unwrap()), "{}", line.0);
    }
}
