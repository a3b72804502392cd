//! URLs: what is shown of them, and the credentials in them.

use crate::client::url::sealed::Sealed;
use crate::client::url::{lift_credentials, one_line, redacted};
use crate::{Body, Error};
use http::Request;

#[test]
fn a_broken_url_is_shown_without_what_could_be_a_secret() {
    for (text, shown) in [
        ("http://u:p@host/path?q=secret#f", "http://host/path"),
        ("http://host name/?token", "http://host name/"),
        ("u:p@host", "host"),
        ("http://u:pa/ss@wo@rd@host/x", "http://host/x"),
        ("https://h/#secret", "https://h/"),
        ("http://u:pa#ss@host/x", "http://..."),
        ("http://u:pa?ss@host/x", "http://..."),
        ("http://u:p@ host/?mail=a@b", "http://..."),
        ("u:p@host/?next=http://other/", "host/"),
        ("u:p@host/next=http://other/", "host/next=http://other/"),
        ("", ""),
        ("\u{e9}\u{e8}", "\u{e9}\u{e8}"),
    ] {
        assert_eq!(redacted(text), shown, "{text}");
    }
    let long = redacted(&format!("http://host/{}", "\u{e9}".repeat(1000)));
    assert_eq!((long.chars().count(), long.ends_with("\u{e9}...")), (203, true));
    assert_eq!(redacted(&"\u{e9}".repeat(200)), "\u{e9}".repeat(200));
}

#[test]
fn credentials_become_a_header_as_rfc_7617_has_it() {
    let lift = |url: &str| -> Result<_, Error> {
        let mut request = Request::get(url).body(Body::empty()).unwrap();
        lift_credentials(&mut request)?;
        let header = request
            .headers()
            .get("authorization")
            .map(|h| (h.to_str().unwrap().to_owned(), h.is_sensitive()));
        Ok((request.uri().to_string(), header))
    };
    for (url, bare, encoded) in [
        ("http://Aladdin:open%20sesame@a/x?y", "http://a/x?y", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("https://f:@a:8443/", "https://a:8443/", "Zjo="),
        ("http://fo:o@[::1]:80/", "http://[::1]:80/", "Zm86bw=="),
        ("http://fo:ob@a/", "http://a/", "Zm86b2I="),
        ("http://%zz:%4@a/", "http://a/", "JXp6OiU0"),
        ("http://%ff:@a/", "http://a/", "/zo="),
    ] {
        let (uri, header) = lift(url).unwrap();
        assert_eq!((uri.as_str(), header), (bare, Some((format!("Basic {encoded}"), true))), "{url}");
    }
    assert_eq!(lift("http://a/@b?c@d").unwrap(), ("http://a/@b?c@d".into(), None));
    assert_eq!(lift("http://@a/x").unwrap(), ("http://a/x".into(), None), "nobody is named");
}

#[test]
fn what_is_no_ascii_in_path_and_query_is_percent_encoded_and_in_a_host_refused() {
    for (url, sent) in [
        ("http://a/caf\u{e9}?q=\u{fc}&x=%C3%BC", "http://a/caf%C3%A9?q=%C3%BC&x=%C3%BC"),
        ("http://a?\u{20ac}", "http://a/?%E2%82%AC"),
        ("http://a/plain%20text?x", "http://a/plain%20text?x"),
    ] {
        assert_eq!(url.into_url().unwrap(), sent, "{url}");
    }
    let given: http::Uri = "http://a/caf\u{e9}".parse().unwrap();
    assert_eq!(given.into_url().unwrap(), "http://a/caf%C3%A9");
    assert!("http://caf\u{e9}/".into_url().unwrap_err().is_config());
}

#[test]
fn a_line_stays_a_line_and_harms_no_terminal() {
    assert_eq!(one_line("a\nb\r\tc\u{1b}[0m\u{7}\u{85}"), "a b  c\\u{1b}[0m\\u{7}\\u{85}");
    assert_eq!(one_line("caf\u{e9}"), "caf\u{e9}");
}
