//! What is remembered of a 429: which calls of an origin and group may not leave before when.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// The longest that a gate stays closed. Who was told to wait for longer than this is let through, one at a time, to
/// ask whether that still holds.
pub(crate) const LONGEST: Duration = Duration::from_secs(300);
/// How long the one that asks is waited for before another goes.
const ASKING: Duration = Duration::from_secs(10);
/// Gates of one origin and group; of more the soonest to open is dropped.
const MOST: usize = 1024;
/// Over how long those that waited are let through.
const SPREAD: Duration = Duration::from_secs(1);

/// The gates of one origin and group, by what stands for path and credential.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    gates: HashMap<u64, Gate>,
    /// When the last of them is over.
    over: Option<Instant>,
    places: u32,
}

#[derive(Debug)]
struct Gate {
    opens: Instant,
    spread: Duration,
    /// Once it opens, one call goes to ask; none went yet where this is `Asks::Nobody`.
    asks: Asks,
    waiting: BTreeMap<u32, Waiting>,
    /// Those that wait know their moment.
    placed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// It opens for all.
    No,
    Nobody,
    /// The latest left then.
    Since(Instant),
}

#[derive(Debug)]
struct Waiting {
    end: Option<Instant>,
    at: Instant,
}

/// What a call is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Go,
    /// Ask again then, from this place.
    Wait {
        until: Instant,
        place: u32,
    },
    /// That is too late for it.
    Refuse {
        retry_in: Duration,
    },
}

impl Gate {
    /// From then on it is as if it had never been.
    fn over(&self) -> Instant {
        self.opens + if self.asks == Asks::No { self.spread } else { LONGEST }
    }

    /// Gives each that waits its moment: the nearest deadline first, spread evenly, and none later than half of what it
    /// has left.
    fn place(&mut self, draw: &mut dyn FnMut() -> f64) {
        let mut waiting: Vec<&mut Waiting> = self.waiting.values_mut().collect();
        // Those without a deadline come last, and of two the one that came first goes first.
        waiting.sort_by_key(|waiting| (waiting.end.is_none(), waiting.end));
        let each = self.spread.as_secs_f64() / waiting.len().max(1) as f64;
        for (rank, waiting) in waiting.into_iter().enumerate() {
            let after = Duration::from_secs_f64(each * (rank as f64 + draw()));
            let half = waiting.end.map(|end| end.saturating_duration_since(self.opens) / 2);
            waiting.at = self.opens + half.map_or(after, |half| half.min(after));
        }
        self.placed = true;
    }
}

impl Gates {
    pub(crate) fn is_empty(&self) -> bool {
        self.gates.is_empty()
    }

    /// Closes a gate for this long; a later word replaces an earlier one only by a longer wait. False where nothing
    /// changed.
    pub(crate) fn close(&mut self, key: u64, wait: Duration, now: Instant) -> bool {
        self.purge(now);
        let (opens, spread) = (now + wait.min(LONGEST), SPREAD.max(wait.min(LONGEST) / 10));
        let asks = if wait > LONGEST { Asks::Nobody } else { Asks::No };
        if wait.is_zero() {
            return false;
        }
        if let Some(gate) = self.gates.get_mut(&key) {
            if opens <= gate.opens {
                return false;
            }
            (gate.opens, gate.spread, gate.asks, gate.placed) = (opens, spread, asks, false);
        } else {
            if self.gates.len() >= MOST {
                let soonest = self.gates.iter().min_by_key(|(_, gate)| gate.opens);
                match soonest.map(|(key, gate)| (*key, gate.opens)) {
                    Some((_, earliest)) if opens <= earliest => return false,
                    Some((key, _)) => drop(self.gates.remove(&key)),
                    None => {}
                }
            }
            let waiting = BTreeMap::new();
            self.gates.insert(key, Gate { opens, spread, asks, waiting, placed: false });
        }
        self.over = self.gates.values().map(Gate::over).max();
        true
    }

    /// May this call leave, that has to be over by `end`? `place` is where it waited so far.
    pub(crate) fn ask(
        &mut self,
        key: u64,
        place: Option<u32>,
        end: Option<Instant>,
        now: Instant,
        draw: &mut dyn FnMut() -> f64,
    ) -> Answer {
        if self.over.is_none_or(|over| now >= over) {
            self.purge(now);
        }
        let Some(gate) = self.gates.get_mut(&key) else { return Answer::Go };
        if now >= gate.over() {
            self.gates.remove(&key);
            return Answer::Go;
        }
        if now < gate.opens {
            if end.is_some_and(|end| gate.opens >= end) {
                leave(gate, place);
                return Answer::Refuse { retry_in: gate.opens - now };
            }
            let place = place.unwrap_or_else(|| {
                self.places = self.places.wrapping_add(1);
                self.places
            });
            gate.waiting.insert(place, Waiting { end, at: gate.opens });
            return Answer::Wait { until: gate.opens, place };
        }
        if gate.asks != Asks::No {
            // The others wait for what it is told, or go to ask themselves where it is told nothing.
            (gate.asks, gate.opens) = (Asks::Since(now), now + ASKING);
            leave(gate, place);
            self.over = self.over.max(Some(gate.over()));
            return Answer::Go;
        }
        if !gate.placed {
            gate.place(draw);
        }
        match place.and_then(|place| Some((place, gate.waiting.get(&place)?.at))) {
            Some((place, at)) if now < at => Answer::Wait { until: at, place },
            _ => {
                leave(gate, place);
                Answer::Go
            }
        }
    }

    /// A call that was sent then was answered, and not with a 429: if it was the one that asked, the gate opens.
    pub(crate) fn answered(&mut self, key: u64, sent: Instant, now: Instant) {
        let Some(gate) = self.gates.get_mut(&key) else { return };
        if matches!(gate.asks, Asks::Since(asked) if sent >= asked) {
            (gate.asks, gate.opens, gate.placed) = (Asks::No, now, false);
            if gate.waiting.is_empty() {
                self.gates.remove(&key);
            }
        }
    }

    /// A call that waited will not ask again.
    pub(crate) fn leave(&mut self, key: u64, place: u32) {
        if let Some(gate) = self.gates.get_mut(&key) {
            leave(gate, Some(place));
        }
    }

    /// How many are closed, and when the first of them opens.
    pub(crate) fn closed(&self, now: Instant) -> (usize, Option<Duration>) {
        let closed = || self.gates.values().filter(|gate| now < gate.opens);
        (closed().count(), closed().map(|gate| gate.opens - now).min())
    }

    fn purge(&mut self, now: Instant) {
        self.gates.retain(|_, gate| now < gate.over());
        self.over = self.gates.values().map(Gate::over).max();
    }
}

fn leave(gate: &mut Gate, place: Option<u32>) {
    if let Some(place) = place {
        gate.waiting.remove(&place);
    }
}
