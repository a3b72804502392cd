//! What follows a redirect: the next request, or the reason why there is none. Pure.

use crate::body::Body;
use crate::client::redirect::Redirects;
use crate::client::redirect::location::resolve;
use crate::error::{Error, ErrorKind, Phase};
use crate::origin::Origin;
use crate::target::text::{one_line, redacted};
use crate::target::{Label, Target};
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderName, LOCATION, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, Request, request, response};
use http_body::Body as _;

/// Headers of a body, which go with it (RFC 9110, 15.4).
const OF_A_BODY: [HeaderName; 11] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_TYPE,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    HeaderName::from_static("digest"),
];
/// Headers that were meant for one origin.
const OF_AN_ORIGIN: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST];

/// The request that follows this response, after `followed` others.
///
/// # Errors
/// Kind `Redirect`, which names the place and the rule.
pub(super) fn next(
    rules: Redirects,
    followed: u32,
    (mut head, body): (request::Parts, Option<Body>),
    response: &response::Parts,
) -> Result<Request<Body>, Error> {
    let refuse = |to: &str, why: &str| {
        let status = response.status.as_u16();
        let mut error =
            Error::new(ErrorKind::Redirect, format!("redirect ({status}){to} not followed: {why}"));
        let inner = error.inner_mut();
        inner.target = Some(Target {
            method: head.method.clone(),
            uri: head.uri.clone(),
            label: head.extensions.get::<Label>().cloned(),
        });
        inner.redirects = followed;
        error.at(Phase::Headers)
    };
    let location = response.headers.get(LOCATION).map_or(&b""[..], |value| value.as_bytes());
    let to = match head.extensions.get::<Label>() {
        // A label stands in place of paths that carry secrets.
        Some(_) => String::new(),
        None => format!(" to {:?}", redacted(&one_line(&String::from_utf8_lossy(location)))),
    };
    if followed >= rules.limit {
        return Err(refuse(&to, &format!("{followed} were followed, and the limit is {}", rules.limit)));
    }
    let uri = resolve(&head.uri, location).map_err(|why| refuse(&to, &why))?;
    let (here, there) = (Origin::of(&head.uri)?, Origin::of(&uri)?);
    let crosses = here != there;
    if here.scheme() == "https" && there.scheme() == "http" {
        return Err(refuse(&to, "it leads from https to http"));
    }
    if crosses && rules.same_origin {
        return Err(refuse(
            &to,
            &format!("it leads from {here} to {there}, and only the same origin is allowed"),
        ));
    }
    let becomes_get = match response.status.as_u16() {
        303 => head.method != Method::HEAD && head.method != Method::GET,
        301 | 302 => head.method == Method::POST,
        _ => false,
    };
    let body = if becomes_get {
        Body::empty()
    } else {
        match body {
            Some(body) if !crosses || body.is_end_stream() => body,
            Some(_) => return Err(refuse(&to, "a request body is not sent to another origin")),
            None => return Err(refuse(&to, "the request body streams and cannot be sent again")),
        }
    };
    if becomes_get {
        head.method = Method::GET;
        for name in OF_A_BODY {
            head.headers.remove(name);
        }
    }
    if crosses {
        forget(&mut head.headers);
    }
    head.uri = uri;
    Ok(Request::from_parts(head, body))
}

/// Takes out what only the origin that it was meant for may see.
fn forget(headers: &mut HeaderMap) {
    for name in OF_AN_ORIGIN {
        headers.remove(name);
    }
    if headers.values().any(|value| value.is_sensitive()) {
        *headers = headers
            .iter()
            .filter(|(_, value)| !value.is_sensitive())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
    }
}
