//! What all examples share: arguments, output, the terminal, and what a long-running one is made of.
//!
//! The contract: `--json` makes standard output one object a line; text for people goes to standard error. Exit code 0
//! for a promise kept, 1 for one that was not, 2 for an argument or a setting that cannot work: then its value and the
//! rule stand on standard error, and nothing on standard output. A standard output that is closed ends a program quietly; one
//! whose disk is full loses lines, which are counted, and ends nothing.

// Every example is a program of its own and uses its part of this.
#![allow(dead_code, unused_imports, unused_macros, reason = "no example uses all of it")]

pub(crate) mod args;
pub(crate) mod daemon;
pub(crate) mod duration;
pub(crate) mod log;
pub(crate) mod output;
pub(crate) mod signals;
pub(crate) mod sink;
pub(crate) mod terminal;

pub(crate) use args::{Args, Stop};
pub(crate) use output::{Object, Output};
