use std::path::Path;

/// Every file of the corpus, by name in the order of names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        // The published package has no fuzz targets.
        return Vec::new();
    }
    let dir = fuzz.join("corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.expect("readable").path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("readable")))
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{} has no corpus", dir.display());
    files
}

fn holds(target: &str, check: fn(&[u8])) {
    for (name, bytes) in corpus(target) {
        // Shown where the check panics.
        println!("{name}");
        check(&bytes);
    }
}

#[test]
fn retry_after_keeps_its_promises_over_its_corpus() {
    holds("retry_after", super::retry_after);
}

#[test]
fn a_deadline_header_keeps_its_promises_over_its_corpus() {
    holds("deadline_header", super::deadline_header);
}

#[test]
fn no_secret_of_a_url_is_shown_over_the_corpus() {
    holds("url_redaction", super::url_redaction);
}

#[test]
fn the_machine_does_what_the_reference_does_over_the_corpus() {
    holds("breaker_ops", super::breaker_ops);
}

#[test]
fn a_duration_keeps_its_promises_over_its_corpus() {
    holds("duration", super::duration);
}

#[test]
fn settings_keep_their_promises_over_their_corpus() {
    holds("settings", super::settings);
}

#[test]
fn an_event_stream_reads_as_by_the_standard_over_the_corpus() {
    holds("sse_parser", super::sse_parser);
}

#[cfg(feature = "sse")]
mod streams {
    use proptest::prelude::*;

    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let words = proptest::sample::select(vec![
            "data",
            "data:",
            "data: ",
            "id:",
            "id: 7",
            "event:",
            "event: add",
            "retry:",
            "retry: 15",
            ":",
            "\u{feff}",
            "\n",
            "\r",
            "\r\n",
            "\n\n",
            "\r\r",
            "\0",
            " ",
            "x",
            "a longer word of some bytes",
            "\u{e4}",
        ]);
        let bytes = prop_oneof![
            8 => words.prop_map(|word| word.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 1..4),
        ];
        proptest::collection::vec(bytes, 0..60).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn an_event_stream_reads_as_by_the_standard_however_it_is_cut(
            line in 1u8..60, event in 1u8..60, cut in any::<u8>(), stream in lines(),
        ) {
            let mut input = vec![line, event, cut];
            input.extend(stream);
            crate::fuzz::sse_parser(&input);
        }
    }
}
