//! When files are looked at, on a paused clock. The thread that reads is a real one.

use super::*;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tracing::span;

const SEC: Duration = Duration::from_secs(1);

/// A root of its own.
fn root() -> String {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let file =
            File(std::env::temp_dir().join(format!("unwedge-trust-{name}-{}.pem", std::process::id())));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    fn trusted(&self) -> Trust {
        Trust::prepare(&Tls::default().roots_file(&self.0), false).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Until the look that may be under way is over.
async fn settled(trust: &Trust) {
    let mut looks = trust.0.looks.subscribe();
    while lock(&trust.0.state).looking {
        looks.changed().await.unwrap();
    }
}

/// Whether this look was another than the one `before`, and whether another config came of it.
async fn later(trust: &Trust, wait: Duration, before: &Arc<ClientConfig>) -> (u64, bool) {
    tokio::time::advance(wait).await;
    let looks = *trust.0.looks.borrow();
    trust.config().await.unwrap();
    settled(trust).await;
    let now = trust.config().await.unwrap();
    (*trust.0.looks.borrow() - looks, !Arc::ptr_eq(&now, before))
}

#[tokio::test(start_paused = true)]
async fn files_are_looked_at_once_a_minute_and_only_what_has_changed_is_taken() {
    let file = File::new("minute", &root());
    let trust = file.trusted();
    let first = trust.config().await.unwrap();
    assert_eq!(later(&trust, 59 * SEC, &first).await, (0, false));
    assert_eq!(later(&trust, SEC, &first).await, (1, false), "the same bytes");
    file.write(&root());
    assert_eq!(later(&trust, 59 * SEC, &first).await, (0, false), "nobody has looked yet");
    assert_eq!(later(&trust, SEC, &first).await, (1, true));
    assert_eq!(later(&trust, SEC, &first).await, (0, true));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_when_the_client_was_built_is_used_where_the_file_breaks_before_the_first_connection() {
    let file = File::new("early", &root());
    let trust = file.trusted();
    file.write("half of it");
    let first = trust.config().await.unwrap();
    assert_eq!(later(&trust, 60 * SEC, &first).await, (1, false));
    file.write(&root());
    assert_eq!(later(&trust, 60 * SEC, &first).await, (1, true));
}

#[tokio::test(start_paused = true)]
async fn without_files_nothing_is_looked_at_once_a_minute() {
    let trust = Trust::prepare(&Tls::default().add_root_certificate(root()), false).unwrap();
    let first = trust.config().await.unwrap();
    assert_eq!(later(&trust, 3600 * SEC, &first).await, (0, false));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_failed_has_files_looked_at_unless_that_was_done_since_it_began() {
    let file = File::new("failed", &root());
    let trust = file.trusted();
    let first = trust.config().await.unwrap();
    tokio::time::advance(SEC).await;
    let began = Instant::now();
    let looks = || *trust.0.looks.borrow();
    assert!(!trust.is_renewed(&first, began).await);
    assert_eq!(looks(), 2);
    assert!(!trust.is_renewed(&first, began).await);
    assert_eq!(looks(), 2, "one look serves all that failed before it");
    file.write(&root());
    tokio::time::advance(SEC).await;
    assert!(trust.is_renewed(&first, Instant::now() - SEC / 2).await);
    assert!(trust.is_renewed(&first, began).await, "somebody else has looked");
    assert_eq!(looks(), 3);
    let given = Tls::default().config(Arc::clone(&first));
    let given = Trust::prepare(&given, false).unwrap();
    assert!(!given.is_renewed(&first, Instant::now()).await, "it is the user's");
}

/// Counts warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicU32>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_broken_is_warned_of_once_and_again_when_it_breaks_again() {
    let whole = root();
    let file = File::new("warned", &whole);
    let trust = file.trusted();
    let first = trust.config().await.unwrap();
    let warnings = Warnings::default();
    // With one dispatcher alive tracing asks that of whichever thread meets an event first, and remembers its answer for all.
    let _others = [(); 2].map(|()| tracing::Dispatch::new(Warnings::default()));
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let look = |text: &str| {
        file.write(text);
        // Here, and not on its thread, whose log goes elsewhere.
        trust.0.read(false);
        warnings.0.load(Ordering::Relaxed)
    };
    let half = &whole[..whole.len() / 2];
    assert_eq!([look(half), look(half), look(half)], [1, 1, 1]);
    assert_eq!((look(&whole), look(half)), (1, 2));
    assert_eq!(look(""), 3, "something else is wrong");
    assert!(Arc::ptr_eq(&trust.config().await.unwrap(), &first));
}

#[test]
fn fewer_roots_of_a_platform_that_says_it_is_broken_are_not_taken() {
    let roots = |n: usize, incomplete: bool| {
        let mut store = RootCertStore::empty();
        for _ in 0..n {
            let certificate = rustls::pki_types::CertificateDer::from_pem_slice(root().as_bytes()).unwrap();
            store.add(certificate).unwrap();
        }
        Roots::of(store, n as u64, incomplete.then(|| "half a file".to_owned()))
    };
    let before = roots(2, false);
    for (n, incomplete, better) in [
        (3, false, true),
        (1, false, true),
        (3, true, true),
        (1, true, false),
        (0, false, false),
        (2, false, false),
    ] {
        assert_eq!(roots(n, incomplete).are_better_than(&before), better, "{n} {incomplete}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_thread_to_look_with_is_at_fault_itself_and_the_next_connect_may_get_one() {
    let mut trust = Trust::prepare(&Tls::default().add_root_certificate(root()), false).unwrap();
    let refused: Start = |_, _| Err(io::Error::from_raw_os_error(11));
    Arc::get_mut(&mut trust.0).unwrap().start = refused;
    let lacks = trust.config().await.unwrap_err();
    assert!(lacks.is_connect() && lacks.is_of_this_machine() && lacks.is_retriable(), "{lacks:?}");
    assert_eq!(lacks.phase(), Some(Phase::Tls));
    assert!(lacks.to_string().contains("no thread to set up TLS"), "{lacks}");
    Arc::get_mut(&mut trust.0).unwrap().start = thread;
    assert!(trust.config().await.is_ok());
}
