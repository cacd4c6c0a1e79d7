//! Whole answers, in parallel by blocks of sources: the best paths that avoid given ones, and disjoint ones by
//! successive removal. Pure; threads end before a call returns.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::lists::Lists;
use crate::network::Network;
use crate::pick::{Pick, Row};
use crate::{ABSENT, AVOID_LIMIT, Malformed, NONE, Relays, SINGLES, UNREACHABLE};

/// So many sources are offered a tile while it is in the cache.
const BLOCK: usize = 16;

/// `[source][to][path]`: the relays of paths, cheapest first, and what they cost; infinite where there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Paths {
    pub costs: Vec<f32>,
    pub relays: Vec<Relays>,
}

/// The cheapest single relays of all pairs, by source.
pub(crate) struct Candidates(pub(crate) Vec<Lists<SINGLES>>);

impl Paths {
    pub(crate) fn absent(number: usize) -> Self {
        Self {
            costs: vec![f32::INFINITY; number],
            relays: vec![[ABSENT, NONE]; number],
        }
    }
}

impl Network {
    /// The cheapest `count` disjoint paths (at most [`AVOID_LIMIT`] + 1) of each pair from `sources`.
    pub fn disjoint(
        &self,
        sources: Range<usize>,
        count: usize,
        threads: usize,
    ) -> Result<Paths, Malformed> {
        if sources.end > self.n || sources.start > sources.end {
            return Err(Malformed("sources: not a range of nodes"));
        }
        if !(1..=AVOID_LIMIT + 1).contains(&count) {
            return Err(Malformed("count: not 1 to 3"));
        }
        let per_source = self.n * count;
        let mut paths = Paths::absent(sources.len() * per_source);
        let blocks = paths
            .costs
            .chunks_mut((BLOCK * per_source).max(1))
            .zip(paths.relays.chunks_mut((BLOCK * per_source).max(1)))
            .zip(sources.step_by(BLOCK));
        in_parallel(threads, blocks, |((costs, relays), first)| {
            let block = costs.len() / per_source;
            let mut lists: Vec<_> = (0..block).map(|_| Lists::new(self.width)).collect();
            self.find_singles(first, &mut lists);
            let mut row = Row::default();
            let rows = costs
                .chunks_mut(per_source)
                .zip(relays.chunks_mut(per_source));
            for ((source, lists), (costs, relays)) in (first..).zip(&lists).zip(rows) {
                self.disjoint_row(source, lists, costs, relays, count, &mut row);
            }
        });
        Ok(paths)
    }

    /// The cheapest path of each pair that shares nothing with the pair's paths in `avoid`, `[from][to][path]`.
    pub(crate) fn best(
        &self,
        candidates: &Candidates,
        avoid: &[Relays],
        threads: usize,
    ) -> Result<Paths, Malformed> {
        let pairs = self.n * self.n;
        let each = avoid.len().checked_div(pairs).unwrap_or(0);
        if each * pairs != avoid.len() || each > AVOID_LIMIT {
            return Err(Malformed("avoid: not [n, n, up to 2]"));
        }
        let mut paths = Paths::absent(pairs);
        let rows = paths
            .costs
            .chunks_mut(self.n.max(1))
            .zip(paths.relays.chunks_mut(self.n.max(1)));
        in_parallel(threads, rows.enumerate(), |(source, (costs, relays))| {
            let mut row = Row::default();
            let avoided = |to| &avoid[(source * self.n + to) * each..][..each];
            self.pick_row(source, &candidates.0[source], avoided, &mut row);
            for (to, (cost, relays)) in costs.iter_mut().zip(relays).enumerate() {
                store(row.pick(to), cost, relays);
            }
        });
        Ok(paths)
    }

    pub(crate) fn candidates(&self, threads: usize) -> Candidates {
        let mut lists: Vec<_> = (0..self.n).map(|_| Lists::new(self.width)).collect();
        in_parallel(
            threads,
            lists.chunks_mut(BLOCK).enumerate(),
            |(block, lists)| {
                self.find_singles(block * BLOCK, lists);
            },
        );
        Candidates(lists)
    }

    /// Puts a source's disjoint paths in place, `[to][path]`.
    pub(crate) fn disjoint_row(
        &self,
        source: usize,
        lists: &Lists<SINGLES>,
        costs: &mut [f32],
        relays: &mut [Relays],
        count: usize,
        row: &mut Row,
    ) {
        for path in 0..count {
            let before = &*relays;
            self.pick_row(
                source,
                lists,
                |to| &before[to * count..to * count + path],
                row,
            );
            for to in 0..self.n {
                let at = to * count + path;
                store(row.pick(to), &mut costs[at], &mut relays[at]);
            }
        }
    }
}

pub(crate) fn store(pick: Pick, cost: &mut f32, relays: &mut Relays) {
    *cost = if pick.cost == UNREACHABLE {
        f32::INFINITY
    } else {
        pick.cost
    };
    *relays = pick.relays;
}

/// Does the work of all items with up to `threads` threads, this one among them.
pub(crate) fn in_parallel<T: Send>(
    threads: usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) + Sync,
) {
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
}
