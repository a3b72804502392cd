//! In which order and when the addresses of a name are tried (RFC 8305, "happy eyeballs").

use crate::duration::human;
use crate::error::{Error, ErrorKind, Phase};
use crate::transport::connect::memory::Memory;
use std::collections::VecDeque;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// One address has so long before the next is tried beside it, of the other family or its own.
const APART: Duration = Duration::from_millis(250);
/// So many addresses are tried for one connection: as many as begin within the connect limit of 5 s where none of them
/// answers. Where all of them refuse at once it is this that ends it; the next connect begins with others.
const MOST: usize = 20;
/// So many are named when none of them was to be had.
const NAMED: usize = 4;

/// The addresses to try, the best first: the families take turns, the first of the resolver's before the other; then those
/// that are known to be dead, the longest dead first.
pub(super) fn order(addresses: Vec<SocketAddr>, memory: &Memory, now: Instant) -> Vec<SocketAddr> {
    let dead = |address: &SocketAddr| memory.dead_since(address, now);
    let (mut last, well): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| dead(address).is_some());
    last.sort_by_key(&dead);
    let first_is_v4 = well.first().is_some_and(SocketAddr::is_ipv4);
    let (mut first, mut second) =
        well.into_iter().partition::<VecDeque<_>, _>(|a| a.is_ipv4() == first_is_v4);
    let mut order: Vec<SocketAddr> = Vec::with_capacity(MOST);
    let in_turn = std::iter::from_fn(|| {
        std::mem::swap(&mut first, &mut second);
        second.pop_front().or_else(|| first.pop_front())
    });
    for address in in_turn.chain(last) {
        if order.len() == MOST {
            break;
        }
        if !order.contains(&address) {
            order.push(address);
        }
    }
    order
}

/// An address that was begun with.
#[derive(Debug)]
struct Tried {
    address: SocketAddr,
    /// None while it has not answered.
    said: Option<Error>,
}

/// One connect over the addresses of a name.
#[derive(Debug)]
pub(super) struct Race {
    waiting: VecDeque<SocketAddr>,
    tried: Vec<Tried>,
    next: Instant,
}

impl Race {
    pub(super) fn new(order: Vec<SocketAddr>, now: Instant) -> Race {
        Race { waiting: order.into(), tried: Vec::new(), next: now }
    }

    /// The address whose turn it is.
    pub(super) fn start(&mut self, now: Instant) -> Option<SocketAddr> {
        if now < self.next {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.tried.push(Tried { address, said: None });
        self.next = now + APART;
        Some(address)
    }

    /// This one cannot be had, so that the next has its turn.
    pub(super) fn failed(&mut self, address: SocketAddr, said: Error, now: Instant) {
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.address == address) {
            tried.said = Some(said);
        }
        self.next = now;
    }

    /// When the next has its turn, where there is one.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.waiting.is_empty() && self.tried.iter().all(|tried| tried.said.is_some())
    }

    /// What is known of the addresses now that one has `won`, or none. What this machine lacked says nothing of them, and
    /// one that began after the winner had less time.
    pub(super) fn remember(&self, won: Option<SocketAddr>, memory: &mut Memory, now: Instant) {
        let until = self.tried.iter().position(|tried| Some(tried.address) == won);
        for (n, Tried { address, said }) in self.tried.iter().enumerate() {
            let dead = match said {
                Some(said) => !said.is_of_this_machine(),
                None => until.is_none_or(|winner| n < winner),
            };
            if dead && Some(*address) != won {
                memory.failed(*address, now);
            }
        }
        if let Some(won) = won {
            memory.works(&won);
        }
    }

    /// Why there is no connection, now that all were tried.
    pub(super) fn lost(mut self) -> Error {
        // One that refused counts before one to which this machine had no way: that is what the server did.
        let of_theirs = |tried: &Tried| tried.said.as_ref().is_some_and(|said| !said.is_of_this_machine());
        let counts = self.tried.iter().position(of_theirs).unwrap_or(0);
        if counts < self.tried.len() {
            self.tried[..=counts].rotate_right(1);
        }
        let names = self.names();
        match self.tried.into_iter().next().and_then(|tried| tried.said) {
            None => Error::new(ErrorKind::Connect, "the host name has no address").at(Phase::Resolve),
            Some(mut error) => {
                if let Some(names) = names {
                    error.inner_mut().detail = format!("{}{names}", error.cause()).into();
                }
                error
            }
        }
    }

    /// The connect limit has passed, and none has answered.
    pub(super) fn too_late(&self, limit: Duration) -> Error {
        let mut late = Error::new(ErrorKind::Connect, "").at(Phase::Connect).limit(limit);
        if let Some(names) = self.names() {
            late.inner_mut().detail = format!("no connection after {:#}{names}", human(limit)).into();
        }
        late
    }

    /// Who was tried and what each said, where there was more than one.
    fn names(&self) -> Option<String> {
        if self.tried.len() < 2 {
            return None;
        }
        let said = |tried: &Tried| tried.said.as_ref().map(Error::cause);
        let first = said(&self.tried[0]);
        let all_alike = self.tried.iter().all(|tried| said(tried) == first);
        let mut names = String::from(" (");
        for (n, tried) in self.tried.iter().take(NAMED).enumerate() {
            let gap = if n == 0 { "" } else { ", " };
            let _ = write!(names, "{gap}{}", tried.address.ip());
            if !all_alike {
                let _ = write!(names, ": {}", said(tried).as_deref().unwrap_or("no answer"));
            }
        }
        match self.tried.len().saturating_sub(NAMED) {
            0 => names.push(')'),
            more => {
                let _ = write!(names, " and {more} more)");
            }
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    const MS: Duration = Duration::from_millis(1);

    fn at(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 80)
    }

    fn all(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().copied().map(at).collect()
    }

    fn said(kind: io::ErrorKind) -> Error {
        let mut said = Error::from(crate::error::BoxError::from(io::Error::from(kind))).at(Phase::Connect);
        said.inner_mut().kind = ErrorKind::Connect;
        said
    }

    /// More than any answer of a name server has room for.
    fn many() -> Vec<SocketAddr> {
        (0..10_000u32).map(|n| SocketAddr::from(((0x0a00_0000 + n).to_be_bytes(), 80))).collect()
    }

    #[test]
    fn families_take_turns_and_the_first_of_the_resolver_begins() {
        let (memory, now) = (Memory::default(), Instant::now());
        for (given, tried) in [
            (
                &["::1", "::2", "::3", "1.0.0.1", "1.0.0.2"][..],
                &["::1", "1.0.0.1", "::2", "1.0.0.2", "::3"][..],
            ),
            (&["1.0.0.1", "1.0.0.2", "1.0.0.3", "::1"], &["1.0.0.1", "::1", "1.0.0.2", "1.0.0.3"]),
            (&["1.0.0.1", "1.0.0.1", "::1", "1.0.0.1"], &["1.0.0.1", "::1"]),
            (&["::1"], &["::1"]),
            (&[], &[]),
        ] {
            assert_eq!(order(all(given), &memory, now), all(tried), "{given:?}");
        }
    }

    #[test]
    fn what_is_known_to_be_dead_is_tried_last_and_the_longest_dead_before_the_others() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.failed(at("1.0.0.1"), now + MS);
        memory.failed(at("::1"), now);
        let given = ["1.0.0.1", "::1", "1.0.0.2", "::2"];
        assert_eq!(order(all(&given), &memory, now + MS), all(&["1.0.0.2", "::2", "::1", "1.0.0.1"]));
        let later = now + Duration::from_secs(601);
        assert_eq!(order(all(&given), &memory, later), all(&["1.0.0.1", "::1", "1.0.0.2", "::2"]));
    }

    #[test]
    fn of_ten_thousand_addresses_twenty_are_tried_and_the_next_time_twenty_others() {
        let (mut memory, mut now) = (Memory::default(), Instant::now());
        for round in 0..40 {
            let order = order(many(), &memory, now);
            assert_eq!(order, many()[20 * round..20 * (round + 1)]);
            let mut race = Race::new(order, now);
            while let Some(address) = race.start(now) {
                race.failed(address, said(io::ErrorKind::ConnectionRefused), now);
            }
            assert!(race.is_lost());
            race.remember(None, &mut memory, now);
            now += MS;
        }
    }

    #[test]
    fn the_next_begins_after_250_ms_or_as_soon_as_one_failed() {
        let start = Instant::now();
        let mut race = Race::new(all(&["::1", "::2", "::3", "::4"]), start);
        assert_eq!((race.start(start), race.start(start)), (Some(at("::1")), None));
        assert_eq!(race.next(), Some(start + 250 * MS));
        assert_eq!(race.start(start + 249 * MS), None);
        assert_eq!(race.start(start + 250 * MS), Some(at("::2")));
        race.failed(at("::2"), said(io::ErrorKind::ConnectionRefused), start + 260 * MS);
        assert_eq!(race.next(), Some(start + 260 * MS));
        assert_eq!(race.start(start + 260 * MS), Some(at("::3")));
        assert_eq!((race.start(start + 509 * MS), race.start(start + 510 * MS)), (None, Some(at("::4"))));
        assert_eq!((race.next(), race.is_lost()), (None, false), "three have not answered");
    }

    #[test]
    fn losers_are_remembered_but_not_those_that_had_less_time_or_that_this_machine_could_not_reach() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let names = ["1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.4", "1.0.0.5"];
        let mut race = Race::new(all(&names), start);
        memory.failed(at("1.0.0.4"), start);
        let mut now = start;
        for _ in names {
            assert!(race.start(now).is_some());
            now += APART;
        }
        race.failed(at("1.0.0.1"), said(io::ErrorKind::NetworkUnreachable), now);
        race.failed(at("1.0.0.2"), said(io::ErrorKind::ConnectionRefused), now);
        race.remember(Some(at("1.0.0.4")), &mut memory, now);
        let dead: Vec<bool> = names.iter().map(|name| memory.dead_since(&at(name), now).is_some()).collect();
        assert_eq!(dead, [false, true, true, false, false]);
    }

    #[test]
    fn the_words_are_those_of_the_server_where_one_refused_and_name_a_few() {
        use io::ErrorKind as Io;
        let now = Instant::now();
        let lost = |says: &[(&str, Io)]| {
            let mut race = Race::new(says.iter().map(|(name, _)| at(name)).collect(), now);
            for (name, kind) in says {
                assert_eq!(race.start(now), Some(at(name)));
                race.failed(at(name), said(*kind), now);
            }
            let error = race.lost();
            (error.to_string(), error.is_of_this_machine())
        };
        let refused = Io::ConnectionRefused;
        let owned = |text: &str, local| (text.to_owned(), local);
        assert_eq!(lost(&[("::1", refused)]), owned("connection refused", false));
        assert_eq!(
            lost(&[("::1", refused), ("1.0.0.1", refused)]),
            owned("connection refused (::1, 1.0.0.1)", false)
        );
        let route = "network unreachable: this machine has no route";
        assert_eq!(
            lost(&[("::1", Io::NetworkUnreachable), ("1.0.0.1", refused)]),
            owned(&format!("connection refused (1.0.0.1: connection refused, ::1: {route})"), false)
        );
        assert_eq!(lost(&[("::1", Io::NetworkUnreachable)]), owned(route, true));
        let six: Vec<String> = (1..=6).map(|n| format!("::{n}")).collect();
        let six: Vec<(&str, Io)> = six.iter().map(|name| (&**name, refused)).collect();
        assert_eq!(lost(&six), owned("connection refused (::1, ::2, ::3, ::4 and 2 more)", false));
        let none = lost(&[]);
        assert_eq!(none, owned("the host name has no address", false));
    }

    #[test]
    fn a_limit_that_passes_says_who_was_silent_where_there_were_several() {
        let now = Instant::now();
        let mut race = Race::new(all(&["::1", "1.0.0.1"]), now);
        race.start(now);
        assert_eq!(race.too_late(5000 * MS).to_string(), "no connection after 5 s");
        race.start(now + APART);
        assert_eq!(race.too_late(5000 * MS).to_string(), "no connection after 5 s (::1, 1.0.0.1)");
        race.failed(at("1.0.0.1"), said(io::ErrorKind::ConnectionRefused), now);
        let late = race.too_late(5000 * MS);
        assert_eq!(late.to_string(), "no connection after 5 s (::1: no answer, 1.0.0.1: connection refused)");
        assert!(late.is_timeout() && late.is_connect() && !late.is_of_this_machine());
    }
}
