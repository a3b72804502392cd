//! The manual: pages to read, without items to call.
//!
//! | page | question |
//! | --- | --- |
//! | [`order`] | why are the parts of the stack in this order, and where do my own layers go? |
//! | [`defaults`] | which limits hold if I set nothing, and why? |
//! | [`lints`] | how do I keep new calls without a timeout out of my code? |
//! | [`big_bodies`] | my upload or download takes longer than ten seconds: what do I set? |
//! | `metrics` (with that feature) | which metrics are there, with which labels? |
//! | [`failure_modes`] | my call hangs or failed here: which limit ends it, and what does the error mean? |
#![cfg_attr(
    feature = "full",
    doc = "| [`recipes`] | how do I solve this task, and what is the item that I know under another name? |"
)]
#![cfg_attr(
    all(feature = "config", feature = "supervise"),
    doc = "| [`config`] | which settings can be in a file, a variable or a flag, and under which keys? |"
)]
#![cfg_attr(
    feature = "full",
    doc = "| [`incidents`] | how did such programs fail, and what would have prevented it? |"
)]
#![cfg_attr(
    feature = "reqwest",
    doc = "| [`migrating`] | I have reqwest, hyper-util, retries or timeouts already: what do I write, and what changes? |"
)]
#![cfg_attr(
    feature = "full",
    doc = "| [`clients`] | I have kube, tonic, octocrab, an SDK or an exporter: what does it take, and what do I write? |"
)]
#![cfg_attr(
    all(feature = "supervise", feature = "client"),
    doc = "| [`loops`] | how do I write a loop that survives, and how do I test it? |"
)]
#![cfg_attr(
    feature = "full",
    doc = "| [`testing`] | how do I test a client against servers that stall, on a paused clock, with handlers of my own? |"
)]
#![cfg_attr(
    all(feature = "sse", feature = "supervise"),
    doc = "| [`operations`] | how do I run such a program: settings, metrics, probes, alerts, deployment, trouble? |"
)]

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

/// Its programs use all of the crate.
#[cfg(feature = "full")]
#[doc = include_str!("recipes.md")]
pub mod recipes {}

#[cfg(all(feature = "config", feature = "supervise"))]
#[doc = include_str!("config.md")]
pub mod config {}

/// Its links lead into all of the crate.
#[cfg(feature = "full")]
#[doc = include_str!("incidents.md")]
pub mod incidents {}

#[cfg(feature = "metrics")]
#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[cfg(feature = "reqwest")]
#[doc = include_str!("migrating.md")]
pub mod migrating {}

/// Its links lead into all of the crate.
#[cfg(feature = "full")]
#[doc = include_str!("clients.md")]
pub mod clients {}

#[cfg(all(feature = "supervise", feature = "client"))]
#[doc = include_str!("loops.md")]
pub mod loops {}

#[cfg(all(feature = "sse", feature = "supervise"))]
#[doc = include_str!("operations.md")]
pub mod operations {}

/// Its programs use a client and a router.
#[cfg(feature = "full")]
#[doc = include_str!("testing.md")]
pub mod testing {}

#[cfg(test)]
mod tests;
