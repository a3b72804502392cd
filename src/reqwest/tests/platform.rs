//! A machine without root certificates. The variables that say where they are are read once in a process, which has to be
//! another one for each test.

use crate::ErrorKind;
use crate::reqwest::{cause, client, get};
use crate::testing::{Peer, Reply};
use std::path::Path;
use std::time::Duration;

const CHILD: &str = "UNWEDGE_TEST_URL_OF_REQWEST";

/// Runs the test of this name in a process that reads its roots from this file.
async fn child(test: &str, url: &str, roots: &Path) {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("reqwest::tests::platform::{test}")]).env(CHILD, url);
    command.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", roots).kill_on_drop(true);
    let out = tokio::time::timeout(Duration::from_secs(60), command.output()).await.unwrap().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

fn file(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("unwedge-{name}-{}.pem", std::process::id()))
}

#[tokio::test]
async fn without_roots_get_returns_an_error_plain_calls_work_and_roots_that_come_later_are_used() {
    let Ok(url) = std::env::var(CHILD) else {
        let peer = Peer::new().forever(Reply::ok("secret"));
        let url = format!("http://{}/", peer.listen().unwrap());
        let test = "without_roots_get_returns_an_error_plain_calls_work_and_roots_that_come_later_are_used";
        child(test, &url, &file("no-roots")).await;
        assert_eq!(peer.connections(), 2, "one of the client without roots, and one of that with them");
        return;
    };
    let error = get(&*url).await.expect_err("no client can be made");
    let why = cause(&error).expect("an error of this crate");
    assert_eq!(why.kind(), ErrorKind::Config, "{why}");
    assert!(why.to_string().contains("cannot be built"), "{why}");
    for _ in 0..3 {
        assert_eq!(client().get(&*url).send().await.unwrap().text().await.unwrap(), "secret");
    }

    let root = rcgen::generate_simple_self_signed(["peer.test".to_owned()]).unwrap();
    let roots = std::env::var_os("SSL_CERT_FILE").unwrap();
    std::fs::write(&roots, root.cert.pem()).unwrap();
    let answer = get(&*url).await;
    std::fs::remove_file(&roots).unwrap();
    assert_eq!(answer.unwrap().text().await.unwrap(), "secret", "neither error nor makeshift client is kept");
    assert_eq!(get(&*url).await.unwrap().status(), 200, "what has worked once is kept");
}
