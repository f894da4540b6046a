//! Counts allocations by thread, to show that the hot ones make none.
//!
//! The program installs [`CountingAlloc`] as its global allocator; where nothing did (a library user, most tests),
//! [`is_installed`] says so and the count means nothing.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Allocations and frees of this thread so far, if [`CountingAlloc`] is installed.
#[inline]
pub fn count() -> u64 {
    COUNT.with(Cell::get)
}

/// Whether allocations are counted at all.
pub fn is_installed() -> bool {
    let before = count();
    drop(std::hint::black_box(Box::new(1u8)));
    count() != before
}

#[inline]
fn note() {
    // A thread that is ending has no count any more; nobody will ask for it either.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

/// An allocator that counts, over another one.
pub struct CountingAlloc<A>(pub A);

// SAFETY: every call is passed on to the inner allocator unchanged; counting touches only a thread-local integer with a
// constant initialiser, which does not allocate.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAlloc<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise about `ptr`, `layout` and `new_size` is passed on.
        unsafe { self.0.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promise about `ptr` and `layout` is passed on.
        unsafe { self.0.dealloc(ptr, layout) }
    }
}
