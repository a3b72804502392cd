//! All integration tests in one binary, so that the crate is linked once: a file per part, per edge and per incident.

mod bad_input;
mod budget;
mod collect;
mod deadline;
mod discarded;
mod long_poll;
mod long_poll_loop;
mod neighbours;
mod outcomes;
mod refused;
mod replay;
mod retry_after;
mod stalls;
mod streams;
mod support;
mod waits;
