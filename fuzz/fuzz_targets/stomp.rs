//! See `zrecipe_fuzz::targets::stomp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zrecipe_fuzz::targets::stomp(bytes));
