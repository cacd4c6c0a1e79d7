//! What kernels take and give. Nothing here decides. Pure.

use crate::AVOID_LIMIT;
use crate::rows::{LINE, Line};

/// So many destinations are taken together by the sieve.
pub(crate) const TILE: usize = 16;

/// How many single relays are found for each pair, and first ones for each second one.
pub(crate) const KEPT: usize = 4;

/// A run: as many relays as there are in one line.
pub(crate) const RUN: usize = LINE;

/// So many destinations are taken together when paths through second relays are chosen.
pub(crate) const LANES: usize = 8;

/// What can be known of a source's ways: one bit each.
pub(crate) const WORDS: usize = 8;

/// How many lists there are to each second relay, where there is a cap.
pub(crate) const LEVELS: usize = 7;

/// Of each destination one.
pub(crate) type Floats = [f32; LANES];
pub(crate) type Bits = [u32; LANES];

/// What is compiled for the CPU that it runs on: all of it that is inlined.
pub(crate) trait Work {
    fn run(self);
}

/// A column and its sum in one number, in the order of sums and then of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry(u64);

/// The least entries, the least first; [`Entry::NONE`] where there are no more.
pub(crate) type Least = [Entry; KEPT];

impl Entry {
    pub(crate) const NONE: Self = Self(u64::MAX);

    #[inline(always)]
    pub(crate) fn new(sum: f32, column: usize) -> Self {
        Self(u64::from(sum.to_bits()) << 32 | column as u64)
    }

    pub(crate) fn some(self) -> Option<Self> {
        Some(self).filter(|&entry| entry != Self::NONE)
    }

    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        f32::from_bits((self.0 >> 32) as u32)
    }

    /// The column and the bits of the sum; all ones where there is none.
    #[inline(always)]
    pub(crate) fn halves(self) -> [u32; 2] {
        [self.0 as u32, (self.0 >> 32) as u32]
    }

    #[inline(always)]
    pub(crate) fn column(self) -> usize {
        self.0 as u32 as usize
    }
}

/// 16-bit lower bounds for the destinations of a tile, at one relay.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(32))]
pub(crate) struct Lows(pub(crate) [u16; TILE]);

/// What is summed to sieve: each relay's lower bound from the source, in both halves of a number, and to the
/// destinations of a tile.
#[derive(Clone, Copy)]
pub(crate) struct Sums<'a> {
    pub(crate) base: &'a [u32],
    pub(crate) tile: &'a [Lows],
}

/// Second sums: a relay is out where they are surely above the limit. All are 15 bits.
#[derive(Clone, Copy)]
pub(crate) struct Limited<'a> {
    pub(crate) sums: Sums<'a>,
    pub(crate) limits: [i16; TILE],
}

/// The runs with the least sums, the least first, for each destination of a tile: the sum in the upper half, the run's
/// number in the lower one; `u32::MAX` where there are no more runs.
pub(crate) type Runs = [[u32; TILE]; KEPT + 1];

/// What a tile's sums are, beyond their lower bounds: the source's row and those of the destinations; where there is a
/// limit, second rows, and the penalty for a second sum that is above.
#[derive(Clone, Copy)]
pub(crate) struct Exact<'a> {
    pub(crate) base: &'a [Line],
    pub(crate) rows: [&'a [Line]; TILE],
    pub(crate) limited: Option<ExactLimited<'a>>,
}

#[derive(Clone, Copy)]
pub(crate) struct ExactLimited<'a> {
    pub(crate) base: &'a [Line],
    pub(crate) rows: [&'a [Line]; TILE],
    pub(crate) limits: [f32; TILE],
    pub(crate) penalty: f32,
}

/// A source's ways to second relays and through them: what each costs, and the place of its second relay.
#[derive(Clone, Copy)]
pub(crate) struct Ways<'a> {
    pub(crate) costs: &'a [f32],
    pub(crate) seconds: &'a [u32],
}

/// For some destinations the ways that are blocked; a word's first way is in its highest bit.
pub(crate) type Blocked = [[u32; LANES]; WORDS];

/// No way.
pub(crate) const NO_WAY: u32 = u32::MAX;

/// Relays that can be taken while there is still a path to be chosen: the destination, and those of earlier paths.
pub(crate) const TAKEN: usize = 1 + 2 * AVOID_LIMIT;

/// Nobody, as a relay.
pub(crate) const NOBODY: u32 = 0xFFFF;

/// Nobody as the first relay, in the lower half, and as the second one.
pub(crate) const STRAIGHT: u32 = NOBODY << 16 | NOBODY;

/// What may be used.
#[derive(Debug)]
pub(crate) struct Free {
    /// The direct path's cost; infinite where it is taken, or is no path.
    pub(crate) direct: Floats,
    /// Positions, or nobody.
    pub(crate) taken: [Bits; TAKEN],
}

impl Free {
    #[inline(always)]
    pub(crate) fn new(direct: Floats, destinations: Bits) -> Self {
        let mut taken = [[NOBODY; LANES]; TAKEN];
        taken[0] = destinations;
        Self { direct, taken }
    }

    #[inline(always)]
    pub(super) fn has(&self, lane: usize, relay: u32) -> bool {
        self.taken.iter().any(|slot| slot[lane] == relay)
    }
}

/// Lists of single relays.
#[derive(Debug)]
pub(crate) struct SingleLists {
    /// Columns and sums in turns; columns all ones where there is nothing.
    pub(crate) entries: [Bits; 2 * KEPT],
    /// What all others cost at least.
    pub(crate) beyond: Floats,
}

/// The cheapest short paths.
#[derive(Debug, PartialEq)]
pub(crate) struct Short {
    pub(crate) costs: Floats,
    pub(crate) relays: Bits,
    /// What one costs at least that is in no list, where none of the list is free.
    pub(crate) rests: Floats,
}

/// To one second relay: for each level the RTT that it reaches, and what the cheapest first relay within it costs at
/// least; the least RTT of all.
#[derive(Clone, Copy)]
pub(crate) struct Reaches {
    pub(crate) limits: [f32; LEVELS],
    pub(crate) costs: [f32; LEVELS],
    pub(crate) nearest: f32,
}

/// By second relay how far first ones reach, and what the cost and the RTT from it on are to each of some destinations,
/// whose limits are of RTT.
#[derive(Clone, Copy)]
pub(crate) struct Reach<'a> {
    pub(crate) reaches: &'a [Reaches],
    pub(crate) last: &'a [Floats],
    pub(crate) rest: &'a [Floats],
    pub(crate) limits: &'a Floats,
    pub(crate) penalty: f32,
}

/// Second rows and a limit for their sums with `rest`: where one is above, the first sum is `penalty` more.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) rows: [&'a [Line]; 2],
    pub(crate) rest: f32,
    pub(crate) limit: f32,
    pub(crate) penalty: f32,
}

/// The number of the run that a key stands for.
#[inline(always)]
pub(crate) fn number_of(key: u32) -> Option<usize> {
    (key != u32::MAX).then_some((key & 0xFFFF) as usize)
}

#[inline(always)]
pub(crate) fn insert(least: &mut Least, mut entry: Entry) {
    for place in least {
        let (lower, higher) = (entry.min(*place), entry.max(*place));
        *place = lower;
        entry = higher;
    }
}
