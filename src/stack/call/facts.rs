//! What a call knows of its request, which is on its way in the hands of the inner service meanwhile.

use crate::origin::Origin;
use crate::retry::classify::is_idempotent;
use crate::retry::head::KeptHead;
use crate::retry::{Class, Outcome, Remember, grpc};
use crate::stack::context::LayerContext;
use crate::stack::gates::credential;
use crate::target::Label;
use crate::target::Target;
use http::{Extensions, Method, Request, Uri, response};
use std::hash::BuildHasher;
use std::time::Duration;

/// The facts of a request. Its URL is not among them: that stands in the table of calls in flight, see
/// [`CallState::target`](crate::stack::call::state::CallState::target).
pub(super) struct Facts {
    pub(super) method: Method,
    pub(super) label: Option<Label>,
    /// It may be processed twice.
    pub(super) idempotent: bool,
    /// A redirect is followed by another call: see [`Hop`](crate::stack::Hop).
    pub(super) follows: bool,
    /// A call of gRPC: its status counts.
    pub(super) grpc: bool,
    /// For a classifier of the user's.
    head: Option<Box<KeptHead>>,
    /// What stands for its credential at a gate.
    credential: u64,
}

impl Facts {
    /// `head` is kept for a classifier.
    #[inline]
    pub(super) fn of<B>(
        request: &Request<B>,
        label: Option<Label>,
        head: Option<Box<KeptHead>>,
        follows: bool,
        context: &LayerContext,
    ) -> Facts {
        Facts {
            method: request.method().clone(),
            label,
            idempotent: is_idempotent(request.method(), request.headers(), request.extensions()),
            follows,
            grpc: request.extensions().get::<grpc::Call>().is_some(),
            head,
            credential: credential(&context.hasher, request.headers()),
        }
    }

    /// What may be shown of a request.
    #[inline]
    pub(super) fn target<B>(
        request: &Request<B>,
        extensions: Option<&Extensions>,
        origin: &Origin,
    ) -> Target {
        let uri = request.uri();
        Target {
            method: request.method().clone(),
            uri: if uri.authority().is_some() { uri.clone() } else { completed(origin, uri) },
            label: extensions.and_then(|extensions| extensions.get::<Label>().cloned()),
        }
    }

    /// What an outcome means: the user's word, where there is one.
    #[inline]
    pub(super) fn class(&self, outcome: &Outcome<'_>, context: &LayerContext) -> Class {
        let own = match (&context.retry.classify, &self.head) {
            (Some(classify), Some(head)) => classify.class(head, outcome),
            _ => None,
        };
        own.unwrap_or_else(|| self.by_the_rules(outcome))
    }

    #[inline]
    fn by_the_rules(&self, outcome: &Outcome<'_>) -> Class {
        let of_grpc = match outcome {
            Outcome::Head(head) if self.grpc => grpc::head(head),
            _ => None,
        };
        of_grpc.unwrap_or_else(|| outcome.class())
    }

    /// Whether this head is no verdict yet: the status of gRPC comes with the trailers.
    pub(super) fn is_open(&self, head: &response::Parts) -> bool {
        self.grpc && grpc::status(&head.headers).is_none()
    }

    /// How long a server of gRPC asks to be left alone.
    pub(super) fn asked(&self, head: &response::Parts) -> Option<Duration> {
        if self.grpc { grpc::asked(&head.headers) } else { None }
    }

    /// What tells gates apart, of a request to this URL.
    pub(super) fn gate_key(&self, uri: &Uri, context: &LayerContext) -> u64 {
        match context.retry.remember {
            Remember::Origin => 0,
            _ => context.hasher.hash_one((uri.path(), self.credential)),
        }
    }
}

/// What is shown names the origin, whether or not the request does.
#[cold]
fn completed(origin: &Origin, uri: &Uri) -> Uri {
    origin.completes(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::{self, Repeat};
    use crate::stack::builder::StackBuilder;
    use crate::stack::context::Parts;
    use http::header::AUTHORIZATION;

    fn of(url: &str, token: &str, context: &LayerContext) -> Facts {
        let request = Request::get(url).header(AUTHORIZATION, token).body(()).expect("a valid request");
        let head = context.retry.classify.is_some().then(|| KeptHead::of(&request));
        Facts::of(&request, None, head, false, context)
    }

    fn gate_key(url: &'static str, token: &str, context: &LayerContext) -> u64 {
        of(url, token, context).gate_key(&Uri::from_static(url), context)
    }

    fn context(stack: StackBuilder) -> LayerContext {
        stack.context(Parts::ALL).expect("settings that fit together")
    }

    #[test]
    fn a_gate_is_told_apart_by_path_and_credential_and_not_by_query() {
        let context = context(StackBuilder::default());
        let key = |url, token| gate_key(url, token, &context);
        let one = key("http://a/jobs?page=1", "x");
        assert_eq!(one, key("http://a/jobs?page=2", "x"));
        assert_ne!(one, key("http://a/jobs", "y"));
        assert_ne!(one, key("http://a/other", "x"));
    }

    #[test]
    fn where_an_origin_has_one_gate_all_requests_have_the_same_key() {
        let retry = retry::Settings::default().remember(Remember::Origin);
        let context = context(StackBuilder::default().retry(retry));
        let key = |url, token| gate_key(url, token, &context);
        assert_eq!(key("http://a/jobs", "x"), key("http://a/other", "y"));
    }

    #[test]
    fn the_word_of_the_user_counts_and_where_there_is_none_the_rules_do() {
        let not_found = http::Response::builder().status(404).body(()).expect("a valid head").into_parts().0;
        let outcome = Outcome::Head(&not_found);
        let ours = context(StackBuilder::default());
        assert_eq!(of("http://a/jobs/1", "x", &ours).class(&outcome, &ours).repeat, Repeat::Never);
        let retry = retry::Settings::default().classify(|request, outcome| {
            let mut class = outcome.class();
            class.repeat = Repeat::IfIdempotent;
            request.uri().path().starts_with("/jobs").then_some(class)
        });
        let theirs = context(StackBuilder::default().retry(retry));
        assert_eq!(of("http://a/jobs/1", "x", &theirs).class(&outcome, &theirs).repeat, Repeat::IfIdempotent);
        assert_eq!(of("http://a/", "x", &theirs).class(&outcome, &theirs).repeat, Repeat::Never);
    }
}
