//! In-memory pipe and scripted peer, for tests against servers that stall, break and lie.

mod answer;
mod listen;
mod peer;
mod pipe;
mod record;
mod reply;
mod request;
mod script;
mod serve;
mod state;

pub use answer::Cut;
pub use peer::Peer;
pub use pipe::{Pipe, PipeStream};
pub use record::Received;
pub use reply::Reply;
pub use script::Script;

#[cfg(test)]
mod tests;
