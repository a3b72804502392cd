//! What stands in a file, in either format.

use super::*;

#[test]
fn a_key_that_stands_there_twice_is_an_error_that_names_its_second_line() {
    for (name, text, line) in [
        ("twice.toml", "[retry]\nmax_retries = 1\nmax_retries = 2\n", 3),
        ("twice.yaml", "retry:\n  max_retries: 1\n  max_retries: 2\n", 3),
        ("twice-over.yaml", "retry:\n  max_retries: 1\nlimits: {}\nretry: {}\n", 4),
        ("twice-inline.yaml", "limits: {}\nretry: { max_retries: 1, max_retries: 2 }\n", 2),
        ("twice-over.toml", "[retry]\nmax_retries = 1\n[limits]\n[retry]\n", 4),
    ] {
        let message = refused(name, text);
        assert!(message.contains(&format!("{name}:{line}: ")), "{text:?}: {message}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_and_moves_no_line() {
    for (name, text) in
        [("bom.toml", "[retry]\nmax_retries = 7\n"), ("bom.yaml", "retry:\n  max_retries: 7\n")]
    {
        let text = format!("\u{feff}{text}");
        assert_eq!(loaded(name, &text).retry.max_retries, 7);
        let wrong = text.replace('7', "true");
        assert!(refused(name, &wrong).contains(&format!("{name}:2: retry.max_retries: ")));
    }
}

#[test]
fn a_section_of_which_everything_was_taken_out_is_as_absent_and_its_name_is_still_checked() {
    let text = "limits:\nretry: # all default\n  budget:\ncircuit_breaker: ~\nhealth_check:\n";
    let settings = loaded("emptied.yaml", text);
    assert_eq!(format!("{settings:?}"), format!("{:?}", Resilience::default()));
    assert_eq!(loaded("emptied.toml", "[limits]\n[retry.budget]\n").limits, crate::Limits::default());
    assert!(refused("renamed.yaml", "retry: {}\nbreaker:\n").contains("renamed.yaml:2: breaker: "));
    assert!(refused("leaf.yaml", "retry:\n  max_retries:\n").contains("leaf.yaml:2: retry.max_retries: "));
    let below = File::new("below.yaml", "retry: { max_retries: 7 }\n");
    let above = File::new("above.yaml", "retry:\n");
    let layers = Layers::new().file(&below.0).unwrap().file(&above.0).unwrap();
    assert_eq!(layers.load::<Resilience>().unwrap().retry.max_retries, 7);
}

#[test]
fn yaml_that_is_no_plain_settings_file_is_refused_with_its_line() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let alias = format!("*a{}", n - 1);
        laughs.push_str(&format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 10].join(", ")));
    }
    let deep = format!("a: {}{}\n", "[".repeat(200), "]".repeat(200));
    for (name, text, line) in [
        ("documents.yaml", "retry: {}\n---\nretry: {}\n", 3),
        ("list.yaml", "- 1\n", 1),
        ("tag.yaml", "retry: {}\nlimits: !secret 5s\n", 2),
        ("alias.yaml", "retry: *missing\n", 1),
        ("key.yaml", "retry: {}\n[a]: 1\n", 2),
        ("laughs.yaml", &laughs, 5),
        ("deep.yaml", &deep, 1),
    ] {
        let message = refused(name, text);
        assert!(message.contains(&format!("{name}:{line}: ")), "{message}");
    }
}

#[test]
fn anchors_and_quotes_mean_in_yaml_what_they_always_do() {
    let text = "limits: { total: &long 1h, attempt: *long }\nretry: { max_delay: !!str 1h, initial_delay: \"5s\" }\n";
    let settings = loaded("anchors.yaml", text);
    let hour = Duration::from_secs(3600);
    assert_eq!((settings.limits.get_total(), settings.limits.get_attempt()), (hour, hour));
    assert_eq!(settings.retry.backoff.get_cap(), hour);
    assert!(
        refused("quoted.yaml", "retry:\n  max_retries: \"7\"\n")
            .contains("quoted.yaml:2: retry.max_retries: ")
    );
}
