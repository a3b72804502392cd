//! All integration tests in one binary, so that the crate is linked once: a file per part, per edge and per incident.

mod smoke;
mod support;
