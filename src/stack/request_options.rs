//! What is asked of closures about a request: its options and its group.

use crate::collect::Collect;
use crate::deadline::Deadline;
use crate::longpoll::LongPoll;
use crate::options::{CallOptions, Group, Idempotent, Label};
use crate::retry::RequestHead;
use http::{Extensions, Request};
use std::sync::Arc;

/// Options for a request whose extensions you cannot set, because other code builds it: see
/// [`StackBuilder::for_requests`](crate::stack::StackBuilder::for_requests).
///
/// Extensions of the request itself have precedence.
#[derive(Clone, Debug, Default)]
#[must_use = "return it from the closure"]
pub struct RequestOptions {
    options: Option<CallOptions>,
    group: Option<Group>,
    label: Option<Label>,
    idempotent: bool,
    deadline: Option<Deadline>,
    long_poll: Option<LongPoll>,
    collect: Option<Collect>,
}

impl RequestOptions {
    /// No options.
    pub fn new() -> RequestOptions {
        RequestOptions::default()
    }

    /// Limits and number of retries. Joined, setting by setting, with those of the request.
    pub fn options(mut self, options: CallOptions) -> RequestOptions {
        self.options = Some(options);
        self
    }

    /// The group of the request within its origin.
    pub fn group(mut self, group: impl Into<Group>) -> RequestOptions {
        self.group = Some(group.into());
        self
    }

    /// The label shown in place of its path.
    pub fn label(mut self, label: Label) -> RequestOptions {
        self.label = Some(label);
        self
    }

    /// Marks it as a request that may be processed twice, whatever its method.
    pub fn idempotent(mut self) -> RequestOptions {
        self.idempotent = true;
        self
    }

    /// Its deadline, which covers the last byte of its body.
    pub fn deadline(mut self, deadline: Deadline) -> RequestOptions {
        self.deadline = Some(deadline);
        self
    }

    /// Marks it as a long poll, with its reason.
    pub fn long_poll(mut self, poll: LongPoll) -> RequestOptions {
        self.long_poll = Some(poll);
        self
    }

    /// The size up to which its response is read inside the attempt.
    pub fn collect(mut self, collect: Collect) -> RequestOptions {
        self.collect = Some(collect);
        self
    }

    /// Limits and number of retries, where they are set.
    pub fn get_options(&self) -> Option<&CallOptions> {
        self.options.as_ref()
    }

    /// The part of its origin, where it is set.
    pub fn get_group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// What is shown in place of its path, where it is set.
    pub fn get_label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// Whether it was said that it may be processed twice.
    pub fn get_idempotent(&self) -> bool {
        self.idempotent
    }

    /// When it has to be over, where it is set.
    pub fn get_deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Why it waits for long, where it does.
    pub fn get_long_poll(&self) -> Option<&LongPoll> {
        self.long_poll.as_ref()
    }

    /// How much of its response belongs to the attempt, where it is set.
    pub fn get_collect(&self) -> Option<&Collect> {
        self.collect.as_ref()
    }

    fn put_into(self, extensions: &mut Extensions) {
        fn put<T: Clone + Send + Sync + 'static>(extensions: &mut Extensions, option: Option<T>) {
            if let Some(option) = option {
                extensions.get_or_insert(option);
            }
        }
        if let Some(more) = self.options {
            let own = extensions.get::<CallOptions>().copied().unwrap_or_default();
            extensions.insert(own.or(more));
        }
        put(extensions, self.group);
        put(extensions, self.label);
        put(extensions, self.idempotent.then_some(Idempotent));
        put(extensions, self.deadline);
        put(extensions, self.long_poll);
        put(extensions, self.collect);
    }
}

type Ask<T> = Arc<dyn Fn(&RequestHead<'_>) -> T + Send + Sync>;

/// The closures of the user about requests.
#[derive(Clone, Default)]
pub(super) struct RequestHooks {
    pub(super) options: Option<Ask<RequestOptions>>,
    pub(super) group: Option<Ask<Option<Group>>>,
}

impl RequestHooks {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.options.is_none() && self.group.is_none()
    }

    /// Writes the answers where the request says nothing itself. No lock is held.
    #[cold]
    pub(super) fn ask<B>(&self, request: &mut Request<B>) {
        if let Some(ask) = &self.options {
            let options = ask(&RequestHead::of(request));
            options.put_into(request.extensions_mut());
        }
        if let Some(ask) = self.group.as_ref().filter(|_| request.extensions().get::<Group>().is_none()) {
            if let Some(group) = ask(&RequestHead::of(request)) {
                request.extensions_mut().insert(group);
            }
        }
    }
}
