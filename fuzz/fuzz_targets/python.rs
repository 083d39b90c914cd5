//! See `zrecipe_fuzz::targets::python`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zrecipe_fuzz::targets::python(bytes));
