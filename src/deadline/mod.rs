//! How long anything may take: [`Limits`] of a stack, and the ambient [`Deadline`] of a scope.

mod limits;
mod scope;
mod timer;

pub(crate) use limits::Bounds;
pub use limits::Limits;
pub(crate) use scope::outside;
pub use scope::{Deadline, Within, within};
pub(crate) use timer::Timer;
