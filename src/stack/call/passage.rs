//! How far the request of an attempt has come beneath this stack.

use crate::error::Phase;
use crate::inflight::Reported;

/// What is known of the way of one request.
#[derive(Debug)]
pub(in crate::stack) struct Passage {
    /// What it waits for.
    doing: Phase,
    /// How many requests were handed to a connection: one, unless a layer of the user's sends others beside it.
    taken: u8,
    /// It had not been handed over when it was last looked at where it is.
    unsent: bool,
    /// It has waited for a connection with room for it.
    queued: bool,
    /// Somebody is asked to connect for it.
    asked: bool,
    /// Its time began anew at the hand-over, which it does once.
    anew: bool,
}

impl Default for Passage {
    #[inline]
    fn default() -> Passage {
        let (unsent, queued, asked, anew) = (false, false, false, false);
        Passage { doing: Phase::Headers, taken: 0, unsent, queued, asked, anew }
    }
}

impl Passage {
    /// What it waits for by what was reported. A request that a connection has is sent, whatever another one beside it
    /// waits for; and where the server is asked to connect, a name that is looked up for another connect is no news.
    #[inline]
    pub(in crate::stack) fn hear(&mut self, reported: Reported) -> Phase {
        self.taken = self.taken.saturating_add_signed(reported.taken);
        match reported.phase {
            _ if self.taken > 0 => Phase::Headers,
            Phase::Resolve if self.asked => Phase::Connect,
            phase => phase,
        }
    }

    /// What it was heard to wait for.
    #[inline]
    pub(super) fn doing(&self) -> Phase {
        self.doing
    }

    /// Whether it is elsewhere by what was [heard](Passage::hear).
    #[inline]
    pub(in crate::stack) fn has_moved(&self, doing: Phase) -> bool {
        doing != self.doing || self.unsent && self.taken > 0
    }

    /// It goes on to wait for this. Whether its time begins anew; `over`: it is up. A connection that has not said yet how
    /// much it has room for has not taken it.
    pub(in crate::stack) fn moves(&mut self, doing: Phase, over: bool) -> bool {
        self.doing = doing;
        self.unsent = self.taken == 0;
        self.queued |= doing == Phase::Ready;
        self.asked |= matches!(doing, Phase::Connect | Phase::Tls);
        let anew = !self.unsent && (self.queued || over) && !self.anew;
        self.anew |= anew;
        anew
    }

    /// Nobody was asked, since our own pool had no room for it, and what was opened beside that came to nothing.
    pub(super) fn is_queued(&self) -> bool {
        self.queued && self.doing != Phase::Headers
    }

    /// Nobody was asked yet: it waits for our own pool, or for a name.
    pub(in crate::stack) fn is_local(&self) -> bool {
        self.doing.asks_nobody() || self.is_queued()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn reported(phase: Phase, taken: i8) -> Reported {
        Reported { phase, taken }
    }

    /// Whether its time begins anew by this report, if it is news.
    fn hears(passage: &mut Passage, phase: Phase, taken: i8, over: bool) -> bool {
        let doing = passage.hear(reported(phase, taken));
        passage.has_moved(doing) && passage.moves(doing, over)
    }

    #[test]
    fn the_time_of_a_request_begins_anew_when_it_is_handed_over_after_a_wait_for_room_and_only_then() {
        let mut passage = Passage::default();
        for doing in [Phase::Connect, Phase::Ready, Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Ready]
        {
            assert!(!hears(&mut passage, doing, 0, true), "{doing}");
            assert_eq!(passage.is_queued(), doing != Phase::Connect || passage.queued, "{doing}");
        }
        assert!(hears(&mut passage, Phase::Headers, 1, false) && !passage.is_queued());
        assert!(
            !hears(&mut passage, Phase::Ready, -1, true) && !hears(&mut passage, Phase::Headers, 1, true)
        );
    }

    #[test]
    fn the_time_of_a_request_does_not_begin_anew_on_a_connection_that_has_not_said_yet_how_much_it_takes() {
        for (first, over) in [(Phase::Ready, false), (Phase::Connect, true)] {
            let mut passage = Passage::default();
            assert!(!hears(&mut passage, first, 0, false));
            assert!(!hears(&mut passage, Phase::Headers, 0, over), "it waits for it, as for an answer");
            assert!(!passage.is_local());
            assert!(!hears(&mut passage, first, 0, false), "others took its room");
            assert!(!hears(&mut passage, Phase::Headers, 0, over));
            assert!(hears(&mut passage, Phase::Headers, 1, over), "{first}");
            assert!(!hears(&mut passage, Phase::Headers, 0, true), "once");
        }
    }

    #[test]
    fn the_time_of_a_request_that_connected_at_once_begins_anew_where_it_would_be_over() {
        for over in [false, true] {
            let mut passage = Passage::default();
            assert!(!hears(&mut passage, Phase::Connect, 0, over));
            assert_eq!(hears(&mut passage, Phase::Headers, 1, over), over);
        }
    }

    #[test]
    fn a_request_that_is_taken_at_once_and_one_of_which_nothing_is_heard_never_move() {
        let mut passage = Passage::default();
        for taken in [0, 0, 1, 0] {
            let doing = passage.hear(reported(Phase::Headers, taken));
            assert!(!passage.has_moved(doing));
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
    fn a_name_that_is_looked_up_for_another_connect_is_no_wait_of_a_request_whose_own_has_begun() {
        let mut passage = Passage::default();
        assert!(!hears(&mut passage, Phase::Resolve, 0, false) && passage.is_local());
        for doing in [Phase::Connect, Phase::Resolve, Phase::Tls, Phase::Resolve] {
            assert!(!hears(&mut passage, doing, 0, false));
            assert!(!passage.is_local(), "{doing}");
        }
        assert_eq!(passage.doing(), Phase::Connect);
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
