#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tercel::net::ws::fuzz_frames(data));
