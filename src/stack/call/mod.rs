//! The life of a call.
//!
//! `future` is what the caller polls, `running` the loop in it. A call is in one of the stages of `stage`, each with a
//! file that says what is done there. What the call carries from stage to stage is `state`, made of five values: the
//! `facts` of its request, its `limits`, its `attempts`, what it has `held` of others, and the `record` of what becomes
//! of it. What ends a wait stands in `timers`.
//!
//! The rest are the decisions: `begin` before everything, `admission`, `gate` and `health` before an attempt, `handover`
//! when a connection takes its request, `outcome` and `repeat` after it, `refusal` where there is none, `poll` where it is
//! a long poll, `body` and `stream` once there is a response, `hop` and `next_hop` where redirects are followed, `report`
//! for what the caller is told, and `events` for what those are who listen.

mod admission;
mod attempts;
mod begin;
mod body;
mod clock;
mod collect;
mod events;
mod facts;
mod future;
mod gate;
mod handover;
mod health;
mod held;
pub(crate) mod hop;
mod limits;
#[cfg(feature = "client")]
mod next_hop;
mod outcome;
pub(in crate::stack) mod passage;
mod poll;
mod record;
mod refusal;
mod repeat;
mod report;
mod request;
mod response;
mod running;
mod stage;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod timers;

pub use future::ResponseFuture;
pub use response::HttpResponse;
