//! What the connects of an origin wait for, as the calls are told that wait for them. Pure.

use crate::error::Phase;

/// From the first to the last.
const STEPS: [Phase; 3] = [Phase::Resolve, Phase::Connect, Phase::Tls];

/// How many connects are at which step.
#[derive(Debug, Default)]
pub(super) struct Steps([usize; 3]);

/// Who is told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Nobody,
    /// The others do not wait for anybody else than before.
    Some,
    /// Whether a server has a part in what is waited for.
    All,
}

impl Steps {
    /// So many connects begin: nobody is asked yet.
    pub(super) fn begin(&mut self, connects: usize) {
        self.0[number(Phase::Resolve)] += connects;
    }

    /// A connect goes on from one step to the next, or has ended.
    pub(super) fn moves(&mut self, from: Phase, to: Option<Phase>) -> Tell {
        let before = self.phase();
        self.0[number(from)] -= 1;
        if let Some(to) = to {
            self.0[number(to)] += 1;
        }
        let after = self.phase();
        if before == after || self.0 == [0; 3] {
            Tell::Nobody
        } else if [before, after].contains(&Phase::Resolve) {
            Tell::All
        } else {
            Tell::Some
        }
    }

    /// The farthest that one of them has come: a name is waited for only where all of them do.
    pub(super) fn phase(&self) -> Phase {
        self.0.iter().rposition(|connects| *connects > 0).map_or(Phase::Connect, |farthest| STEPS[farthest])
    }
}

fn number(phase: Phase) -> usize {
    match phase {
        Phase::Resolve => 0,
        Phase::Tls => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Phase::{Connect, Resolve, Tls};

    #[test]
    fn all_are_told_where_a_name_is_waited_for_or_not_any_more_and_few_of_other_steps() {
        let mut steps = Steps::default();
        steps.begin(2);
        assert_eq!(steps.phase(), Resolve, "nobody is asked yet");
        for (from, to, tells, phase) in [
            // A server has been asked for something: by one of them is enough.
            (Resolve, Some(Connect), Tell::All, Connect),
            (Connect, Some(Tls), Tell::Some, Tls),
            (Resolve, Some(Connect), Tell::Nobody, Tls),
            (Tls, None, Tell::Some, Connect),
        ] {
            assert_eq!((steps.moves(from, to), steps.phase()), (tells, phase), "{from:?} to {to:?}");
        }
        steps.begin(1);
        assert_eq!(steps.phase(), Connect);
        assert_eq!((steps.moves(Connect, None), steps.phase()), (Tell::All, Resolve));
        assert_eq!(steps.moves(Resolve, Some(Tls)), Tell::All);
        assert_eq!(steps.moves(Tls, None), Tell::Nobody, "nobody waits for it");
        // What the last connect came to says nothing about the next.
        steps.begin(1);
        assert_eq!(steps.phase(), Resolve);
    }
}
