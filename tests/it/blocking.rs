//! The client for programs without a runtime, over real sockets: its clock is the real one.

use serde_json::{Value, json};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Duration;
use unwedge::blocking::Client;
use unwedge::testing::{Peer, Reply};
use unwedge::{CallOptions, ErrorKind, Limits, LongPoll};

const MS: Duration = Duration::from_millis(1);

/// A peer on a socket, by a runtime that the program under test knows nothing of.
struct Served {
    peer: Peer,
    at: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    fn new(peer: Peer) -> Served {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let at = {
            let _in = runtime.enter();
            peer.listen().unwrap()
        };
        Served { peer, at, _runtime: runtime }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }
}

#[test]
fn a_request_arrives_as_it_was_built_and_its_answer_is_read_as_json() {
    let served = Served::new(Peer::new().forever(Reply::ok(r#"{"id": 7}"#)));
    let client = Client::new().unwrap();
    let call = client.post(served.url("/jobs")).query(&[("dry", "1")]).header("x-tenant", "blue");
    let answer = call.json(&json!({ "name": "sweep" })).send().unwrap().error_for_status().unwrap();
    assert_eq!((answer.status().as_u16(), answer.attempts().count), (200, 1));
    assert_eq!(answer.json::<Value>().unwrap(), json!({ "id": 7 }));
    let arrived = &served.peer.requests()[0];
    assert_eq!((arrived.method.as_str(), arrived.path(), arrived.query()), ("POST", "/jobs", Some("dry=1")));
    assert_eq!((arrived.header("x-tenant"), &arrived.body[..]), (Some("blue"), &br#"{"name":"sweep"}"#[..]));
}

#[test]
fn a_call_is_repeated_and_a_status_that_nobody_wanted_is_an_error() {
    let served =
        Served::new(Peer::new().then(Reply::status(503)).then(Reply::ok("up")).forever(Reply::status(404)));
    let client = Client::new().unwrap();
    let answer = client.get(served.url("/")).send().unwrap();
    assert_eq!((answer.attempts().count, answer.text().unwrap()), (2, "up".to_owned()));
    let missing = client.delete(served.url("/jobs/7")).send().unwrap().error_for_status().unwrap_err();
    assert_eq!(missing.status().map(|status| status.as_u16()), Some(404));
    assert_eq!(client.inner().breakers().snapshot()[0].calls, 3, "by what is beneath its attempts are seen");
}

#[test]
fn a_server_that_says_nothing_costs_what_the_request_allows() {
    let served = Served::new(Peer::new().then(Reply::hang()).forever(Reply::headers_then_hang()));
    let client = Client::new().unwrap();
    let limited = client.get(served.url("/")).deadline(100 * MS).send().unwrap_err();
    assert_eq!(limited.kind(), ErrorKind::Deadline, "{limited}");
    let options = CallOptions::new().attempt(100 * MS).retries(0);
    let one_attempt = client.get(served.url("/")).options(options).send().unwrap_err();
    assert_eq!(one_attempt.attempts(), 1, "{one_attempt}");
    assert_eq!(served.peer.request_count(), 2);
}

#[test]
fn a_long_poll_may_wait_for_longer_than_other_calls() {
    let served = Served::new(Peer::new().forever(Reply::long_poll(600 * MS)));
    let limits = Limits::default().attempt(200 * MS).idle(200 * MS).connect(200 * MS);
    let settings = unwedge::Client::builder().limits(limits);
    let client =
        Client::from_builder(settings.retry(unwedge::retry::Settings::default().max_retries(0))).unwrap();
    let poll = LongPoll::because("the server holds it until there is a job").up_to(Duration::from_secs(30));
    assert!(client.get(served.url("/jobs/next")).long_poll(poll).send().is_ok());
    assert!(client.get(served.url("/jobs/next")).send().is_err());
}

#[test]
fn a_large_body_is_read_piece_by_piece_also_when_its_client_is_gone() {
    const SIZE: u64 = 9 << 20;
    let served = Served::new(Peer::new().forever(Reply::sized(SIZE)));
    let client = Client::new().unwrap();
    let too_large = client.get(served.url("/image")).send().unwrap().bytes().unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::TooLarge);
    let mut image = client.get(served.url("/image")).send().unwrap();
    drop(client);
    let first = image.chunk().unwrap().unwrap();
    let mut begin = [0; 10];
    image.read_exact(&mut begin).unwrap();
    let rest = io::copy(&mut image, &mut io::sink()).unwrap();
    assert_eq!(first.len() as u64 + begin.len() as u64 + rest, SIZE);
    assert_eq!((image.chunk().unwrap(), image.status().as_u16()), (None, 200));
}

#[test]
fn a_body_that_breaks_is_an_error_for_those_who_copy_it() {
    let served = Served::new(Peer::new().forever(Reply::sized(4 << 20).truncate_after(3 << 20)));
    let mut image = Client::new().unwrap().get(served.url("/image")).send().unwrap();
    let error = io::copy(&mut image, &mut io::sink()).unwrap_err();
    assert!(error.get_ref().unwrap().is::<unwedge::Error>(), "{error}");
}

#[test]
fn an_async_task_is_told_to_await_another_client_and_may_make_and_drop_this_one() {
    let served = Served::new(Peer::new().forever(Reply::sized(4 << 20)));
    let url = served.url("/");
    let client = Client::new().unwrap();
    let mut begun = client.get(url.as_str()).send().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let made = Client::new().unwrap();
        let error = made.get(url.as_str()).send().unwrap_err();
        assert!(error.is_config() && error.to_string().contains("unwedge::Client"), "{error}");
        assert!(begun.chunk().unwrap_err().is_config());
        let aside = tokio::task::spawn_blocking(move || client.get(url).send().map(|answer| answer.status()));
        assert_eq!(aside.await.unwrap().unwrap(), 200);
    });
    assert_eq!(io::copy(&mut begun, &mut io::sink()).unwrap(), 4 << 20, "nothing was lost by asking");
}
