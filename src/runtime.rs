//! What a tokio runtime was built without, or the machine does not give it: tokio panics where it is asked for that.

use crate::error::{Error, ErrorKind};
use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;

/// Runs work that asks tokio for sockets, timers and threads. A panic of anything else goes on.
///
/// # Errors
/// Kind `Config` where the runtime was built without its I/O or its timer. Kind `Connect`, and of this machine, where that
/// gives no thread.
pub(crate) async fn has<F: Future>(work: F) -> Result<F::Output, Error> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => match lacks(&*payload) {
            Some(error) => Poll::Ready(Err(error)),
            None => resume_unwind(payload),
        },
    })
    .await
}

/// By its words, since tokio has no other.
fn lacks(payload: &(dyn Any + Send)) -> Option<Error> {
    let said = payload.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| payload.downcast_ref::<&str>().copied())?;
    if said.contains("enable_io") {
        return Some(Error::config("the tokio runtime has no I/O: build it with enable_io()"));
    }
    if said.contains("enable_time") {
        return Some(Error::config("the tokio runtime has no clock: build it with enable_time()"));
    }
    let (_, why) = said.split_once("OS can't spawn worker thread: ")?;
    let no_thread = format!("this machine gives no thread to look up a name: {why}");
    Some(Error::new(ErrorKind::Connect, no_thread).of_this_machine())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_to(panics: impl FnOnce() + Send + 'static) -> Option<Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(has(async { panics() })).err()
    }

    #[test]
    fn a_runtime_without_a_timer_is_an_error_that_says_how_to_build_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let slept = runtime.block_on(has(async { tokio::time::sleep(std::time::Duration::ZERO).await }));
        let error = slept.unwrap_err();
        assert!(error.is_config() && error.to_string().contains("enable_time()"), "{error}");
    }

    #[test]
    fn a_machine_without_threads_is_no_fault_of_a_server() {
        let words = "OS can't spawn worker thread: Resource temporarily unavailable (os error 11)";
        let error = comes_to(move || panic!("{words}")).unwrap();
        assert!(error.is_connect() && error.is_of_this_machine(), "{error}");
    }

    #[test]
    fn the_panic_of_somebody_else_goes_on() {
        let panicked = std::panic::catch_unwind(|| comes_to(|| panic!("a connector of the user's")));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"a connector of the user's"));
    }
}
