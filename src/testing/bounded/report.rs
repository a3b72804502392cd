//! What became of each fault, and how that is told. Pure.

use std::fmt;
use std::time::Duration;

use crate::duration::human;

/// What one call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The whole response was read.
    Read {
        after: Duration,
        status: u16,
        bytes: u64,
    },
    /// An error, which is as good an end as any.
    Failed {
        after: Duration,
        error: String,
    },
    /// An end without anything having been tried.
    NotReached {
        said: String,
    },
    NoHead {
        after: Duration,
    },
    NoEnd {
        after: Duration,
        status: u16,
        bytes: u64,
    },
}

impl Ended {
    fn hangs(&self) -> bool {
        matches!(self, Ended::NoHead { .. } | Ended::NoEnd { .. })
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Read { after, status, bytes } => {
                write!(f, "ended after {:#}: {status}, {bytes} bytes", human(*after))
            }
            Ended::Failed { after, error } => write!(f, "ended after {:#}: {error}", human(*after)),
            Ended::NotReached { said } => write!(f, "was never reached: {said}"),
            Ended::NoHead { after } => write!(f, "no response head after {:#}", human(*after)),
            Ended::NoEnd { after, status, bytes } => {
                write!(f, "{status}, and {bytes} bytes of the body after {:#}", human(*after))
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) ended: Ended,
}

/// What [`assert_bounded`](super::assert_bounded) and its kin found, fault by fault. It prints as a table.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) limit: Duration,
    pub(super) rows: Vec<Row>,
}

impl Report {
    /// Whether every fault was met, and every call ended.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.rows.iter().all(|row| !row.ended.hangs() && !matches!(row.ended, Ended::NotReached { .. }))
    }

    /// The faults whose calls did not end within the bound.
    pub fn unbounded(&self) -> impl Iterator<Item = &'static str> {
        self.rows.iter().filter(|row| row.ended.hangs()).map(|row| row.name)
    }

    fn part(&self, f: &mut fmt::Formatter<'_>, of: impl Fn(&Ended) -> bool, about: bool) -> fmt::Result {
        let rows = || self.rows.iter().filter(|row| of(&row.ended));
        let name = rows().map(|row| row.name.len()).max().unwrap_or(0);
        let ended = rows().map(|row| row.ended.to_string().len()).max().unwrap_or(0);
        for row in rows() {
            let said = row.ended.to_string();
            match about {
                true => write!(f, "\n  {:name$}   {said:ended$}   {}", row.name, row.about)?,
                false => write!(f, "\n  {:name$}   {said}", row.name)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, hang) = (self.rows.len(), self.unbounded().count());
        let limit = human(self.limit);
        let lost = |ended: &Ended| matches!(ended, Ended::NotReached { .. });
        let fine = |ended: &Ended| !ended.hangs() && !lost(ended);
        if hang > 0 {
            writeln!(
                f,
                "{hang} of {all} faults did not end within {limit:#}, from the call to the last byte of its body:"
            )?;
            self.part(f, Ended::hangs, true)?;
            f.write_str("\n\na program that meets one of these waits until somebody restarts it\n\n")?;
        }
        if self.rows.iter().any(|row| lost(&row.ended)) {
            f.write_str("these faults were never met, so that nothing is known of them (a state that clients share?):\n")?;
            self.part(f, lost, false)?;
            f.write_str("\n\n")?;
        }
        match self.is_bounded() {
            true => writeln!(f, "every call ended within {limit:#}:")?,
            false => f.write_str("these ended:\n")?,
        }
        self.part(f, fine, false)
    }
}
