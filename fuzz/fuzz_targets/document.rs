//! See `zrecipe_fuzz::targets::document`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zrecipe_fuzz::targets::document(bytes));
