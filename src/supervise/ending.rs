//! What a loop or a sweep may return.

use std::fmt::Display;

/// The result of a loop or a sweep: nothing, or a `Result` whose error can be shown.
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

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E: std::fmt::Display> Sealed for Result<(), E> {}
}
