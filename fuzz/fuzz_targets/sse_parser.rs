#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unwedge::fuzz::sse_parser(bytes));
