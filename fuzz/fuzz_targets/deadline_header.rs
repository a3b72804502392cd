#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unwedge::fuzz::deadline_header(bytes));
