//! What a loop or a sweep may return.

use crate::panics::{Panic, WORDS, catch, cut};
use std::fmt::Display;

/// The result of a loop or a sweep: nothing, a `Result` whose error can be shown, or no return at all.
pub trait Ending: sealed::Sealed {
    #[doc(hidden)]
    fn failure(self) -> Option<String>;
}

impl Ending for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display> Ending for Result<(), E> {
    fn failure(self) -> Option<String> {
        // As anyhow and eyre understand it: with all causes.
        self.err().map(|error| format!("{error:#}"))
    }
}

impl Ending for sealed::Never {
    fn failure(self) -> Option<String> {
        self
    }
}

#[expect(unreachable_pub, reason = "named by the implementations of a public trait")]
mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E: std::fmt::Display> Sealed for Result<(), E> {}
    impl Sealed for Never {}

    /// `!`, which has no name of its own yet: the type of `async { loop { .. } }`.
    pub type Never = <fn() -> ! as Returns>::Of;

    pub trait Returns {
        type Of;
    }

    impl<T> Returns for fn() -> T {
        type Of = T;
    }
}

/// What an ending says, if it is an error.
pub(crate) fn words(ending: impl Ending) -> Result<Option<String>, Panic> {
    catch(|| ending.failure()).map(|said| said.map(|said| cut(said, WORDS)))
}
