//! Workspaces of programs that are built and run as a user's would be: `tests/fixtures`, where `UNWEDGE_SLOW_TESTS` is set.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A workspace below `tests/fixtures`.
pub(crate) struct Workspace {
    name: &'static str,
    built: OnceLock<Option<PathBuf>>,
}

impl Workspace {
    pub(crate) const fn new(name: &'static str) -> Workspace {
        Workspace { name, built: OnceLock::new() }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(self.name)
    }

    /// That of this crate, so that what both need is built once.
    fn target(&self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below the target directory").into()
    }

    pub(crate) fn cargo(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(self.dir()).env("CARGO_TARGET_DIR", self.target());
        command.env("CARGO_TERM_COLOR", "never").env_remove("RUSTFLAGS");
        command.args(args).output().expect("cargo runs")
    }

    /// Builds a program with its own features alone, and runs it.
    pub(crate) fn runs(&self, program: &str) {
        if wanted() {
            let output = self.cargo(&["run", "--locked", "--quiet", "-p", program]);
            assert!(output.status.success(), "{program}: {}", said(&output));
        }
    }

    /// Builds all programs at once, the first time that one is wanted, and runs this one.
    pub(crate) fn runs_built(&self, program: &str) {
        let build = || {
            // Crates that cannot be had say nothing about this one.
            let fetched = self.cargo(&["fetch", "--locked"]);
            if !fetched.status.success() {
                eprintln!("NOT RUN: the crates of {} cannot be had: {}", self.name, said(&fetched));
                return None;
            }
            let built = self.cargo(&["build", "--locked", "--quiet", "--workspace"]);
            assert!(built.status.success(), "{}: {}", self.name, said(&built));
            Some(self.target().join("debug"))
        };
        if !wanted() {
            return;
        }
        if let Some(programs) = self.built.get_or_init(build) {
            let mut run = Command::new(programs.join(format!("{program}{}", env::consts::EXE_SUFFIX)));
            let output = run.output().expect("it was built");
            assert!(output.status.success(), "{program}: {}", said(&output));
        }
    }
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether these tests are wanted; says so where they are not.
pub(crate) fn wanted() -> bool {
    let wanted = |value: OsString| !value.is_empty() && value != "0";
    let wanted = env::var_os("UNWEDGE_SLOW_TESTS").is_some_and(wanted);
    if !wanted {
        eprintln!("skipped: programs that take minutes to build: set UNWEDGE_SLOW_TESTS=1");
    }
    wanted
}
