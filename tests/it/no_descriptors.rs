//! A process that has used up its file descriptors, and gets some back.

use crate::processes::{again, plays_well, runtime};
use std::fs::File;
use std::net::TcpListener;
use std::process::Command;
use unwedge::{Client, breaker, retry};

/// Files, until there is no room for another. None where that cannot be arranged.
pub(crate) fn fill() -> Option<Vec<File>> {
    let pid = std::process::id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--nofile=256:256"]).status();
    if !limited.is_ok_and(|status| status.success()) {
        println!("skipped: descriptors cannot be withheld here");
        return None;
    }
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
        assert!(files.len() <= 256, "the limit holds");
    }
    Some(files)
}

#[test]
fn a_first_https_call_without_descriptors_leaves_no_client_without_roots() {
    let name = "no_descriptors::a_first_https_call_without_descriptors_leaves_no_client_without_roots";
    let command = again(name, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let once = retry::Settings::default().max_retries(0);
        let client = Client::builder().retry(once).breaker(breaker::Settings::default().failures(1));
        let client = client.build().unwrap();
        let runtime = runtime();
        let fails =
            || runtime.block_on(async { client.get(&*url).send().await.map(drop).unwrap_err().to_string() });
        let Some(files) = fill() else { return };
        let unread = fails();
        assert!(unread.contains("too many open files"), "{unread}");
        drop(files);
        std::thread::spawn(move || while listener.accept().is_ok() {});
        let shaken = fails();
        assert!(!shaken.contains("root certificate") && !shaken.contains("circuit"), "{shaken}");
    });
    if let Some(mut command) = command {
        let directory = std::env::temp_dir().join(format!("unwedge-roots-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("roots.pem");
        let root = rcgen::generate_simple_self_signed(["peer.test".to_owned()]).unwrap();
        std::fs::write(&file, root.cert.pem()).unwrap();
        command.env("SSL_CERT_FILE", &file).env_remove("SSL_CERT_DIR");
        runtime().block_on(plays_well(command));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
