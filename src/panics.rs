//! Panics of the user's code: caught, with their words and the stack they came from.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<(String, Backtrace)>> = const { RefCell::new(None) };
}

/// What is told of a panic or an error is no longer than this, in bytes, and its stack than that: text from outside
/// must not fill a log.
pub(crate) const WORDS: usize = 4 << 10;
const STACK: usize = 32 << 10;

/// A panic that was caught.
#[derive(Clone, Debug)]
pub(crate) struct Panic {
    /// What it said, and where in the source.
    pub(crate) message: String,
    pub(crate) backtrace: String,
}

/// Remembers where a panic of supervised code came from. The hook that was there before still runs, for every panic.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if WATCHED.try_with(Cell::get).unwrap_or(false) {
                let place = info.location().map(|at| format!(" at {at}")).unwrap_or_default();
                let stack = Backtrace::force_capture();
                // Not there any more on a thread that ends, and borrowed where a panic came out of dropping it.
                let _ = LAST.try_with(|last| {
                    if let Ok(mut last) = last.try_borrow_mut() {
                        *last = Some((place, stack));
                    }
                });
            }
            before(info);
        }));
    });
}

/// Runs code of the user's.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    let outer = WATCHED.replace(true);
    if !outer {
        // Of a panic that was caught by somebody else.
        drop(last());
    }
    let done = catch_unwind(AssertUnwindSafe(work));
    WATCHED.set(outer);
    done.map_err(|payload| {
        let (place, stack) = last().map_or((String::new(), None), |(at, stack)| (at, Some(stack)));
        let said = cut(said(&*payload).to_owned(), WORDS);
        // A payload may panic when it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        Panic {
            message: format!("{said}{place}"),
            backtrace: match stack {
                Some(stack) => cut(stack.to_string(), STACK),
                None => "none: the panic was resumed, or the panic hook replaced".to_owned(),
            },
        }
    })
}

/// Where the last panic came from. Nobody knows on a thread that ends, which drops what it kept, a runtime with all its
/// tasks for example.
fn last() -> Option<(String, Backtrace)> {
    LAST.try_with(RefCell::take).ok().flatten()
}

/// As much of a text as is shown.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let over = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("... ({over} more bytes)"));
    }
    text
}

/// A future whose panics are its result. It is dropped where a panic of its own reaches nobody either.
pub(crate) struct Caught<F>(Option<Pin<Box<F>>>);

impl<F> Caught<F> {
    pub(crate) fn new(future: F) -> Caught<F> {
        Caught(Some(Box::pin(future)))
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let done = match catch(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(panic) => Err(panic),
        };
        let gone = self.0.take();
        match (done, catch(|| drop(gone))) {
            (Ok(_), Err(panic)) => Poll::Ready(Err(panic)),
            (done, _) => Poll::Ready(done),
        }
    }
}

impl<F> Drop for Caught<F> {
    fn drop(&mut self) {
        let gone = self.0.take();
        let _ = catch(|| drop(gone));
    }
}

fn said(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a panic without words",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_words_its_place_and_its_stack() {
        install();
        let panic = catch(|| panic!("tenant {} has no name", 7)).unwrap_err();
        assert!(panic.message.starts_with("tenant 7 has no name at src/panics.rs:"), "{panic:?}");
        assert!(panic.backtrace.contains("a_panic_is_told_with_its_words"), "{panic:?}");
    }

    #[test]
    fn a_payload_that_is_no_text_or_panics_itself_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("once more");
            }
        }
        let panic = catch(|| std::panic::panic_any(Bomb)).unwrap_err();
        assert!(panic.message.starts_with("a panic without words"), "{panic:?}");
    }

    #[test]
    fn a_panic_that_is_resumed_is_not_told_with_the_place_of_another() {
        install();
        // Caught inside: of no interest to anybody any more.
        catch(|| drop(catch_unwind(|| panic!("the first")))).unwrap();
        let panic = catch(|| std::panic::resume_unwind(Box::new("the second"))).unwrap_err();
        assert_eq!(panic.message, "the second");
        assert!(panic.backtrace.starts_with("none: "), "{panic:?}");
    }

    #[test]
    fn what_is_too_long_is_cut_between_two_characters_and_says_by_how_much() {
        assert_eq!(cut("abc".to_owned(), 3), "abc");
        assert_eq!(cut("aüb".to_owned(), 2), "a... (3 more bytes)");
        assert_eq!(cut("aüb".to_owned(), 3), "aü... (1 more bytes)");
    }

    #[test]
    fn what_a_thread_keeps_may_be_dropped_when_the_thread_ends() {
        type Kept = Caught<std::future::Pending<()>>;
        thread_local!(static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) });
        let thread = std::thread::spawn(|| {
            // What is used later is gone earlier.
            KEPT.set(None);
            drop(LAST.take());
            KEPT.set(Some(Caught::new(std::future::pending())));
        });
        // A panic there would end the whole process.
        thread.join().unwrap();
    }

    #[test]
    fn a_panic_outside_of_supervised_code_leaves_nothing_behind() {
        install();
        let _ = catch_unwind(|| panic!("somebody else's"));
        assert!(LAST.take().is_none());
    }
}
