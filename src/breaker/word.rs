//! What a call has to know while all is well, in the one word that it can read without a lock.

use super::Phase;

/// `generation:32 | successes:28 | quiet:1 | phase:3`.
///
/// While quiet (closed, no run of failures, no window) a success changes nothing but a count, so it is counted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

const PHASE: u64 = 0b111;
const QUIET: u64 = 0b1000;
const ONE: u64 = 1 << 4;
const COUNT: u64 = ((1 << 28) - 1) << 4;

impl Word {
    pub(super) fn new(generation: u32, phase: Phase, quiet: bool) -> Word {
        let phase = match phase {
            Phase::Closed => 0,
            Phase::Disabled => 1,
            Phase::Open => 2,
            Phase::HalfOpen => 3,
            Phase::ForcedOpen => 4,
        };
        Word(u64::from(generation) << 32 | if quiet { QUIET } else { 0 } | phase)
    }

    pub(super) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn admits_all(self) -> bool {
        self.0 & PHASE <= 1
    }

    pub(super) fn records_nothing(self) -> bool {
        self.0 & PHASE == 1
    }

    pub(super) fn is_closed(self) -> bool {
        self.0 & PHASE == 0
    }

    pub(super) fn is_open(self) -> bool {
        self.0 & PHASE == 2
    }

    pub(super) fn is_forced_open(self) -> bool {
        self.0 & PHASE == 4
    }

    pub(super) fn is_quiet(self) -> bool {
        self.0 & QUIET != 0
    }

    pub(super) fn successes(self) -> u64 {
        (self.0 & COUNT) >> 4
    }

    pub(super) fn without_successes(self) -> Word {
        Word(self.0 & !COUNT)
    }

    /// `None` when there is room for no more and somebody has to carry the count away.
    pub(super) fn plus_one(self) -> Option<Word> {
        (self.0 & COUNT != COUNT).then_some(Word(self.0 + ONE))
    }

    pub(super) fn is_half_full(self) -> bool {
        self.successes() > COUNT >> 5
    }
}
