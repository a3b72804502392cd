//! What this machine lacks is no fault of the server.

use super::*;
use crate::breaker::Phase as Circuit;
use crate::{ErrorKind, Phase, StackLayer, retry};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Connects fail with this error until the switch is thrown.
fn lacking(code: i32) -> (ClientBuilder, Arc<AtomicBool>, Arc<AtomicU32>) {
    let (well, dials) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (there, counting) = (Arc::clone(&well), Arc::clone(&dials));
    let dial = tower::service_fn(move |_: http::Uri| {
        counting.fetch_add(1, Ordering::Relaxed);
        let there = there.load(Ordering::Relaxed);
        async move {
            if !there {
                return Err(io::Error::from_raw_os_error(code));
            }
            let (near, mut far) = tokio::io::duplex(4096);
            #[expect(clippy::disallowed_methods, reason = "its owner is the runtime of the test")]
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut request = [0; 4096];
                let _ = far.read(&mut request).await;
                let _ = far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                while matches!(far.read(&mut request).await, Ok(1..)) {}
            });
            Ok(TokioStream::new(near))
        }
    });
    let client =
        Client::builder().stack(StackLayer::builder().retry(retry::Settings::default().max_retries(1)));
    (client.connector(dial), well, dials)
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn what_this_machine_lacks_is_retried_and_said_and_never_counts_against_the_server() {
    for (code, words) in [
        (24, "too many open files in this process"),
        (23, "too many open files on this machine"),
        (105, "this machine has no memory for another connection"),
        (12, "this machine has no memory for another connection"),
        (99, "this machine has no free local port or address"),
        (101, "network unreachable: this machine has no route"),
        (100, "the network of this machine is down"),
        (1, "this machine does not permit the connection"),
        (13, "this machine does not permit the connection"),
    ] {
        let (client, well, dials) = lacking(code);
        let client = client.build().unwrap();
        for n in 1..=5 {
            let error = client.post(URL).body("job").await.unwrap_err();
            assert_eq!(
                (error.kind(), error.phase()),
                (ErrorKind::Connect, Some(Phase::Connect)),
                "{error:?}"
            );
            assert!(error.to_string().contains(&format!(": {words} (attempt 2 of 2; ")), "{error}");
            assert!(error.is_retriable());
            assert_eq!(dials.load(Ordering::Relaxed), 2 * n, "a POST too: nothing was sent");
        }
        let seen = client.breakers().snapshot().remove(0);
        assert_eq!((seen.phase, seen.calls, seen.consecutive_failures), (Circuit::Closed, 0, 0), "{words}");
        well.store(true, Ordering::Relaxed);
        assert_eq!(client.get(URL).await.unwrap().status(), 204);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_still_counts() {
    let peer = Peer::new().forever(Reply::refuse());
    let client = client(&peer);
    client.get(URL).await.unwrap_err();
    assert!(client.breakers().snapshot()[0].consecutive_failures >= 1);
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_health_check_that_this_machine_could_not_send_leaves_the_verdict_unknown() {
    let (client, well, _) = lacking(24);
    let stack = StackLayer::builder().retry(retry::Settings::default().max_retries(1)).health("/health");
    let client = client.stack(stack).build().unwrap();
    let error = client.get(URL).await.unwrap_err();
    assert!(error.to_string().contains("too many open files in this process"), "{error}");
    assert_eq!(client.breakers().snapshot()[0].consecutive_failures, 0);
    well.store(true, Ordering::Relaxed);
    assert_eq!(client.get(URL).await.unwrap().status(), 204, "at once: it was never down");
}

#[tokio::test]
async fn a_name_server_that_does_not_answer_is_no_fault_of_the_server() {
    let client = resolving::resolving(|_| {
        Err(io::Error::other("failed to lookup address information: Temporary failure in name resolution"))
    });
    let client = client.retry(retry::Settings::default().max_retries(0)).build().unwrap();
    for _ in 0..5 {
        let error = client.get("http://api.example:1/").await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Connect, Some(Phase::Resolve)), "{error:?}");
        assert!(error.to_string().contains("no name server answered"), "{error}");
    }
    let seen = client.breakers().snapshot().remove(0);
    assert_eq!((seen.phase, seen.calls, seen.consecutive_failures), (Circuit::Closed, 0, 0));
    let unknown = resolving::resolving(|_| {
        Err(io::Error::other("failed to lookup address information: Name or service not known"))
    });
    let unknown = unknown.retry(retry::Settings::default().max_retries(0)).build().unwrap();
    unknown.get("http://api.example:1/").await.unwrap_err();
    assert_eq!(unknown.breakers().snapshot()[0].consecutive_failures, 1, "that is an answer");
}
