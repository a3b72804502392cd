use super::table::{Evictable, PerOrigin};
use super::*;
use crate::options::Group;
use crate::target::{Label, Target};
use http::Method;

struct State {
    keep: bool,
}

impl Evictable for State {
    fn keep(&self) -> bool {
        self.keep
    }
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

fn plain(_: &Origin) -> State {
    State { keep: false }
}

#[test]
fn scheme_host_and_port_are_normalised() {
    let shown = |url: &str| Origin::of(&uri(url)).unwrap().to_string();
    assert_eq!(shown("HTTPS://API.Example.com:443/jobs?x=1"), "https://api.example.com");
    assert_eq!(shown("http://api.example.com:8080"), "http://api.example.com:8080");
    assert_eq!(shown("http://[::1]:80/"), "http://[::1]");
    assert_eq!(Origin::of(&uri("http://A/")).unwrap(), Origin::of(&uri("http://a:80/x")).unwrap());
    assert_ne!(Origin::of(&uri("http://a/")).unwrap(), Origin::of(&uri("https://a/")).unwrap());
}

#[test]
fn a_url_without_host_or_with_another_scheme_is_a_configuration_error_that_names_it() {
    let error = |url: &str| {
        let error = Origin::of(&uri(url)).unwrap_err();
        assert!(error.is_config());
        error.to_string()
    };
    assert!(error("ftp://example.com/").contains("\"ftp\""));
    assert!(error("/only/a/path").contains("absolute"));
    for host in ["[g::1]", "[1.2.3.4]", "[::1::2]", "a..b", ".a", "a..", "."] {
        assert!(error(&format!("http://{host}/")).contains(&format!("{host:?}")), "{host}");
    }
    for host in ["a.", "a.b.", "[::1]", "[::ffff:1.2.3.4]", "under_score", "1.2.3.4", "xn--caf-dma"] {
        assert!(Origin::of(&uri(&format!("http://{host}/"))).is_ok(), "{host}");
    }
    let torn = error("http://user:pa[%z@ho%2]st/");
    assert!(torn.contains("a bracket") && !torn.contains("pa["), "{torn}");
}

#[test]
fn user_information_and_query_are_never_shown() {
    let show = |url: &str| Target { method: Method::GET, uri: uri(url), label: None }.to_string();
    assert_eq!(show("https://user:pa%40ss@host:8443/a/b?token=s3cret"), "GET https://host:8443/a/b");
    assert_eq!(show("https://user@host"), "GET https://host/");
    let labelled = Target {
        method: Method::POST,
        uri: uri("https://host/t/s3cret/jobs"),
        label: Some(Label::new("jobs")),
    };
    assert_eq!(labelled.to_string(), "POST https://host [jobs]");
    assert_eq!(labelled.url(), "https://host [jobs]");
}

#[test]
fn one_origin_has_one_entry_however_it_is_spelled() {
    let map = PerOrigin::new(8, 16);
    let a = map.get(&uri("http://Example.com/x"), None, plain).unwrap();
    let b = map.get(&uri("http://example.COM:80/y"), None, plain).unwrap();
    assert!(Arc::ptr_eq(&a, &b));
    assert!(a.serves(&uri("http://Example.com/z"), None));
    assert!(!a.serves(&uri("https://Example.com/z"), None));
    assert!(!a.serves(&uri("http://other/z"), None));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_origins_seen_once_leave_the_map_bounded_and_the_busy_one_in_it() {
    let map = PerOrigin::new(256, 1024);
    let busy = uri("https://busy.example/");
    let first = Arc::downgrade(&map.get(&busy, None, plain).unwrap());
    for n in 0..100_000 {
        map.get(&uri(&format!("http://h{n}.example/")), None, plain).unwrap();
        if n % 50 == 0 {
            map.get(&busy, None, plain).unwrap();
        }
    }
    assert_eq!(map.all().len(), 1024);
    assert!(first.upgrade().is_some_and(|e| e.serves(&busy, None)), "the busy origin kept its state");
}

#[tokio::test(start_paused = true)]
async fn below_the_hard_cap_only_what_was_idle_for_ten_minutes_is_forgotten() {
    let map = PerOrigin::new(8, 1024);
    let of = |n: u32| uri(&format!("http://h{n}/"));
    for n in 0..100 {
        map.get(&of(n), None, plain).unwrap();
    }
    // Two rounds of ten minutes in which only the first ten are used.
    for round in 0..3 {
        tokio::time::advance(std::time::Duration::from_secs(601)).await;
        for n in 0..10 {
            map.get(&of(n), None, plain).unwrap();
        }
        map.get(&of(1000 + round), None, plain).unwrap();
    }
    for n in 2000..2080 {
        map.get(&of(n), None, plain).unwrap();
    }
    assert!((0..10).all(|n| map.find(&of(n), None).unwrap().is_some()), "what was used is there");
    let gone = (10..100).filter(|n| map.find(&of(*n), None).unwrap().is_none()).count();
    assert!(gone >= 80, "{gone} of 90 that were idle gave their place to 80 new ones");
    assert!(map.all().len() < 110, "and the map did not grow: {}", map.all().len());
}

#[test]
fn groups_of_one_origin_are_entries_of_their_own() {
    let map = PerOrigin::new(8, 16);
    let (url, billing) = (uri("http://a/"), Group::new("billing"));
    let own = map.get(&url, None, plain).unwrap();
    let group = map.get(&url, Some(&billing), plain).unwrap();
    assert!(!Arc::ptr_eq(&own, &group));
    assert!(Arc::ptr_eq(&group, &map.get(&uri("http://A:80/x"), Some(&billing), plain).unwrap()));
    assert!(group.serves(&url, Some(&billing)) && !group.serves(&url, None));
    assert!(own.serves(&url, None) && !own.serves(&url, Some(&billing)));
}

#[test]
fn what_others_build_on_is_kept_above_the_hard_cap_too() {
    struct Shared(bool);
    impl Evictable for Shared {
        fn keep(&self) -> bool {
            false
        }

        fn is_shared(&self) -> bool {
            self.0
        }
    }
    let map = PerOrigin::new(2, 4);
    map.get(&uri("http://shared/"), None, |_| Shared(true)).unwrap();
    for n in 0..100 {
        map.get(&uri(&format!("http://h{n}/")), None, |_| Shared(false)).unwrap();
    }
    assert_eq!(map.all().len(), 4);
    assert!(map.find(&uri("http://shared/"), None).unwrap().is_some());
}

#[test]
fn what_makes_an_entry_may_look_at_the_map() {
    let map = PerOrigin::new(2, 4);
    let made = map.get(&uri("http://a/"), None, |_| {
        // A metrics recorder that is told of the new one, for example.
        map.all();
        State { keep: false }
    });
    assert!(made.is_ok());
}

#[test]
fn state_that_matters_is_kept_until_the_hard_cap() {
    let map = PerOrigin::new(8, 16);
    for n in 0..100 {
        map.get(&uri(&format!("http://h{n}/")), None, |_| State { keep: true }).unwrap();
    }
    assert_eq!(map.all().len(), 16);
}

#[test]
fn an_evicted_entry_no_longer_serves_from_a_cache() {
    let map = PerOrigin::new(1, 1);
    let held = map.get(&uri("http://a/"), None, plain).unwrap();
    assert!(held.serves(&uri("http://a/"), None));
    map.get(&uri("http://b/"), None, plain).unwrap();
    assert!(!held.serves(&uri("http://a/"), None));
}

#[test]
fn a_port_that_is_no_number_is_an_error_and_not_the_default() {
    let port = |url: &str| Origin::of(&url.parse().unwrap()).map(|origin| origin.port());
    for (url, named) in [("http://host:99999/", "99999"), ("http://u:1@[::1]:65536", "65536")] {
        let error = port(url).unwrap_err();
        assert!(error.is_config() && error.to_string().contains(named), "{error}");
        assert!(error.to_string().contains("65535"), "{error}");
    }
    for url in ["http://user:secret?half@host/", "http://user:secret#half@host/", "http://a:8o/"] {
        let error = port(url).unwrap_err();
        assert!(error.is_config() && error.to_string().contains("65535"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        let target = Target { method: Method::GET, uri: url.parse().unwrap(), label: None };
        assert!(!target.url().contains("secret") && !target.url().contains("8o"), "{target}");
    }
    for (url, is) in
        [("http://a:/", 80), ("https://u:p@a/", 443), ("http://[::1]/", 80), ("http://u@a:81", 81)]
    {
        assert_eq!(port(url).unwrap(), is, "{url}");
    }
}

#[test]
fn an_origin_is_read_from_text_and_from_a_uri_and_never_repeats_credentials() {
    let origin: Origin = "HTTPS://user:s3cret@Api.example:443/a?b=c".parse().unwrap();
    assert_eq!(origin.to_string(), "https://api.example");
    assert_eq!(
        Origin::try_from(&"http://h:8080/x".parse::<Uri>().unwrap()).unwrap().to_string(),
        "http://h:8080"
    );
    for wrong in ["", "/path", "ftp://host/", "http://", "http://user:s3cret@ho st/"] {
        let error = wrong.parse::<Origin>().unwrap_err();
        assert!(error.is_config() && !error.to_string().contains("s3cret"), "{error}");
    }
}
