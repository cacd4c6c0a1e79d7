//! What a stretch of work does to the heap: the allocator of this program counts, thread by thread, so that what the nodes hold can be told apart from
//! what the harness around them holds.
//!
//! Called at the one door to the nodes (`door`). What C code takes (keys of the AEAD) is not seen here; the report's resident memory has it. The only
//! place of this crate with `unsafe`: an allocator is so by its trait. Pure otherwise.

#![allow(
    unsafe_code,
    reason = "a global allocator is unsafe by its trait; all it does is passed on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Blocks from this size on are stores: rings for repair, made once for a link and a class and never longer. The rest is where a leak would show.
const STORE: usize = 64 << 10;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static NOW: Cell<Level> = const { Cell::new(Level { all: 0, small: 0, peak: 0 }) };
}

/// Bytes in use by this thread, and the most since `within` began.
#[derive(Clone, Copy)]
struct Level {
    all: i64,
    small: i64,
    peak: i64,
}

/// What one stretch of work did. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// More in use at its end than at its start; less, if negative.
    pub(crate) kept: i64,
    /// Of these, in blocks that are no stores.
    pub(crate) kept_small: i64,
    /// The most that was in use at a time meanwhile, above that at its start.
    pub(crate) peak: i64,
}

/// What somebody holds. Bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holding {
    pub(crate) now: i64,
    /// In blocks that are no stores.
    pub(crate) small: i64,
    /// The most there ever was, within a call too.
    pub(crate) peak: i64,
}

impl Holding {
    /// Takes note of what was done; the most that was held meanwhile.
    pub(crate) fn note(&mut self, did: Use) -> i64 {
        let reached = self.now + did.peak;
        self.peak = self.peak.max(reached);
        self.now += did.kept;
        self.small += did.kept_small;
        reached
    }
}

/// Does some work on this thread; its result, and what it did to the heap.
pub(crate) fn within<T>(work: impl FnOnce() -> T) -> (T, Use) {
    let start = NOW.get();
    NOW.set(Level {
        peak: start.all,
        ..start
    });
    let result = work();
    let end = NOW.get();
    let did = Use {
        kept: end.all - start.all,
        kept_small: end.small - start.small,
        peak: end.peak - start.all,
    };
    (result, did)
}

fn count(more: usize, less: usize) {
    let small = |size: usize| if size < STORE { size as i64 } else { 0 };
    // A thread that is about to end is of no interest.
    let _ = NOW.try_with(|now| {
        let mut level = now.get();
        level.all += more as i64 - less as i64;
        level.small += small(more) - small(less);
        level.peak = level.peak.max(level.all);
        now.set(level);
    });
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as our caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_and_what_is_only_passed_through_are_told_apart() {
        let (kept, did) = within(|| {
            drop(std::hint::black_box(vec![1u8; 3_000]));
            std::hint::black_box(vec![0u8; 1_000])
        });
        assert_eq!((did.kept, did.kept_small, did.peak), (1_000, 1_000, 3_000));
        let ((), did) = within(|| drop(kept));
        assert_eq!((did.kept, did.kept_small, did.peak), (-1_000, -1_000, 0));
    }

    #[test]
    fn a_store_is_not_among_the_small_and_a_block_may_grow_into_one() {
        let (mut bytes, did) = within(|| vec![0u8; 1_000]);
        assert_eq!((did.kept, did.kept_small), (1_000, 1_000));
        let ((), did) = within(|| bytes.reserve_exact(STORE));
        assert_eq!((did.kept, did.kept_small), (STORE as i64, -1_000));
    }

    #[test]
    fn a_holding_knows_its_peak_between_two_looks() {
        let mut holding = Holding::default();
        for (kept, peak, reached) in [(100, 500, 500), (-20, 10, 110)] {
            let did = Use {
                kept,
                kept_small: kept,
                peak,
            };
            assert_eq!(holding.note(did), reached);
        }
        assert_eq!((holding.now, holding.small, holding.peak), (80, 80, 500));
    }
}
