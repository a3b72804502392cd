use super::*;

struct State {
    keep: bool,
}

impl Keep for State {
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
    let a = map.get(&uri("http://Example.com/x"), plain).unwrap();
    let b = map.get(&uri("http://example.COM:80/y"), plain).unwrap();
    assert!(Arc::ptr_eq(&a, &b));
    assert!(a.serves(&uri("http://Example.com/z")));
    assert!(!a.serves(&uri("https://Example.com/z")));
    assert!(!a.serves(&uri("http://other/z")));
}

#[test]
fn a_hundred_thousand_origins_seen_once_leave_the_map_small_and_the_busy_one_in_it() {
    let map = PerOrigin::new(1024, 4096);
    let busy = uri("https://busy.example/");
    let first = Arc::downgrade(&map.get(&busy, plain).unwrap());
    for n in 0..100_000 {
        map.get(&uri(&format!("http://h{n}.example/")), plain).unwrap();
        if n % 50 == 0 {
            map.get(&busy, plain).unwrap();
        }
    }
    assert_eq!(map.all().len(), 1024);
    assert!(first.upgrade().is_some_and(|e| e.serves(&busy)), "the busy origin kept its state");
}

#[test]
fn state_that_matters_is_kept_until_the_hard_cap() {
    let map = PerOrigin::new(8, 16);
    for n in 0..100 {
        map.get(&uri(&format!("http://h{n}/")), |_| State { keep: true }).unwrap();
    }
    assert_eq!(map.all().len(), 16);
}

#[test]
fn an_evicted_entry_no_longer_serves_from_a_cache() {
    let map = PerOrigin::new(1, 1);
    let held = map.get(&uri("http://a/"), plain).unwrap();
    assert!(held.serves(&uri("http://a/")));
    map.get(&uri("http://b/"), plain).unwrap();
    assert!(!held.serves(&uri("http://a/")));
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
