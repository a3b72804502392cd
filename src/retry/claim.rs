//! Whether what an answer claims with `Retry-After` holds for the whole origin, or for one replica of it.

use std::time::Duration;
use tokio::time::Instant;

/// For how long one that was disproved says something about the next.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The claims of one origin and group that nobody is served before a time, and whether they are true: an origin that
/// serves a request which was sent after such a claim, and before the time is up, has replicas that speak each for
/// itself.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Since when it is claimed, and until when.
    standing: Option<(Instant, Instant)>,
    disproved: Option<Instant>,
}

impl Claims {
    pub(crate) fn is_standing(&self) -> bool {
        self.standing.is_some()
    }

    /// Who asks now is to come back after `wait`. True where such a claim was disproved lately.
    pub(crate) fn claim(&mut self, wait: Duration, now: Instant) -> bool {
        let until = now + wait;
        // From the first of them on: a busy origin repeats it before anything could speak against the last.
        self.standing = match self.standing {
            Some((since, end)) if now < end => Some((since, end.max(until))),
            _ => Some((now, until)),
        };
        self.disproved.is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED)
    }

    /// A request that was sent at this moment was served.
    pub(crate) fn served(&mut self, sent: Instant, now: Instant) {
        let Some((since, until)) = self.standing else { return };
        if now >= until {
            self.standing = None;
        } else if sent > since {
            (self.standing, self.disproved) = (None, Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_claim_is_disproved_by_what_was_sent_after_it_and_served_before_its_time() {
        let start = Instant::now();
        let at = |seconds| start + seconds * SECOND;
        for (sent, served, disproved) in [(11, 12, true), (10, 12, false), (5, 12, false), (11, 40, false)] {
            let mut claims = Claims::default();
            claims.served(at(1), at(2));
            assert!(!claims.claim(30 * SECOND, at(10)) && claims.is_standing());
            claims.served(at(sent), at(served));
            assert_eq!(claims.claim(30 * SECOND, at(41)), disproved, "{sent} {served}");
        }
    }

    #[test]
    fn a_claim_after_the_end_of_another_begins_anew() {
        let start = Instant::now();
        let at = |seconds| start + seconds * SECOND;
        for next in [10, 20] {
            let mut claims = Claims::default();
            claims.claim(10 * SECOND, at(0));
            claims.claim(10 * SECOND, at(next));
            claims.served(at(next - 1), at(next + 1));
            assert!(claims.is_standing(), "{next}: what was sent before it says nothing about it");
        }
    }

    #[test]
    fn claims_that_follow_each_other_are_one_and_each_further_one_can_be_disproved_too() {
        let start = Instant::now();
        let at = |seconds| start + seconds * SECOND;
        let mut claims = Claims::default();
        claims.claim(10 * SECOND, at(0));
        claims.claim(10 * SECOND, at(5));
        claims.served(at(4), at(14));
        assert!(!claims.is_standing(), "sent after the first of them");
        assert!(claims.claim(10 * SECOND, at(313)));
        assert!(!claims.claim(10 * SECOND, at(314)), "long ago");
        claims.served(at(315), at(316));
        assert!(claims.claim(10 * SECOND, at(600)));
    }
}
