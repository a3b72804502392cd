use super::*;

#[test]
fn a_client_span_is_called_by_its_method_and_what_stands_for_the_path() {
    for (method, path, name, shown) in [
        ("GET", None, "GET", None),
        ("POST", Some("jobs"), "POST jobs", None),
        ("GET", Some("/jobs/{id}"), "GET /jobs/{id}", Some("/jobs/{id}")),
        ("FROBNICATE", None, "HTTP", None),
    ] {
        let method = known(&method.parse().expect("a method"));
        assert_eq!((Name(method, path).to_string().as_str(), template(path)), (name, shown));
    }
}

#[test]
fn an_address_has_no_brackets_and_a_version_no_name() {
    for (url, shown) in [("http://[::1]:8080/", "::1"), ("http://A.Example/", "a.example")] {
        let origin = Origin::of(&url.parse().expect("a URL")).expect("an origin");
        assert_eq!(address(&origin), shown);
    }
    let versions = [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2, Version::HTTP_3].map(version);
    assert_eq!(versions, [Some("1.0"), Some("1.1"), Some("2"), Some("3")]);
}
