//! Whole answers, in parallel by blocks of sources: the best paths that avoid given ones, and disjoint ones by
//! successive removal. Pure; threads end before a call returns.

use std::ops::Range;

use crate::candidates::Candidates;
use crate::choose::{Chooser, Place};
use crate::kernel::TILE;
use crate::network::Network;
use crate::parallel::in_parallel;
use crate::{ABSENT, AVOID_LIMIT, Malformed, NONE, Relays};

/// So many sources are taken together, while a group of destinations is in the cache.
pub(crate) const SOURCES: usize = 32;

/// `[source][to][path]`: the relays of paths, cheapest first, and what they cost; infinite where there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paths {
    pub costs: Vec<f32>,
    pub relays: Vec<Relays>,
}

impl Paths {
    pub(crate) fn absent(number: usize) -> Self {
        Self {
            costs: vec![f32::INFINITY; number],
            relays: vec![[ABSENT, NONE]; number],
        }
    }

    /// The places of blocks of sources.
    fn by_sources(&mut self, each: usize) -> impl Iterator<Item = Place<'_>> + Send {
        let costs = self.costs.chunks_mut((SOURCES * each).max(1));
        let relays = self.relays.chunks_mut((SOURCES * each).max(1));
        costs
            .zip(relays)
            .map(|(costs, relays)| Place { costs, relays })
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
        self.check(&sources, count)?;
        let each = self.n * count;
        let mut paths = Paths::absent(sources.len() * each);
        self.disjoint_into(sources, count, threads, &mut paths)?;
        Ok(paths)
    }

    /// The same, in the place of other paths.
    pub fn disjoint_into(
        &self,
        sources: Range<usize>,
        count: usize,
        threads: usize,
        paths: &mut Paths,
    ) -> Result<(), Malformed> {
        self.check(&sources, count)?;
        let each = self.n * count;
        paths.costs.resize(sources.len() * each, f32::INFINITY);
        paths.relays.resize(sources.len() * each, [ABSENT, NONE]);
        let places = paths.by_sources(each).zip(sources.step_by(SOURCES));
        in_parallel(threads, places, |(place, first)| {
            let mut candidates: Vec<Candidates> = Vec::new();
            candidates.resize_with(place.costs.len() / each, || Candidates::new(self));
            self.find(first, &mut candidates);
            self.choose(first, &candidates, &[], place);
        });
        Ok(())
    }

    fn check(&self, sources: &Range<usize>, count: usize) -> Result<(), Malformed> {
        if sources.end > self.n || sources.start > sources.end {
            return Err(Malformed("sources: not a range of nodes"));
        }
        if !(1..=AVOID_LIMIT + 1).contains(&count) {
            return Err(Malformed("count: not 1 to 3"));
        }
        Ok(())
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
        Ok(self.chosen(candidates, avoid, 1, threads))
    }

    /// So many disjoint paths of all pairs, which share nothing with the pair's paths in `avoid`.
    pub(crate) fn chosen(
        &self,
        candidates: &[Candidates],
        avoid: &[Relays],
        count: usize,
        threads: usize,
    ) -> Paths {
        let mut paths = Paths::absent(self.n * self.n * count);
        let places = paths.by_sources(self.n * count);
        let places = places.zip(candidates.chunks(SOURCES)).enumerate();
        in_parallel(threads, places, |(block, (place, candidates))| {
            self.choose(block * SOURCES, candidates, avoid, place);
        });
        paths
    }

    fn choose(&self, first: usize, candidates: &[Candidates], avoid: &[Relays], place: Place<'_>) {
        let mut chooser = Chooser::new(self);
        let each = place.costs.len() / candidates.len();
        let places = place.costs.chunks_mut(each);
        let places = places.zip(place.relays.chunks_mut(each));
        let avoided = avoid.len() / self.n;
        for ((source, candidates), (costs, relays)) in (first..).zip(candidates).zip(places) {
            let avoid = &avoid[source * avoided..][..avoided];
            let place = Place { costs, relays };
            chooser.all(source, candidates, avoid, place);
        }
    }

    /// All pairs' candidates that do not depend on what is avoided.
    pub(crate) fn candidates(&self, threads: usize) -> Vec<Candidates> {
        let mut found: Vec<Candidates> = (0..self.n).map(|_| Candidates::new(self)).collect();
        in_parallel(
            threads,
            found.chunks_mut(SOURCES).enumerate(),
            |(block, found)| {
                self.find(block * SOURCES, found);
            },
        );
        found
    }

    /// Finds those of a few sources that follow one another.
    pub(crate) fn find(&self, first: usize, found: &mut [Candidates]) {
        for tile in 0..self.n.div_ceil(TILE) {
            for (source, found) in (first..).zip(&mut *found) {
                if let Some(singles) = found.singles.get_mut(tile * TILE..(tile + 1) * TILE) {
                    singles.copy_from_slice(&self.singles(source, tile));
                }
            }
        }
        for (source, found) in (first..).zip(found) {
            found.firsts.find(self, source);
        }
    }
}
