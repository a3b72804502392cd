//! One history on both, side by side.

use crate::breaker::Phase;
use crate::breaker::machine::Machine;
use crate::breaker::reference::history::{Op, Plan, decode, ticks};
use crate::breaker::reference::{Reference, UNSENT};
use crate::breaker::settings::ATTEMPT;
use crate::breaker::values::{Change, Changes, Lease, Outcome, Place, Ticket};
use crate::retry::backoff::Rng;
use rand::SeedableRng;
use std::sync::Arc;
use tokio::time::Instant;

/// Plays the history that `bytes` stand for on both.
///
/// # Panics
/// Where they differ.
pub fn check(bytes: &[u8]) {
    let (plan, ops) = decode(bytes);
    let start = Instant::now();
    let settings = plan.settings();
    settings.check_alone().expect("valid settings");
    let rules = Arc::new(settings.rules(ATTEMPT));
    let mut machine = Machine::new(rules, Rng::seed_from_u64(0), start);
    let lease = ticks(plan.lease);
    let mut reference = fresh(plan);
    // With its place in the reference; taken out when the call is over.
    let mut tickets: Vec<(usize, Ticket)> = Vec::new();
    let mut changes = Vec::new();
    for (n, op) in ops.iter().enumerate() {
        let mut out = Changes::default();
        let now = start + ticks(reference.now);
        // Mostly a young one: the old ones are of another generation.
        let pick = |call: usize, tickets: &Vec<_>| {
            let among = if call.is_multiple_of(4) { tickets.len() } else { tickets.len().min(3) };
            (among > 0).then(|| tickets.len() - 1 - call / 4 % among)
        };
        match *op {
            Op::Wait(n) => reference.wait(n),
            Op::Admit(place) => {
                let lease = match place {
                    Place::Sent | Place::Answered => Lease::sent(lease),
                    Place::Unsent => Lease::unsent(ticks(UNSENT)),
                    Place::Poll => Lease::poll(),
                };
                let answer = machine.admit(now, lease, &mut out);
                assert_eq!(answer.map(drop), reference.admit(place), "{n}: {op:?}");
                if let Ok(ticket) = answer {
                    tickets.push((reference.calls.len() - 1, ticket));
                }
            }
            Op::HandOver(call) => {
                if let Some(at) = pick(call, &tickets) {
                    let (call, ticket) = &mut tickets[at];
                    let may = ticket.slot == 0 || machine.hand_over(ticket, lease, now, &mut out);
                    assert_eq!(may, reference.hand_over(*call), "{n}: {op:?}");
                    if may {
                        ticket.admitted = now;
                    } else {
                        let (call, ticket) = tickets.swap_remove(at);
                        machine.record(&ticket, Outcome::Nothing, now, &mut out);
                        reference.record(call, Outcome::Nothing);
                    }
                }
            }
            Op::Stream(call) => {
                if let Some(at) = pick(call, &tickets).filter(|at| tickets[*at].1.records) {
                    let (call, ticket) = &mut tickets[at];
                    if ticket.slot != 0 {
                        machine.record(ticket, Outcome::Success, now, &mut out);
                        (ticket.slot, ticket.generation) = (0, machine.generation());
                    }
                    (ticket.timed, ticket.streams) = (false, true);
                    reference.stream(*call);
                }
            }
            Op::Record(call, outcome) => {
                if let Some(at) = pick(call, &tickets) {
                    let (call, ticket) = tickets.swap_remove(at);
                    machine.record(&ticket, outcome, now, &mut out);
                    reference.record(call, outcome);
                }
            }
            Op::Drop { call, heard_after } => {
                if let Some(at) = pick(call, &tickets) {
                    let (call, ticket) = tickets.swap_remove(at);
                    let heard = (reference.calls[call].sent + heard_after).min(reference.now);
                    machine.dropped(&ticket, ticks(reference.now - heard), now, &mut out);
                    reference.drop_call(call, heard);
                }
            }
            Op::Overdue(call) => {
                if let Some(at) = pick(call, &tickets) {
                    machine.overdue(&mut tickets[at].1, now, &mut out);
                    reference.overdue(tickets[at].0);
                }
            }
            Op::Force(to) => {
                machine.force(to, now, &mut out);
                if reference.phase != to {
                    reference.enter(to);
                }
            }
            Op::Reset => {
                machine.reset(now, &mut out);
                reference.reset();
            }
        }
        // To look shows what the reference has come to, and is no question: the machine makes up for the time later.
        let before = (machine.phase(), machine.generation(), machine.expired_leases());
        assert_eq!(machine.state(start + ticks(reference.now)), reference.state(), "{n}: {op:?}");
        assert_eq!((machine.phase(), machine.generation(), machine.expired_leases()), before);
        changes.extend(out.iter().map(|Change { from, to, generation, .. }| (*from, *to, *generation)));
    }
    let (mut out, now) = (Changes::default(), start + ticks(reference.now));
    let answer = machine.admit(now, Lease::sent(lease), &mut out).map(drop);
    assert_eq!(answer, reference.admit(Place::Sent));
    assert_eq!(machine.expired_leases(), reference.state().expired_leases);
    changes.extend(out.iter().map(|Change { from, to, generation, .. }| (*from, *to, *generation)));
    assert_eq!(changes, reference.changes);
}

fn fresh(plan: Plan) -> Reference {
    Reference {
        plan,
        now: 0,
        phase: Phase::Closed,
        generation: 0,
        since: 0,
        opened: None,
        until: 0,
        openings: 0,
        expired: 0,
        calls: Vec::new(),
        events: Vec::new(),
        one_event: None,
        record: Vec::new(),
        last_success: None,
        successes: Vec::new(),
        changes: Vec::new(),
    }
}
