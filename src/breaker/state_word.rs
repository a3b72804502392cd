//! What a call has to know while all is well, in the one word that it can read without a lock.

use crate::breaker::Phase;

/// `generation:32 | unused:28 | quiet:1 | phase:3`.
///
/// While quiet (closed, no run of failures, no window) a success changes nothing but a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateWord(pub(super) u64);

const PHASE: u64 = 0b111;
const QUIET: u64 = 0b1000;
const CLOSED: u64 = 0;
const DISABLED: u64 = 1;
const OPEN: u64 = 2;
const HALF_OPEN: u64 = 3;
const FORCED_OPEN: u64 = 4;

impl StateWord {
    pub(super) fn new(generation: u32, phase: Phase, quiet: bool) -> StateWord {
        let phase = match phase {
            Phase::Closed => CLOSED,
            Phase::Disabled => DISABLED,
            Phase::Open => OPEN,
            Phase::HalfOpen => HALF_OPEN,
            Phase::ForcedOpen => FORCED_OPEN,
        };
        StateWord(u64::from(generation) << 32 | if quiet { QUIET } else { 0 } | phase)
    }

    pub(super) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn admits_all(self) -> bool {
        self.is_closed() || self.is_disabled()
    }

    pub(super) fn is_closed(self) -> bool {
        self.0 & PHASE == CLOSED
    }

    pub(super) fn is_disabled(self) -> bool {
        self.0 & PHASE == DISABLED
    }

    pub(super) fn is_open(self) -> bool {
        self.0 & PHASE == OPEN
    }

    pub(super) fn is_forced_open(self) -> bool {
        self.0 & PHASE == FORCED_OPEN
    }

    pub(super) fn is_quiet(self) -> bool {
        self.0 & QUIET != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_went_into_it_and_nothing_else() {
        let phases = [Phase::Closed, Phase::Disabled, Phase::Open, Phase::HalfOpen, Phase::ForcedOpen];
        for generation in [0, 1, 7, u32::MAX] {
            for phase in phases {
                for quiet in [false, true] {
                    let word = StateWord::new(generation, phase, quiet);
                    let is = |other| phase == other;
                    assert_eq!((word.generation(), word.is_quiet()), (generation, quiet));
                    assert_eq!(
                        (word.is_closed(), word.is_disabled()),
                        (is(Phase::Closed), is(Phase::Disabled))
                    );
                    assert_eq!(
                        (word.is_open(), word.is_forced_open()),
                        (is(Phase::Open), is(Phase::ForcedOpen))
                    );
                    assert_eq!(word.admits_all(), is(Phase::Closed) || is(Phase::Disabled));
                }
            }
        }
    }
}
