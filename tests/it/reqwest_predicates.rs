//! Questions to the errors of `unwedge::reqwest`, on real sockets.

use crate::reqwest_support::*;
use crate::support::*;
use unwedge::reqwest::ErrorExt;
use unwedge::testing::{Peer, Reply};
use unwedge::{Collect, Limits, breaker};

#[tokio::test]
async fn a_timeout_of_the_stack_is_one_to_who_asks_the_right_question() {
    let peer = Peer::new().forever(Reply::hang());
    let client = ready(exact().limits(Limits::default().total(100 * MS)));
    let error = client.get(url(&peer, "/")).send().await.unwrap_err();
    assert!(error.was_timeout() && error.is_retriable(), "{error}");
    assert!(!error.was_connect() && !error.was_refused() && !error.was_open());
    assert!(!error.is_timeout(), "what the middleware says of it, for which there are others");
}

#[tokio::test]
async fn a_refused_connection_and_an_open_circuit_are_told_apart() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let client = ready(exact().breaker(breaker::Settings::default().failures(1)));
    let refused = client.get(&url).send().await.unwrap_err();
    assert!(refused.was_connect() && !refused.was_timeout() && !refused.was_open(), "{refused}");
    let mut open = client.get(&url).send().await.unwrap_err();
    // The first failure alone may be by chance.
    for _ in 0..20 {
        if open.was_open() {
            break;
        }
        open = client.get(&url).send().await.unwrap_err();
    }
    assert!(open.was_open() && open.was_refused() && !open.was_connect(), "{open}");
    assert!(open.retry_in().is_some_and(|wait| !wait.is_zero()));
}

#[tokio::test]
async fn a_streamed_body_answers_too_and_what_reqwest_alone_knows_is_asked_of_reqwest() {
    let peer = Peer::new().forever(Reply::sized(100_000).hang_after(50_000));
    let client = ready(exact().limits(Limits::default().idle(100 * MS)));
    let response = client.get(url(&peer, "/")).with_extension(Collect::never()).send().await.unwrap();
    let stalled = response.bytes().await.unwrap_err();
    assert!(stalled.was_timeout() && stalled.is_retriable(), "{stalled}");

    let own = reqwest::Client::builder().no_proxy().timeout(50 * MS).build().unwrap();
    let hangs = Peer::new().forever(Reply::hang());
    let plain = own.get(url(&hangs, "/")).send().await.unwrap_err();
    assert!(plain.was_timeout() && !plain.is_retriable() && plain.retry_in().is_none(), "{plain}");
}
