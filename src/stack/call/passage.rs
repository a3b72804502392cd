//! How far the request of an attempt has come beneath this stack.

use crate::error::Phase;
use crate::inflight::Reported;

/// What is known of the way of one request.
#[derive(Debug)]
pub(super) struct Passage {
    /// What it waits for.
    doing: Phase,
    /// How many requests were handed to a connection: one, unless a layer of the user's sends others beside it.
    taken: u8,
    /// It has waited for a connection with room for it.
    queued: bool,
    /// Its time began anew at the hand-over, which it does once.
    anew: bool,
}

impl Default for Passage {
    #[inline]
    fn default() -> Passage {
        Passage { doing: Phase::Headers, taken: 0, queued: false, anew: false }
    }
}

impl Passage {
    /// What it waits for by what was reported. A request that a connection has is sent, whatever another one beside it
    /// waits for.
    #[inline]
    pub(super) fn hear(&mut self, reported: Reported) -> Phase {
        self.taken = self.taken.saturating_add_signed(reported.taken);
        if self.taken > 0 { Phase::Headers } else { reported.phase }
    }

    /// What it was heard to wait for.
    #[inline]
    pub(super) fn doing(&self) -> Phase {
        self.doing
    }

    /// It goes on to wait for this. Whether its time begins anew; `over`: it is up.
    pub(super) fn moves(&mut self, doing: Phase, over: bool) -> bool {
        self.doing = doing;
        self.queued |= doing == Phase::Ready;
        let anew = doing == Phase::Headers && (self.queued || over) && !self.anew;
        self.anew |= anew;
        anew
    }

    /// Nobody was asked, since our own pool had no room for it, and what was opened beside that came to nothing.
    pub(super) fn is_queued(&self) -> bool {
        self.queued && self.doing != Phase::Headers
    }

    /// Nobody was asked yet: it waits for our own pool, or for a name.
    pub(super) fn is_local(&self) -> bool {
        self.doing.asks_nobody() || self.is_queued()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn reported(phase: Phase, taken: i8) -> Reported {
        Reported { phase, taken }
    }

    #[test]
    fn the_time_of_a_request_begins_anew_when_it_is_handed_over_after_a_wait_for_room_and_only_then() {
        let mut passage = Passage::default();
        for doing in [Phase::Connect, Phase::Ready, Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Ready]
        {
            assert!(!passage.moves(doing, true), "{doing}");
            assert_eq!(passage.is_queued(), doing != Phase::Connect || passage.queued, "{doing}");
        }
        assert!(passage.moves(Phase::Headers, false) && !passage.is_queued());
        assert!(!passage.moves(Phase::Ready, true) && !passage.moves(Phase::Headers, true), "once");
    }

    #[test]
    fn the_time_of_a_request_that_connected_at_once_begins_anew_where_it_would_be_over() {
        for over in [false, true] {
            let mut passage = Passage::default();
            assert!(!passage.moves(Phase::Connect, over));
            assert_eq!(passage.moves(Phase::Headers, over), over);
        }
    }

    #[test]
    fn a_request_that_was_taken_is_sent_until_it_comes_back() {
        let mut passage = Passage::default();
        assert_eq!(passage.hear(reported(Phase::Ready, 0)), Phase::Ready);
        assert_eq!(passage.hear(reported(Phase::Ready, 1)), Phase::Headers);
        assert_eq!(passage.hear(reported(Phase::Connect, 0)), Phase::Headers);
        assert_eq!(passage.hear(reported(Phase::Connect, -1)), Phase::Connect);
        assert_eq!(passage.hear(reported(Phase::Connect, -1)), Phase::Connect, "of another beside it");
    }

    #[test]
    fn a_wait_for_our_own_pool_or_for_a_name_is_ours_and_a_connect_is_not() {
        let mut passage = Passage::default();
        for (doing, local) in [
            (Phase::Headers, false),
            (Phase::Resolve, true),
            (Phase::Connect, false),
            (Phase::Tls, false),
            (Phase::Ready, true),
            (Phase::Connect, true),
            (Phase::Headers, false),
        ] {
            passage.moves(doing, false);
            assert_eq!(passage.is_local(), local, "{doing}");
        }
    }
}
