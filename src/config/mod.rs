//! Settings as people write them: one type per part of the stack, read from a file, the environment and flags.

mod layers;
mod locate;
mod period;
mod resilience;
mod retry;
#[cfg(test)]
mod tests;

#[cfg(any(test, fuzzing))]
pub(crate) use layers::check;
pub use layers::{Effective, Layers};
pub use resilience::{CircuitBreaker, HealthCheck, Limits, MinProgress, Resilience};
pub use retry::{Budget, Jitter, Retry};
