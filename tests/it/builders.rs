//! Builders: what is said twice is an error that names both, and what was set is read back.

use crate::support::*;
use http::HeaderName;
use std::sync::Arc;
use unwedge::client::{ClientBuilder, Http1, Http2, Network, Redirects, Tls};
use unwedge::deadline::{Headers, Incoming};
use unwedge::stack::RequestOptions;
use unwedge::testing::Peer;
use unwedge::{CallOptions, Client, Collect, Error, Limits, LongPoll, StackLayer, breaker, health, retry};

#[track_caller]
fn names_both(built: Result<Client, Error>, one: &str, other: &str) {
    let error = built.expect_err("one of them would be lost");
    let text = error.to_string();
    assert!(error.is_config() && text.contains(one) && text.contains(other), "{text}");
}

#[test]
fn a_stack_beside_a_setting_of_it_is_an_error_that_names_both_in_either_order() {
    type Set = fn(ClientBuilder) -> ClientBuilder;
    let settings: [(&str, Set); 5] = [
        ("limits(..)", |client| client.limits(Limits::default())),
        ("retry(..)", |client| client.retry(retry::Settings::default())),
        ("breaker(..)", |client| client.breaker(breaker::Settings::default())),
        ("health(..)", |client| client.health(health::Settings::new("/health"))),
        ("name(..)", |client| client.name("scheduler")),
    ];
    for (name, set) in settings {
        names_both(set(Client::builder().stack(StackLayer::builder())).build(), "stack(..)", name);
        names_both(set(Client::builder()).stack(StackLayer::builder()).build(), "stack(..)", name);
        assert!(set(Client::builder()).build().is_ok(), "{name} alone");
    }
    let all =
        settings.iter().fold(Client::builder().stack(StackLayer::builder()), |client, (_, set)| set(client));
    names_both(all.build(), "limits(..), retry(..)", "name(..)");
    assert!(Client::builder().stack(StackLayer::builder().name("scheduler")).build().is_ok());
}

#[test]
fn a_connector_beside_what_only_the_network_heeds_is_an_error_that_names_both() {
    let peer = Peer::new();
    let tls = Tls::default().identity("certificate", "key");
    for client in [client(&peer).tls(tls.clone()), Client::builder().tls(tls).pipe(peer.pipe())] {
        names_both(client.build(), "connector", "TLS");
    }
    let network = Network::default().proxy("http://proxy.example:3128");
    names_both(client(&peer).network(network).build(), "connector", "proxy");
    let allowed = Network::default().http2_only().no_proxy();
    assert!(client(&peer).network(allowed).tls(Tls::default()).build().is_ok());
}

#[test]
fn a_reqwest_client_has_its_name_from_one_place() {
    let builder = unwedge::reqwest::builder;
    let stack = StackLayer::default;
    for client in [builder().stack(stack()).name("relay"), builder().name("relay").stack(stack())] {
        let text = client.build().expect_err("one of them would be lost").to_string();
        assert!(text.contains("stack(..)") && text.contains("name(\"relay\")"), "{text}");
    }
    let text = builder().name("relay").service().expect_err("nothing has this name").to_string();
    assert!(text.contains("service()") && text.contains("name(\"relay\")"), "{text}");
    let text = builder().name("relay").inner_client().expect_err("nothing has this name").to_string();
    assert!(text.contains("inner_client()") && text.contains("name(\"relay\")"), "{text}");
    assert!(builder().name("relay").build().is_ok());
}

#[test]
fn what_a_client_is_made_of_is_read_back_from_its_builder() {
    let stack = StackLayer::builder()
        .limits(Limits::default().total(MINUTE))
        .retry(retry::Settings::default().max_retries(7))
        .breaker(breaker::Settings::default().failures(9))
        .health("/health")
        .propagate_deadline(Headers::envoy())
        .name("scheduler");
    assert_eq!((stack.get_limits().get_total(), stack.get_retry().get_max_retries()), (MINUTE, 7));
    assert_eq!((stack.get_breaker().get_failures(), stack.get_name()), (9, Some("scheduler")));
    assert_eq!(stack.get_health().map(|health| health.get_path()), Some("/health"));
    assert_eq!(stack.get_propagate_deadline(), Some(&Headers::envoy()));

    let client =
        Client::builder().stack(stack).user_agent("agent/1").gzip(false).redirects(Redirects::none());
    assert_eq!(client.get_stack().get_name(), Some("scheduler"));
    assert_eq!((client.get_user_agent(), client.get_gzip()), (Some("agent/1"), false));
    assert_eq!((client.get_redirects(), client.get_default_headers().len()), (&Redirects::none(), 0));
    assert_eq!(Client::builder().name("one by one").get_stack().get_name(), Some("one by one"));
}

#[test]
fn what_is_set_of_the_network_is_read_back_but_no_secret() {
    let network = Network::default()
        .proxy("http://user:secret@proxy.example:3128/")
        .http1(Http1::default().folded_headers())
        .http2(Http2::default().stream_window(1 << 20).max_frame_size(1 << 15));
    let proxy = network.get_proxy().expect("it was set");
    assert!(proxy.contains("proxy.example:3128") && !proxy.contains("secret"), "{proxy}");
    let (http1, http2) = (network.get_http1(), network.get_http2());
    assert!(http1.get_folded_headers() && !http1.get_title_case_headers());
    assert!(!http1.get_ignore_invalid_headers() && !http1.get_spaces_after_header_names());
    assert!(Http1::default().spaces_after_header_names().get_spaces_after_header_names());
    assert!(Http2::default().adaptive_window().get_adaptive_window());
    assert_eq!((http2.get_stream_window(), http2.get_connection_window()), (Some(1 << 20), None));
    assert_eq!((http2.get_max_frame_size(), http2.get_adaptive_window()), (Some(1 << 15), false));
    assert!(!network.get_http2_only() && !network.get_no_proxy());
    assert!(network.no_proxy().http2_only().get_no_proxy());

    let tls = Tls::default().add_root_certificate("root").identity("certificate", "key");
    assert_eq!(
        (tls.get_root_certificates(), tls.get_identity()),
        (&[b"root".to_vec()][..], Some(&b"certificate"[..]))
    );
    assert!(tls.get_config().is_none());
    let client = Client::builder().tls(tls).network(Network::default().http2_only());
    assert!(client.get_tls().get_identity().is_some() && client.get_network().get_http2_only());
}

#[test]
fn wishes_of_one_request_are_read_back() {
    let options =
        CallOptions::new().attempt(SECOND).total(MINUTE).idle(2 * SECOND).stream(3 * SECOND).retries(4);
    assert_eq!((options.get_attempt(), options.get_total()), (Some(SECOND), Some(MINUTE)));
    assert_eq!((options.get_idle(), options.get_stream()), (Some(2 * SECOND), Some(3 * SECOND)));
    assert_eq!((options.get_retries(), CallOptions::new().get_retries()), (Some(4), None));

    let poll = LongPoll::because("a watch waits for changes").up_to(MINUTE);
    assert_eq!(poll.get_up_to(), Some(MINUTE));
    let wishes = RequestOptions::new().options(options).group("billing").idempotent().long_poll(poll.clone());
    assert_eq!((wishes.get_options(), wishes.get_long_poll()), (Some(&options), Some(&poll)));
    assert_eq!(wishes.get_group().map(|group| group.as_str()), Some("billing"));
    assert!(wishes.get_idempotent() && wishes.get_deadline().is_none() && wishes.get_label().is_none());
    assert!(wishes.get_collect().is_none() && wishes.collect(Collect::never()).get_collect().is_some());
}

#[test]
fn what_a_server_heeds_is_read_back() {
    let name = HeaderName::from_static("x-left");
    let headers = Headers::default().remaining(name.clone()).attempt(None);
    assert_eq!((headers.get_remaining(), headers.get_attempt()), (&name, None));
    let incoming = Incoming::default().headers(headers.clone()).refuse_below(MS).at_most(MINUTE);
    assert_eq!((incoming.get_headers(), incoming.get_refuse_below()), (&headers, MS));
    assert_eq!((incoming.get_at_most(), Incoming::default().get_at_most()), (Some(MINUTE), None));
}

#[test]
fn the_middleware_of_reqwest_has_the_name_of_the_crate_too() {
    let middleware: Arc<unwedge::reqwest::ResilienceMiddleware> =
        Arc::new(unwedge::reqwest::Unwedge::default());
    assert!(middleware.bounds().unbounded().is_empty());
}
