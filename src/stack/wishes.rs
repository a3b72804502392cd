//! What is asked of closures about a request: its wishes, its group, and what its outcome means.

use crate::collect::Collect;
use crate::deadline::Deadline;
use crate::longpoll::LongPoll;
use crate::options::{CallOptions, Group, Idempotent, Label};
use crate::retry::{Class, Outcome};
use http::{Extensions, HeaderMap, Method, Request, Uri};
use std::fmt;
use std::sync::Arc;

/// A request without its body, as the closures of a [`StackBuilder`](crate::stack::StackBuilder) see it.
///
/// `Debug` shows method and path alone: header values and queries may be secrets.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    fn of<B>(request: &'a Request<B>) -> RequestHead<'a> {
        RequestHead {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The whole URL, query included.
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The headers, as the caller made them.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The extensions, wishes among them.
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestHead({} {})", self.method, self.uri.path())
    }
}

/// A head that is kept for as long as the call lives, for a classifier that looks at it.
pub(super) struct KeptHead {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
}

impl KeptHead {
    pub(super) fn of<B>(request: &Request<B>) -> Box<KeptHead> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (headers, extensions) = (request.headers().clone(), request.extensions().clone());
        Box::new(KeptHead { method, uri, headers, extensions })
    }

    pub(super) fn view(&self) -> RequestHead<'_> {
        let KeptHead { method, uri, headers, extensions } = self;
        RequestHead { method, uri, headers, extensions }
    }
}

/// What a request is to be treated as, said by somebody who cannot reach its extensions: see
/// [`StackBuilder::for_requests`](crate::stack::StackBuilder::for_requests).
///
/// What is not set stays as it is, and so does what the request says itself.
#[derive(Clone, Debug, Default)]
#[must_use = "return it from the closure"]
pub struct Wishes {
    options: Option<CallOptions>,
    group: Option<Group>,
    label: Option<Label>,
    idempotent: bool,
    deadline: Option<Deadline>,
    long_poll: Option<LongPoll>,
    collect: Option<Collect>,
}

impl Wishes {
    /// No wish at all.
    pub fn new() -> Wishes {
        Wishes::default()
    }

    /// Limits and number of retries. Joined, setting by setting, with those of the request.
    pub fn options(mut self, options: CallOptions) -> Wishes {
        self.options = Some(options);
        self
    }

    /// The part of its origin that it talks to.
    pub fn group(mut self, group: impl Into<Group>) -> Wishes {
        self.group = Some(group.into());
        self
    }

    /// What is shown in place of its path.
    pub fn label(mut self, label: Label) -> Wishes {
        self.label = Some(label);
        self
    }

    /// It may be processed twice, whatever its method.
    pub fn idempotent(mut self) -> Wishes {
        self.idempotent = true;
        self
    }

    /// When it has to be over, to its last byte.
    pub fn deadline(mut self, deadline: Deadline) -> Wishes {
        self.deadline = Some(deadline);
        self
    }

    /// It waits for long, for this reason.
    pub fn long_poll(mut self, poll: LongPoll) -> Wishes {
        self.long_poll = Some(poll);
        self
    }

    /// How much of its response belongs to the attempt.
    pub fn collect(mut self, collect: Collect) -> Wishes {
        self.collect = Some(collect);
        self
    }

    fn put_into(self, extensions: &mut Extensions) {
        fn put<T: Clone + Send + Sync + 'static>(extensions: &mut Extensions, wish: Option<T>) {
            if let Some(wish) = wish {
                extensions.get_or_insert(wish);
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

/// A user's own rules for outcomes.
pub(super) type Classify = Arc<dyn Fn(&RequestHead<'_>, &Outcome<'_>) -> Option<Class> + Send + Sync>;

type Ask<T> = Arc<dyn Fn(&RequestHead<'_>) -> T + Send + Sync>;

/// The closures of the user about requests.
#[derive(Clone, Default)]
pub(super) struct Asked {
    pub(super) wishes: Option<Ask<Wishes>>,
    pub(super) group: Option<Ask<Option<Group>>>,
}

impl Asked {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.wishes.is_none() && self.group.is_none()
    }

    /// Writes the answers where the request says nothing itself. No lock is held.
    #[cold]
    pub(super) fn ask<B>(&self, request: &mut Request<B>) {
        if let Some(ask) = &self.wishes {
            let wishes = ask(&RequestHead::of(request));
            wishes.put_into(request.extensions_mut());
        }
        if let Some(ask) = self.group.as_ref().filter(|_| request.extensions().get::<Group>().is_none()) {
            if let Some(group) = ask(&RequestHead::of(request)) {
                request.extensions_mut().insert(group);
            }
        }
    }
}
