//! The `tercel` command.

use std::process::ExitCode;

use tercel::runtime::alloc::CountingAlloc;

/// mimalloc, with allocations counted by thread: the summary tells how many the hot threads made.
#[global_allocator]
static ALLOCATOR: CountingAlloc<mimalloc::MiMalloc> = CountingAlloc(mimalloc::MiMalloc);

fn main() -> ExitCode {
    tercel::cli::main()
}
