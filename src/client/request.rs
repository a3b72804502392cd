//! One request: built, remembered where it is wrong, and sent.

use crate::body::Body;
use crate::client::response::Response;
use crate::client::sending::{Sending, target};
use crate::client::url::credentials;
use crate::client::{Client, IntoUrl};
use crate::collect::Collect;
use crate::deadline::Deadline;
use crate::duration;
use crate::error::Error;
use crate::longpoll::LongPoll;
use crate::options::{CallOptions, Group, Label};
use crate::retry::Idempotent;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

/// A request under construction.
///
/// An invalid part is reported by [`send`](RequestBuilder::send) as an error of kind `Config`, before anything is sent.
/// Awaiting the builder itself is the same as `send().await`.
#[must_use = "a request is sent by send()"]
pub struct RequestBuilder {
    client: Client,
    request: Request<Body>,
    deadline: Option<Duration>,
    /// The first thing that was wrong.
    wrong: Option<Error>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, url: impl IntoUrl) -> RequestBuilder {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        let wrong = url.into_url().map(|url| *request.uri_mut() = url).err();
        RequestBuilder { client, request, deadline: None, wrong }
    }

    fn check(mut self, step: impl FnOnce(&mut Request<Body>) -> Result<(), Error>) -> RequestBuilder {
        if self.wrong.is_none() {
            self.wrong = step(&mut self.request).err();
        }
        self
    }

    /// Adds a header; one of the same name that was added before stays.
    pub fn header<V>(self, name: impl AsRef<str>, value: V) -> RequestBuilder
    where
        V: TryInto<HeaderValue>,
    {
        self.check(|request| {
            let name = name.as_ref();
            let key = HeaderName::try_from(name).map_err(|_| {
                Error::config(format!(
                    "the header name {name:?} cannot be sent: it must be a token (RFC 9110)"
                ))
            })?;
            request.headers_mut().append(key, header_value(name, value)?);
            Ok(())
        })
    }

    /// Adds `Authorization: Bearer`; the token is never printed.
    pub fn bearer_auth(self, token: impl fmt::Display) -> RequestBuilder {
        self.check(|request| {
            let mut value = header_value("authorization", format!("Bearer {token}"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Adds `Authorization: Basic` (RFC 7617); user and password are never printed.
    ///
    /// ```no_run
    /// # fn f(client: &unwedge::Client) -> unwedge::client::RequestBuilder {
    /// client.get("https://api.example.com/jobs").basic_auth("agent-7", Some("s3cret"))
    /// # }
    /// ```
    pub fn basic_auth<P: fmt::Display>(self, user: impl fmt::Display, password: Option<P>) -> RequestBuilder {
        let (user, password) = (user.to_string(), password.map(|password| password.to_string()));
        self.check(|request| {
            if user.contains(':') {
                return Err(Error::config(
                    "the user of basic_auth holds a colon, which RFC 7617 does not allow",
                ));
            }
            let value = credentials(user.as_bytes(), password.unwrap_or_default().as_bytes())
                .map_err(|()| Error::config("the credentials of basic_auth cannot be sent as a header"))?;
            request.headers_mut().insert(AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Sets these headers: each name in `headers` replaces what the request has under it, so that defaults can be
    /// overridden; several values of one name stay several.
    ///
    /// ```no_run
    /// # fn f(client: &unwedge::Client, shared: http::HeaderMap) -> unwedge::client::RequestBuilder {
    /// client.get("https://api.example.com/jobs").headers(shared)
    /// # }
    /// ```
    pub fn headers(mut self, headers: HeaderMap) -> RequestBuilder {
        // An entry without a name is a further value of the name before it.
        let mut current = None;
        for (name, value) in headers {
            match (name, &current) {
                (Some(name), _) => {
                    self.request.headers_mut().insert(name.clone(), value);
                    current = Some(name);
                }
                (None, Some(name)) => drop(self.request.headers_mut().append(name.clone(), value)),
                (None, None) => unreachable!("the first entry has a name"),
            }
        }
        self
    }

    /// Adds these pairs to the query of the URL: anything that `serde` writes as pairs or as a flat struct.
    pub fn query<Q: Serialize + ?Sized>(self, query: &Q) -> RequestBuilder {
        self.check(|request| {
            let more = serde_urlencoded::to_string(query)
                .map_err(|e| Error::config(format!("the query cannot be written: {e}")))?;
            if more.is_empty() {
                return Ok(());
            }
            let uri = request.uri();
            let path = match uri.query() {
                Some(query) if !query.is_empty() => format!("{}?{query}&{more}", uri.path()),
                _ => format!("{}?{more}", uri.path()),
            };
            let mut parts = uri.clone().into_parts();
            let cannot = |e: &dyn fmt::Display| Error::config(format!("the query cannot be added: {e}"));
            parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|e| cannot(&e))?);
            *request.uri_mut() = Uri::from_parts(parts).map_err(|e| cannot(&e))?;
            Ok(())
        })
    }

    /// Sets the body to this value as JSON, and the content type unless it is set.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> RequestBuilder {
        self.check(|request| {
            let json = serde_json::to_vec(value)
                .map_err(|e| Error::config(format!("the value cannot be written as JSON: {e}")))?;
            let json_type = HeaderValue::from_static("application/json");
            request.headers_mut().entry(CONTENT_TYPE).or_insert(json_type);
            *request.body_mut() = Body::full(json);
            Ok(())
        })
    }

    /// Sets the body to these pairs as a form (`application/x-www-form-urlencoded`), and the content type unless it is
    /// set: anything that `serde` writes as pairs or as a flat struct.
    ///
    /// ```no_run
    /// # fn f(client: &unwedge::Client) -> unwedge::client::RequestBuilder {
    /// client.post("https://id.example.com/token").form(&[("grant_type", "client_credentials")])
    /// # }
    /// ```
    pub fn form<F: Serialize + ?Sized>(self, form: &F) -> RequestBuilder {
        self.check(|request| {
            let form = serde_urlencoded::to_string(form)
                .map_err(|e| Error::config(format!("the form cannot be written: {e}")))?;
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().entry(CONTENT_TYPE).or_insert(form_type);
            *request.body_mut() = Body::full(form);
            Ok(())
        })
    }

    /// Sets the body. A streaming body cannot be sent again, so its request gets one attempt.
    pub fn body(mut self, body: impl Into<Body>) -> RequestBuilder {
        *self.request.body_mut() = body.into();
        self
    }

    /// Sets a deadline for this call, from [`send`](RequestBuilder::send) to the last byte of the body, even if it streams.
    /// More than zero, at most 10 years. It can only shorten the limits of the client.
    #[doc(alias = "timeout")]
    pub fn deadline(mut self, limit: Duration) -> RequestBuilder {
        self.deadline = Some(limit);
        self.check(|_| duration::check("the deadline of the request", limit))
    }

    /// Adds an `Idempotency-Key`, which makes a POST or PATCH safe to repeat if the server supports the header.
    pub fn idempotency_key(self, key: impl AsRef<str>) -> RequestBuilder {
        self.header("idempotency-key", key.as_ref())
    }

    /// Marks the request as one that may be processed twice, whatever its method.
    pub fn idempotent(self) -> RequestBuilder {
        self.extension(Idempotent)
    }

    /// Marks the request as a long poll: see [`LongPoll`].
    pub fn long_poll(self, poll: LongPoll) -> RequestBuilder {
        self.check(|request| {
            poll.check()?;
            request.extensions_mut().insert(poll);
            Ok(())
        })
    }

    /// How much of the response belongs to the attempt, in place of [`Limits::collect`](crate::Limits::collect).
    pub fn collect(self, collect: Collect) -> RequestBuilder {
        self.extension(collect)
    }

    /// The text shown in place of the path in errors, spans and tables, for a path that carries a secret.
    pub fn label(self, name: impl Into<Cow<'static, str>>) -> RequestBuilder {
        self.extension(Label::new(name))
    }

    /// Limits of this one call, in place of those of the client: see [`CallOptions`].
    pub fn options(self, options: CallOptions) -> RequestBuilder {
        self.extension(options)
    }

    /// The group of this request (a route or a tenant), with a circuit breaker of its own: see [`Group`].
    pub fn group(self, group: impl Into<Group>) -> RequestBuilder {
        self.extension(group.into())
    }

    /// Adds a request extension.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, extension: T) -> RequestBuilder {
        self.request.extensions_mut().insert(extension);
        self
    }

    /// The request as the `http` crate has it, to look at, sign or send later by [`Client::send`]. The time of a
    /// [`deadline`](RequestBuilder::deadline) runs from here.
    ///
    /// # Errors
    /// Kind `Config` for what is wrong with the request.
    ///
    /// ```
    /// # let client = unwedge::Client::new()?;
    /// let request = client.get("https://api.example.com/jobs").query(&[("limit", "10")]).build()?;
    /// assert_eq!(request.uri(), "https://api.example.com/jobs?limit=10");
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn build(mut self) -> Result<Request<Body>, Error> {
        if let Some(limit) = self.deadline {
            self.request.extensions_mut().insert(Deadline::after(limit));
        }
        match self.wrong {
            Some(error) => Err(error.about(target(&self.request))),
            None => Ok(self.request),
        }
    }

    /// A second builder with the same request; `None` where the body streams, or something was wrong already.
    ///
    /// ```
    /// # let client = unwedge::Client::new()?;
    /// let template = client.post("https://api.example.com/jobs").bearer_auth("t0ken").body("{}");
    /// let one = template.try_clone().expect("the body is in memory").idempotency_key("job-1");
    /// # let _ = one;
    /// # Ok::<(), unwedge::Error>(())
    /// ```
    pub fn try_clone(&self) -> Option<RequestBuilder> {
        if self.wrong.is_some() {
            return None;
        }
        let body = self.request.body().try_clone()?;
        let mut request = Request::new(body);
        *request.method_mut() = self.request.method().clone();
        *request.uri_mut() = self.request.uri().clone();
        *request.version_mut() = self.request.version();
        *request.headers_mut() = self.request.headers().clone();
        *request.extensions_mut() = self.request.extensions().clone();
        Some(RequestBuilder { client: self.client.clone(), request, deadline: self.deadline, wrong: None })
    }

    /// Sends the request. The time of a [`deadline`](RequestBuilder::deadline) runs from here.
    ///
    /// # Errors
    /// Kind `Config` for an invalid request, before anything is sent; otherwise the failure of the call. A response is `Ok`
    /// whatever its status: see [`Response::error_for_status`].
    ///
    /// # Cancellation safety
    /// Dropping the future ends the call: no further attempt is made.
    pub fn send(self) -> Sending {
        let client = self.client.clone();
        match self.build() {
            Ok(request) => Sending::new(&client, request),
            Err(error) => Sending::failed(error),
        }
    }
}

fn header_value<V: TryInto<HeaderValue>>(name: &str, value: V) -> Result<HeaderValue, Error> {
    // The value is not shown: it may be a secret.
    value.try_into().map_err(|_| {
        Error::config(format!(
            "the value of the header {name:?} cannot be sent: it must be one line of visible characters"
        ))
    })
}

impl IntoFuture for RequestBuilder {
    type Output = Result<Response, Error>;
    type IntoFuture = Sending;

    fn into_future(self) -> Sending {
        self.send()
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBuilder({})", target(&self.request))
    }
}
