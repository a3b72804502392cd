//! What of the page was rendered last, and who looks.

use crate::sync::{Arc, Mutex, lock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Pages that are live at a time.
const VIEWERS: usize = 8;
/// How long what was rendered is shown again: the cost of the page does not grow with those who look at it.
const FRESH: Duration = Duration::from_millis(500);

/// The parts of the page, each replaced as a whole when it changes.
pub(super) const PARTS: usize = 9;
pub(super) type Sections = [Arc<str>; PARTS];

pub(super) struct Rendered {
    last: Mutex<Option<(Instant, Sections)>>,
    pub(super) viewers: Arc<Semaphore>,
}

impl Default for Rendered {
    fn default() -> Rendered {
        Rendered { last: Mutex::default(), viewers: Arc::new(Semaphore::new(VIEWERS)) }
    }
}

impl Rendered {
    /// What is fresh enough, or what this renders.
    pub(super) fn sections(&self, render: impl FnOnce() -> Sections) -> Sections {
        let now = Instant::now();
        if let Some((at, sections)) = lock(&self.last).clone() {
            if now.saturating_duration_since(at) < FRESH {
                return sections;
            }
        }
        // Without the lock: it asks the checks of the user, and breakers, whose changes are told.
        let sections = render();
        lock(&self.last).replace((now, sections.clone()));
        sections
    }
}
