//! Jobs between their delivery and their end: what keeps one from being lost or done twice. Pure.
//!
//! An acquisition that got no answer may have been heard. It is asked again under its first key, to which the broker
//! says again what it said, until there is an answer; a delivery of the same job in between is the same acquisition.

use std::collections::VecDeque;

/// Jobs that wait for an answer. With so many nothing further is taken on.
const MOST_OPEN: usize = 16;
/// Jobs that are known to be done. A broker that forgets what it gave away gives it away again.
const REMEMBERED: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    open: VecDeque<String>,
    done: VecDeque<String>,
}

impl Jobs {
    /// A job was delivered.
    pub(crate) fn delivered(&mut self, job: String) {
        if !self.open.contains(&job) {
            // The new one first: its answer is the likeliest.
            self.open.push_front(job);
        }
    }

    /// The one to acquire next.
    pub(crate) fn next(&self) -> Option<&str> {
        self.open.front().map(String::as_str)
    }

    /// There was no answer: the others first.
    pub(crate) fn unanswered(&mut self) {
        if !self.open.is_empty() {
            self.open.rotate_left(1);
        }
    }

    /// It is ours. True where it is to be done, and not known to be done already.
    pub(crate) fn ours(&mut self, job: &str) -> bool {
        self.drop_open(job);
        if self.done.iter().any(|done| done == job) {
            return false;
        }
        if self.done.len() == REMEMBERED {
            self.done.pop_front();
        }
        self.done.push_back(job.to_owned());
        true
    }

    /// It is another's, or is no job at all.
    pub(crate) fn drop_open(&mut self, job: &str) {
        self.open.retain(|open| open != job);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= MOST_OPEN
    }

    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }
}
