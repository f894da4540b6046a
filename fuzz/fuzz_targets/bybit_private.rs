#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tercel::venue::fuzz::fuzz_bybit_private(data));
