//! See `zrecipe_fuzz::targets::headers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zrecipe_fuzz::targets::headers(bytes));
