//! All integration tests in one binary, so that the crate is linked once: a file per part, per edge and per incident.

mod bad_input;
mod breaker;
mod breaker_hangs;
mod breaker_panics;
mod breaker_stack;
mod budget;
mod collect;
mod deadline;
mod discarded;
mod long_poll;
mod neighbours;
mod outcomes;
mod preflight;
mod refused;
mod replay;
mod retry_after;
mod stalls;
mod streams;
mod stress;
mod support;
mod waits;
mod watch;
