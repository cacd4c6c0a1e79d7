//! All sets of paths of a node, in an order that is found quickly. Which paths live, and when to change, is `path`'s. Pure.

use std::collections::BTreeSet;

use crate::Nanos;
use crate::dues::Dues;
use crate::path::{Path, PathSet};

const NONE: u32 = u32::MAX;

/// All sets of paths of this node.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Ascending by (destination, class).
    pub(crate) sets: Vec<PathSet>,
    /// When each of `sets` wants to be tended.
    pub(crate) dues: Dues,
    /// By place of peer × number of classes + class: place in `sets`.
    places: Vec<u32>,
    classes: usize,
}

impl Routes {
    /// `peers`: ids, ascending.
    pub(crate) fn new(mut sets: Vec<PathSet>, peers: &[u16], classes: usize, now: Nanos) -> Self {
        sets.sort_by_key(|set| (set.destination, set.class));
        let mut places = vec![NONE; peers.len() * classes];
        for (place, set) in sets.iter().enumerate() {
            if let Ok(peer) = peers.binary_search(&set.destination) {
                places[peer * classes + usize::from(set.class)] = place as u32;
            }
        }
        let mut routes = Self {
            dues: Dues::new(sets.len(), now),
            sets,
            places,
            classes,
        };
        for destination in peers {
            routes.name_paths(*destination);
        }
        routes
    }

    /// Gives each path with relays a slot; those that have one keep it.
    fn name_paths(&mut self, destination: u16) {
        let range = self.places_to(destination);
        let paths = || self.sets[range.clone()].iter().flat_map(|set| &set.paths);
        let taken: BTreeSet<u8> = paths().filter_map(|path| path.slot).collect();
        let mut free = (0..u8::MAX).filter(|slot| !taken.contains(slot));
        for path in self.sets[range].iter_mut().flat_map(|set| &mut set.paths) {
            if path.slot.is_none() && !path.is_direct() {
                path.slot = free.next();
            }
        }
    }

    /// The set for a destination's class; a class without one of its own takes the first class's.
    pub(crate) fn find(&self, peer: usize, class: u8) -> Option<usize> {
        let at = |class: usize| {
            let place = self.places.get(peer * self.classes + class)?;
            (*place != NONE).then_some(*place as usize)
        };
        at(class.into()).or_else(|| at(0))
    }

    pub(crate) fn place_of(&self, (destination, class): (u16, u8)) -> Option<usize> {
        self.sets
            .binary_search_by_key(&(destination, class), |set| (set.destination, set.class))
            .ok()
    }

    /// Set and place in it of the path that probes to a destination call by this slot.
    pub(crate) fn named(&self, destination: u16, slot: u8) -> Option<(usize, usize)> {
        self.places_to(destination).find_map(|set| {
            let path = self.sets[set]
                .paths
                .iter()
                .position(|path| path.slot == Some(slot))?;
            Some((set, path))
        })
    }

    pub(crate) fn paths_to(&self, destination: u16) -> impl Iterator<Item = &Path> + Clone {
        self.places_to(destination)
            .flat_map(|set| &self.sets[set].paths)
    }

    /// The verdict of `since` on a first hop, by its place among the peers, was wrong.
    pub(crate) fn take_back(&mut self, via: usize, since: Nanos) {
        let paths = self.sets.iter_mut().flat_map(|set| &mut set.paths);
        for path in paths.filter(|path| path.via == via) {
            path.take_back(since);
        }
    }

    /// All routes to a destination want to be tended at once.
    pub(crate) fn hurry(&mut self, destination: u16, now: Nanos) {
        for set in self.places_to(destination) {
            self.dues.set(set, now);
            self.sets[set].hurry(now);
        }
    }

    fn places_to(&self, destination: u16) -> std::ops::Range<usize> {
        let from = self
            .sets
            .partition_point(|set| set.destination < destination);
        let to = self
            .sets
            .partition_point(|set| set.destination <= destination);
        from..to
    }
}
