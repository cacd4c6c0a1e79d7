//! Whole answers, in parallel by blocks of sources: the best paths that avoid given ones, and disjoint ones by
//! successive removal. Pure; threads end before a call returns.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::firsts::Firsts;
use crate::kernel::{Entry, GROUP, KEPT, Least, Scratch, least};
use crate::network::Network;
use crate::pick::{Pair, Taken};
use crate::rows::Rows;
use crate::{ABSENT, AVOID_LIMIT, Malformed, NONE, Relays};

/// So many sources are taken together, while a group of destinations is in the cache.
pub(crate) const SOURCES: usize = 32;

/// `[source][to][path]`: the relays of paths, cheapest first, and what they cost; infinite where there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Paths {
    pub costs: Vec<f32>,
    pub relays: Vec<Relays>,
}

/// Of one source the cheapest single relays to each destination, and first relays to each second one.
pub(crate) struct Candidates {
    pub(crate) singles: Vec<Least>,
    pub(crate) firsts: Firsts,
}

/// Room to work in.
pub(crate) struct Room {
    pub(crate) scratch: Scratch,
    /// `[GROUP]` what paths through second relays cost at least, for a group of destinations.
    bounds: Rows,
    zero: Rows,
}

impl Room {
    pub(crate) fn new(network: &Network) -> Self {
        let mut zero = Rows::new(1, network.last.width());
        zero.set_row(0, std::iter::repeat_n(0.0, network.last.width()));
        Self {
            scratch: Scratch::default(),
            bounds: Rows::new(GROUP, network.last.width()),
            zero,
        }
    }
}

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
        let each = self.n * count;
        let mut paths = Paths::absent(sources.len() * each);
        let blocks = paths
            .costs
            .chunks_mut((SOURCES * each).max(1))
            .zip(paths.relays.chunks_mut((SOURCES * each).max(1)))
            .zip(sources.step_by(SOURCES));
        in_parallel(threads, blocks, |((costs, relays), first)| {
            let mut room = Room::new(self);
            let mut firsts: Vec<Firsts> = Vec::new();
            for source in first..first + costs.len() / each {
                let mut of_source = Firsts::new(self);
                of_source.find(self, source, &mut room.scratch);
                firsts.push(of_source);
            }
            for group in 0..self.n.div_ceil(GROUP) {
                for (number, firsts) in firsts.iter().enumerate() {
                    let source = first + number;
                    let singles = self.singles(source, group, &mut room.scratch);
                    let seconds = self.seconds_to(source, group, firsts, &mut room);
                    for (at, to) in (group * GROUP..self.n).take(GROUP).enumerate() {
                        let pair = Pair {
                            source,
                            to,
                            firsts,
                            singles: &singles[at],
                            seconds: &seconds[at],
                        };
                        let at = number * each + to * count;
                        let place = at..at + count;
                        self.put(&pair, &mut costs[place.clone()], &mut relays[place]);
                    }
                }
            }
        });
        Ok(paths)
    }

    /// The cheapest path of each pair that shares nothing with the pair's paths in `avoid`, `[from][to][path]`.
    pub(crate) fn best(
        &self,
        candidates: &[Candidates],
        avoid: &[Relays],
        threads: usize,
    ) -> Result<Paths, Malformed> {
        let pairs = self.n * self.n;
        let each = avoid.len().checked_div(pairs).unwrap_or(0);
        if each * pairs != avoid.len() || each > AVOID_LIMIT {
            return Err(Malformed("avoid: not [n, n, up to 2]"));
        }
        let mut paths = Paths::absent(pairs);
        self.by_source(&mut paths, candidates, threads, |pair, costs, relays| {
            let mut taken = Taken::new(self, pair.to);
            for &path in &avoid[(pair.source * self.n + pair.to) * each..][..each] {
                taken.avoid(self, path);
            }
            (costs[0], relays[0]) = self.pick(pair, &taken).told(self);
        });
        Ok(paths)
    }

    /// Does the work of each pair, with the place of its paths.
    pub(crate) fn by_source(
        &self,
        paths: &mut Paths,
        candidates: &[Candidates],
        threads: usize,
        work: impl Fn(&Pair<'_>, &mut [f32], &mut [Relays]) + Sync,
    ) {
        let count = paths.costs.len() / (self.n * self.n).max(1);
        let each = (self.n * count).max(1);
        let sources = paths
            .costs
            .chunks_mut(SOURCES * each)
            .zip(paths.relays.chunks_mut(SOURCES * each))
            .zip(candidates.chunks(SOURCES));
        in_parallel(
            threads,
            sources.enumerate(),
            |(block, ((costs, relays), candidates))| {
                let mut room = Room::new(self);
                for group in 0..self.n.div_ceil(GROUP) {
                    for (number, candidates) in candidates.iter().enumerate() {
                        let source = block * SOURCES + number;
                        let seconds = self.seconds_to(source, group, &candidates.firsts, &mut room);
                        for (at, to) in (group * GROUP..self.n).take(GROUP).enumerate() {
                            let pair = candidates.pair(source, to, &seconds[at]);
                            let at = number * each + to * count;
                            let place = at..at + count;
                            work(&pair, &mut costs[place.clone()], &mut relays[place]);
                        }
                    }
                }
            },
        );
    }

    /// All pairs' candidates that do not depend on what is avoided.
    pub(crate) fn candidates(&self, threads: usize) -> Vec<Candidates> {
        let mut found: Vec<Candidates> = (0..self.n)
            .map(|_| Candidates {
                singles: vec![[Entry::NONE; KEPT]; self.n.next_multiple_of(GROUP)],
                firsts: Firsts::new(self),
            })
            .collect();
        in_parallel(
            threads,
            found.chunks_mut(SOURCES).enumerate(),
            |(block, found)| {
                let mut scratch = Scratch::default();
                for group in 0..self.n.div_ceil(GROUP) {
                    for (source, found) in (block * SOURCES..).zip(&mut *found) {
                        let singles = self.singles(source, group, &mut scratch);
                        found.singles[group * GROUP..][..GROUP].copy_from_slice(&singles);
                    }
                }
                for (source, found) in (block * SOURCES..).zip(found) {
                    found.firsts.find(self, source, &mut scratch);
                }
            },
        );
        found
    }

    /// The second relays through which paths to each destination of a group cost least at least.
    pub(crate) fn seconds_to(
        &self,
        source: usize,
        group: usize,
        firsts: &Firsts,
        room: &mut Room,
    ) -> [Least; GROUP] {
        let Some(cap) = &self.cap else {
            return least(
                firsts.cheapest(),
                self.last.group(group),
                None,
                &mut room.scratch,
            );
        };
        for (number, to) in (group * GROUP..self.n).take(GROUP).enumerate() {
            let limit = cap.limit[source * self.n + to];
            room.bounds.fill_row(number, |bounds| {
                let (last, rest) = (self.last.row(to).straight, cap.last.row(to).straight);
                firsts.bounds(last, rest, limit, cap.penalty, bounds);
            });
        }
        least(
            room.zero.row(0),
            room.bounds.group(0),
            None,
            &mut room.scratch,
        )
    }

    /// Puts a pair's disjoint paths in place.
    #[inline]
    pub(crate) fn put(&self, pair: &Pair<'_>, costs: &mut [f32], relays: &mut [Relays]) {
        let mut taken = Taken::new(self, pair.to);
        for (cost, relays) in costs.iter_mut().zip(relays) {
            let pick = self.pick(pair, &taken);
            taken.add(&pick);
            (*cost, *relays) = pick.told(self);
        }
    }
}

impl Candidates {
    pub(crate) fn pair<'a>(&'a self, source: usize, to: usize, seconds: &'a Least) -> Pair<'a> {
        Pair {
            source,
            to,
            firsts: &self.firsts,
            singles: &self.singles[to],
            seconds,
        }
    }
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
