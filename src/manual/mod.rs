//! The manual: pages to read, nothing to call.
//!
//! | page | the question it answers |
//! | --- | --- |
//! | [`order`] | why does each part of the stack stand where it stands, and where do my own layers go? |
//! | [`defaults`] | what happens when I set nothing, and why that? |
//! | [`lints`] | how do I keep new calls that wait forever out of my code? |
//! | [`big_bodies`] | my upload or download takes longer than ten seconds: what do I set? |
//! | [`failure_modes`] | my call hangs or failed here: what bounds it, and what does the error mean? |

#[doc = include_str!("order.md")]
pub mod order {}

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("big-bodies.md")]
pub mod big_bodies {}

#[doc = include_str!("failure-modes.md")]
pub mod failure_modes {}

#[doc = include_str!("lints.md")]
#[doc = concat!(
    "# The files\n\n`clippy.toml`:\n\n```toml\n", include_str!("lints/clippy.toml"),
    "```\n\nStrict, added to it:\n\n```toml\n", include_str!("lints/strict.toml"),
    "```\n\n`deny.toml`:\n\n```toml\n", include_str!("lints/deny.toml"), "```\n"
)]
pub mod lints {}

#[cfg(test)]
mod tests;
