use super::*;
use iri_string::types::{UriAbsoluteStr, UriReferenceStr};
use proptest::prelude::*;

const BASE: &str = "http://a/b/c/d?q";

fn from(base: &str, reference: &str) -> Result<String, String> {
    resolve(&base.parse().unwrap(), reference.as_bytes()).map(|uri| uri.to_string())
}

/// RFC 3986, 5.4.1 and 5.4.2, for http, without what a request cannot carry: a fragment.
#[test]
fn the_examples_of_the_standard_resolve_as_it_says() {
    for (reference, url) in [
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d?q"),
        ("g#s", "http://a/b/c/g"),
        ("g?y#s", "http://a/b/c/g?y"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/../x", "http://a/b/c/g"),
    ] {
        assert_eq!(from(BASE, reference).as_deref(), Ok(url), "{reference}");
    }
}

#[test]
fn other_hosts_ports_and_addresses_are_taken_as_written_and_credentials_are_not() {
    for (reference, url) in [
        ("https://b:8443/x?y=1", "https://b:8443/x?y=1"),
        ("HTTPS://b", "https://b/"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://user:secret@b/x", "http://b/x"),
        ("//user@b/x", "http://b/x"),
        ("http://b?x", "http://b/?x"),
        ("http://b/a/../x", "http://b/x"),
        ("  /x  ", "http://a/x"),
        ("/a:b", "http://a/a:b"),
        ("?x=http://b/", "http://a/b/c/d?x=http://b/"),
    ] {
        assert_eq!(from(BASE, reference).as_deref(), Ok(url), "{reference}");
    }
}

#[test]
fn what_a_server_should_have_encoded_is_encoded() {
    assert_eq!(from(BASE, "/a b?c=\"d\"<e>").as_deref(), Ok("http://a/a%20b?c=%22d%22%3Ce%3E"));
    assert_eq!(from(BASE, "/grün").as_deref(), Ok("http://a/gr%C3%BCn"));
    assert_eq!(from(BASE, "/100%").as_deref(), Ok("http://a/100%"));
}

#[test]
fn what_cannot_be_a_place_says_which_rule_it_breaks() {
    for (reference, rule) in [
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("ftp://b/x", "its scheme is \"ftp\": it must be http or https"),
        ("javascript:alert(1)", "its scheme is \"javascript\": it must be http or https"),
        ("data:,x", "its scheme is \"data\": it must be http or https"),
        ("mailto:a", "its scheme is \"mailto\": it must be http or https"),
        ("http:g", "it has no host"),
        ("http://", "it has no host"),
        ("http:///x", "it has no host"),
        ("http://user@/x", "it has no host"),
        ("http://:80/x", "the URL has no host"),
        ("http://b:99999/", "the port of the URL is \"99999\": it must be a number up to 65535"),
        ("http://[::1/x", "it cannot be read"),
        ("http://b c/x", "it cannot be read"),
        ("http://good\\@evil/x", ""),
        ("http://grün/", "it cannot be read"),
        ("/a\u{1}b", "it cannot be read"),
    ] {
        match from(BASE, reference) {
            Err(said) => assert!(said.contains(rule), "{reference}: {said}"),
            // Everything before the last @ is user information, a backslash in it or not.
            Ok(url) => assert_eq!((reference, url.as_str()), ("http://good\\@evil/x", "http://evil/x")),
        }
    }
}

/// Paths, queries and fragments full of dots and slashes, with and without a host.
fn reference() -> impl Strategy<Value = String> {
    let path = proptest::collection::vec(prop_oneof!["\\.", "\\.\\.", "", "[a-z;=.]{1,3}"], 0..6);
    (
        prop_oneof![Just(""), Just("//h"), Just("http://h:81"), Just("https://h")],
        any::<bool>(),
        path,
        "(\\?[a-z/.]{0,4})?(#[a-z/.]{0,4})?",
    )
        .prop_map(|(host, rooted, path, rest)| {
            let rooted = rooted || !host.is_empty();
            format!("{host}{}{}{rest}", if rooted { "/" } else { "" }, path.join("/"))
        })
}

proptest! {
    #[test]
    fn it_agrees_with_another_reader_of_the_standard(
        base in "http://a(/[a-z]{0,2}){1,4}(\\?[a-z]{0,2})?",
        reference in reference(),
    ) {
        // Nor is a place without a host one for a request.
        prop_assume!(!reference.is_empty() && (!reference.starts_with("//") || reference.starts_with("//h")));
        let other = UriReferenceStr::new(&reference).unwrap();
        let expected = other.resolve_against(UriAbsoluteStr::new(&base).unwrap()).to_string();
        let expected: Uri = expected.split('#').next().unwrap().parse().unwrap();
        // It cannot name a path that begins with two slashes in a reference, and shields that with a dot.
        prop_assume!(!expected.path().starts_with("//"));
        let resolved = resolve(&base.parse().unwrap(), reference.as_bytes());
        prop_assert_eq!(resolved, Ok(expected));
    }

    #[test]
    fn no_bytes_make_it_panic_or_keep_credentials(reference in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(uri) = resolve(&Uri::from_static(BASE), &reference) {
            prop_assert!(Origin::of(&uri).is_ok());
            prop_assert!(!uri.authority().unwrap().as_str().contains('@'));
            prop_assert!(uri.path().starts_with('/'));
            prop_assert!(resolve(&uri, b"?x").is_ok());
        }
    }
}
