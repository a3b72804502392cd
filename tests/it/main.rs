//! All integration tests in one binary, so that the crate is linked once: a file per part, per edge and per incident.

mod fetch_faults;
mod program;
mod smoke;
mod support;
