//! The loops above the calls: queues whose items grow old, and child processes that end.

pub mod child;
pub mod queue;
