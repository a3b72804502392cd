//! The examples that tests start: `cargo test` builds them with the tests, `cargo test --test it` and nextest do not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The binary of an example. Where one is missing or older than the source, all of them are built, once for all tests of
/// this process: cargo holds no lock while tests run.
pub(super) fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<Result<(), ()>> = OnceLock::new();
    let dir = profile().join("examples");
    let binary = dir.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let stamp = dir.join(".built-by-the-tests");
    let newest = newest();
    let is_fresh = || {
        let stamped = modified(&stamp).filter(|_| binary.exists());
        stamped.max(modified(&binary)).is_some_and(|built| newest.is_some_and(|newest| built >= newest))
    };
    if BUILT.get().is_none() && is_fresh() {
        return binary;
    }
    let built = BUILT.get_or_init(|| build(&stamp));
    assert!(built.is_ok(), "the examples are not built: the first test that needs one says why");
    assert!(binary.exists(), "there is no example {name}");
    binary
}

/// The directory of the profile that this test was built with.
fn profile() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// When the source was changed last.
fn newest() -> Option<SystemTime> {
    static NEWEST: OnceLock<Option<SystemTime>> = OnceLock::new();
    *NEWEST.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = ["src", "examples", "Cargo.toml", "Cargo.lock"].map(|name| root.join(name));
        let files = files.iter().flat_map(walkdir::WalkDir::new).filter_map(Result::ok);
        files.filter(|file| file.file_type().is_file()).filter_map(|file| modified(file.path())).max()
    })
}

/// # Errors
/// After it has said, in one line, what to run.
fn build(stamp: &Path) -> Result<(), ()> {
    let profile = profile();
    let name = profile.file_name().map(OsString::from).unwrap_or_default();
    let mut target = profile.parent().map(Path::to_owned).unwrap_or_default();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--examples", "--quiet"]);
    cargo.arg("--profile").arg(if name == "debug" { "dev".into() } else { name });
    // Of the directories of a target tree only the topmost has this file (or none, where the tree is a copy); one below it
    // is that of another machine.
    if target.parent().is_some_and(|above| above.join("CACHEDIR.TAG").exists()) {
        if let Some(triple) = target.file_name().map(OsString::from) {
            cargo.arg("--target").arg(triple);
        }
        target.pop();
    }
    cargo.arg("--target-dir").arg(target);
    #[expect(clippy::disallowed_methods, reason = "the time of the files, which is wall-clock time")]
    let began = SystemTime::now();
    #[expect(
        clippy::disallowed_methods,
        reason = "as long as a build takes, which whoever waits for tests knows"
    )]
    let built = cargo.status();
    if built.is_ok_and(|status| status.success()) {
        // What changed since then is built by the next run.
        if let Ok(stamp) = std::fs::File::create(stamp) {
            let _ = stamp.set_modified(began);
        }
        return Ok(());
    }
    eprintln!("the examples that the tests start cannot be built; run: cargo build --examples");
    Err(())
}
