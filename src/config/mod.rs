//! Settings as people write them, read from a file, the environment and flags: for a stack under the keys of
//! [`Resilience`], for everything else under those of its type.

mod keys;
mod layers;
mod read;
mod resilience;
#[cfg(test)]
mod tests;
mod toml_file;
mod tree;
mod yaml_file;

#[cfg(any(test, fuzzing))]
pub(crate) use layers::check;
pub use layers::{Effective, Flag, Layers};
pub use resilience::Resilience;
