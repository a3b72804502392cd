//! Which program this is, where, and since when.

use super::text::brief;
use tokio::time::Instant;

pub(super) struct Program {
    /// With its version, where that was said.
    pub(super) name: String,
    pub(super) host: String,
    began: Instant,
}

impl Program {
    pub(super) fn new(name: Option<String>) -> Program {
        let name = name.or_else(executable).unwrap_or_else(|| "program".to_owned());
        Program { name, host: host(), began: Instant::now() }
    }

    /// For how long it is shown.
    pub(super) fn up(&self) -> String {
        brief(Instant::now().saturating_duration_since(self.began))
    }
}

/// What the file is called that runs.
fn executable() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    Some(path.file_stem()?.to_string_lossy().into_owned())
}

fn host() -> String {
    #[cfg(unix)]
    let host = nix::unistd::gethostname().ok();
    #[cfg(not(unix))]
    let host = std::env::var_os("COMPUTERNAME");
    host.map_or_else(|| "unknown".to_owned(), |host| host.to_string_lossy().into_owned())
}
