//! All integration tests in one binary, so that the crate is linked once: a file per part, per edge and per incident.

mod breaker;
mod breaker_hangs;
mod breaker_panics;
mod breaker_stack;
mod preflight;
mod smoke;
mod support;
mod watch;
