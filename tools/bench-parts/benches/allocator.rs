//! mimalloc against the system's allocator where the hot path allocates at all: sealing and opening TLS records.
//!
//! An allocator is a process's choice for life, so each round runs this program anew under either, in turns. Both go through
//! the same switch. Prints medians over rounds of the nanoseconds for an order sealed and a tick opened, and of allocating and freeing alone.
#![allow(unsafe_code, reason = "a global allocator that asks once which of two it is")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use rustls::{ClientConnection, ServerConnection, pki_types::ServerName};
use tercel::net::tls::{Roots, client_config, generate, server_config};

const ROUNDS: usize = 9;
const RECORDS: u32 = 200_000;
/// An order, and a tick.
const BYTES: usize = 300;
const ROLE: &std::ffi::CStr = c"TERCEL_BENCH_ALLOCATOR";

/// Asks the environment at the first allocation: 0 is not asked yet, 1 the system's, 2 mimalloc.
static CHOICE: AtomicU8 = AtomicU8::new(0);

struct Switch;

fn is_mimalloc() -> bool {
    match CHOICE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: the name ends with a zero, nothing changes the environment in this program, and nothing is allocated.
            let value = unsafe { libc::getenv(ROLE.as_ptr()) };
            // SAFETY: a value of the environment is a text that ends with a zero, so its first byte can be read.
            let is_mimalloc = !value.is_null() && unsafe { *value } as u8 == b'm';
            CHOICE.store(1 + u8::from(is_mimalloc), Ordering::Relaxed);
            is_mimalloc
        }
        choice => choice == 2,
    }
}

// SAFETY: both are allocators, and the choice never changes, so that each frees what it allocated.
unsafe impl GlobalAlloc for Switch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_mimalloc() {
            // SAFETY: the caller keeps the promises of `alloc`.
            unsafe { mimalloc::MiMalloc.alloc(layout) }
        } else {
            // SAFETY: likewise.
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if is_mimalloc() {
            // SAFETY: the caller keeps the promises of `dealloc`, and `alloc` chose the same.
            unsafe { mimalloc::MiMalloc.dealloc(ptr, layout) }
        } else {
            // SAFETY: likewise.
            unsafe { System.dealloc(ptr, layout) }
        }
    }
}

#[global_allocator]
static ALLOCATOR: Switch = Switch;

/// A client and a server that have shaken hands, over buffers in memory.
fn pair() -> (ClientConnection, ServerConnection) {
    let certs = generate(&["localhost"]).unwrap();
    let config = client_config(Roots::CaPem(&certs.ca_pem)).unwrap();
    let mut client = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let mut server = ServerConnection::new(server_config(&certs.cert_pem, &certs.key_pem).unwrap()).unwrap();
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        wire.clear();
        client.write_tls(&mut wire).unwrap();
        read_all(&wire, |bytes| server.read_tls(bytes));
        server.process_new_packets().unwrap();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        read_all(&wire, |bytes| client.read_tls(bytes));
        client.process_new_packets().unwrap();
    }
    (client, server)
}

fn read_all(mut wire: &[u8], mut read: impl FnMut(&mut dyn Read) -> std::io::Result<usize>) {
    while !wire.is_empty() && read(&mut wire).unwrap() > 0 {}
}

/// Nanoseconds for each record: sealed, opened; and for an allocation of a record's size with its free.
fn measure() -> [f64; 3] {
    let (mut client, mut server) = pair();
    let (message, mut plain, mut wire) = ([7u8; BYTES], [0u8; BYTES], Vec::with_capacity(4096));
    let (mut seal_ns, mut open_ns) = (0u64, 0u64);
    for record in 0..RECORDS + 1000 {
        wire.clear();
        let start = Instant::now();
        client.writer().write_all(&message).unwrap();
        client.write_tls(&mut wire).unwrap();
        let sealed = Instant::now();
        read_all(&wire, |bytes| server.read_tls(bytes));
        server.process_new_packets().unwrap();
        server.reader().read_exact(&mut plain).unwrap();
        let opened = Instant::now();
        // The first thousand warm up.
        if record >= 1000 {
            seal_ns += (sealed - start).as_nanos() as u64;
            open_ns += (opened - sealed).as_nanos() as u64;
        }
    }
    assert_eq!(plain, message, "what was sealed is what was opened");
    let start = Instant::now();
    for _ in 0..RECORDS {
        black_box(Vec::<u8>::with_capacity(black_box(BYTES)));
    }
    let alone_ns = start.elapsed().as_nanos() as f64;
    [seal_ns as f64, open_ns as f64, alone_ns].map(|ns| ns / f64::from(RECORDS))
}

fn median(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn main() {
    let role = ROLE.to_str().unwrap();
    if std::env::var_os(role).is_some() {
        let [seal, open, alone] = measure();
        println!("{seal} {open} {alone}");
        return;
    }
    let mut found: [[Vec<f64>; 3]; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (name, columns) in ["system", "mimalloc"].into_iter().zip(&mut found) {
            let output = Command::new(std::env::current_exe().unwrap()).env(role, name).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            for (column, word) in columns.iter_mut().zip(text.split_whitespace()) {
                column.push(word.parse().unwrap());
            }
        }
    }
    println!(
        "{BYTES}-byte records, {ROUNDS} rounds in turns, each {RECORDS} records; two readings of the clock included"
    );
    let [system, mimalloc] = &mut found;
    for (what, (system, mimalloc)) in ["seal", "open", "allocate and free"].iter().zip(system.iter_mut().zip(mimalloc))
    {
        let mut ratios: Vec<f64> = mimalloc.iter().zip(&*system).map(|(ours, theirs)| ours / theirs).collect();
        let ((s, s_min, s_max), (m, m_min, m_max)) = (median(system), median(mimalloc));
        let (ratio, ratio_min, ratio_max) = median(&mut ratios);
        println!(
            "  {what:<18} system {s:>7.1} ns ({s_min:.1} – {s_max:.1})  mimalloc {m:>7.1} ns ({m_min:.1} – {m_max:.1})  \
             ratio {ratio:.3} ({ratio_min:.3} – {ratio_max:.3})"
        );
    }
}
