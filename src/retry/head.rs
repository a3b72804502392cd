//! What is asked of the user about a request and what became of it: the request as a closure sees it, and the closure.

use crate::retry::classify::{Class, Outcome};
use http::{Extensions, HeaderMap, Method, Request, Uri};
use std::fmt;
use std::sync::Arc;

/// A request without its body, as the closures of settings see it: those of a `StackBuilder`, and a [classifier](super::Settings::classify).
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
    pub(crate) fn of<B>(request: &'a Request<B>) -> RequestHead<'a> {
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

    /// The extensions, options of the call among them.
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
pub(crate) struct KeptHead {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
}

impl KeptHead {
    pub(crate) fn of<B>(request: &Request<B>) -> Box<KeptHead> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (headers, extensions) = (request.headers().clone(), request.extensions().clone());
        Box::new(KeptHead { method, uri, headers, extensions })
    }

    pub(crate) fn view(&self) -> RequestHead<'_> {
        let KeptHead { method, uri, headers, extensions } = self;
        RequestHead { method, uri, headers, extensions }
    }
}

/// A user's own rules for outcomes.
#[derive(Clone)]
pub(crate) struct Classify(Arc<Rules>);

type Rules = dyn Fn(&RequestHead<'_>, &Outcome<'_>) -> Option<Class> + Send + Sync;

impl Classify {
    pub(crate) fn new(
        rules: impl Fn(&RequestHead<'_>, &Outcome<'_>) -> Option<Class> + Send + Sync + 'static,
    ) -> Classify {
        Classify(Arc::new(rules))
    }

    /// The word of the user, where there is one.
    pub(crate) fn class(&self, request: &KeptHead, outcome: &Outcome<'_>) -> Option<Class> {
        (self.0)(&request.view(), outcome)
    }
}

impl fmt::Debug for Classify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Classify")
    }
}
