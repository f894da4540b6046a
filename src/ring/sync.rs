//! The seam: whether "atomic" means std or loom is decided here and nowhere else.

#[cfg(loom)]
pub(super) use loom::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
pub(super) use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};

#[cfg(loom)]
pub(super) use loom::cell::UnsafeCell;

/// `std`'s cell with loom's interface, which sees each access begin and end.
#[cfg(not(loom))]
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(super) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub(super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A bit that any thread may set and any thread may read: stop requests, "this thread is done".
#[derive(Clone, Debug)]
pub struct Flag(Arc<AtomicU64>);

impl Flag {
    /// Makes a flag that is not set.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// Sets it. What this thread wrote before is visible to whoever sees it set.
    pub fn set(&self) {
        // Pairs with the Acquire load in `is_set`.
        self.0.store(1, Ordering::Release);
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        // Pairs with the Release store in `set`.
        self.0.load(Ordering::Acquire) != 0
    }
}

impl Default for Flag {
    fn default() -> Self {
        Self::new()
    }
}

/// One number that its holders share: virtual time, which one of them sets and all of them read.
#[derive(Clone, Debug)]
pub struct Word(Arc<AtomicU64>);

impl Word {
    /// Makes it with a first value.
    pub fn new(value: u64) -> Self {
        Self(Arc::new(AtomicU64::new(value)))
    }

    /// Replaces the value. What this thread wrote before is visible to whoever reads it.
    pub fn set(&self, value: u64) {
        // Pairs with the Acquire load in `get`.
        self.0.store(value, Ordering::Release);
    }

    /// The latest value.
    #[inline]
    pub fn get(&self) -> u64 {
        // Pairs with the Release store in `set`.
        self.0.load(Ordering::Acquire)
    }
}

/// Tells the processor that this thread is waiting in a loop.
#[inline]
pub fn spin_hint() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::hint::spin_loop();
}
