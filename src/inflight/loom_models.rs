//! Calls that come and go while an operator looks, in every interleaving.

use super::*;
use crate::inflight::InFlight;
use crate::sync::Arc;
use crate::sync::explore;
use crate::target::Target;
use loom::thread;

const SECOND: Duration = Duration::from_secs(1);

fn details(url: &'static str, started: Instant) -> Details {
    let target = Target { method: http::Method::GET, uri: http::Uri::from_static(url), label: None };
    Details { target, started, deadline: None, attempts_allowed: 4, long_poll: None, subsystem: None }
}

#[test]
fn a_new_call_in_an_old_place_is_never_shown_with_what_the_old_one_did() {
    explore(3, || {
        let table = Arc::new(Table::default());
        let calls = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let old = table.enter(details("http://old/", table.epoch));
                table.phase(&old, Phase::Body, 3, table.epoch + SECOND);
                table.leave(old);
                let new = table.enter(details("http://new/", table.epoch + 2 * SECOND));
                table.leave(new);
            }
        });
        for call in InFlight(Arc::clone(&table)).snapshot() {
            let seen = (call.url.as_str(), call.attempt, call.phase);
            let known = [
                ("http://old/", 1, Phase::Headers),
                ("http://old/", 3, Phase::Body),
                ("http://new/", 1, Phase::Headers),
            ];
            assert!(known.contains(&seen), "{seen:?}");
        }
        calls.join().unwrap();
        assert!(InFlight(table).is_empty());
    });
}

#[test]
fn no_phase_is_shown_as_older_than_it_is() {
    explore(3, || {
        let table = Arc::new(Table::default());
        let call = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let slot = table.enter(details("http://a/", table.epoch));
                table.phase(&slot, Phase::Connect, 1, table.epoch + SECOND);
                table.phase(&slot, Phase::Body, 1, table.epoch + 2 * SECOND);
                table.leave(slot);
            }
        });
        let now = table.epoch + 10 * SECOND;
        for call in table.copied().iter().map(|seen| seen.call(&table.client, now)) {
            let age = match call.phase {
                Phase::Headers => 10,
                Phase::Connect => 9,
                _ => 8,
            };
            assert!(call.in_phase <= age * SECOND, "{call}");
        }
        call.join().unwrap();
    });
}

#[test]
fn two_calls_never_share_a_place_and_the_table_is_empty_in_the_end() {
    explore(3, || {
        let table = Arc::new(Table::default());
        let stay = |table: &Table, url, attempt| {
            let slot = table.enter(details(url, table.epoch));
            table.phase(&slot, Phase::Send, attempt, table.epoch);
            let known = table.take(slot).expect("nobody else takes it");
            assert_eq!(known.target.uri, url);
        };
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || stay(&table, "http://a/", 2)
        });
        stay(&table, "http://b/", 3);
        other.join().unwrap();
        let table = InFlight(table);
        assert_eq!((table.len(), table.snapshot().len()), (0, 0));
    });
}
