//! What the paths of one source are chosen from. Pure.

use crate::firsts::Firsts;
use crate::kernel::TILE;
use crate::network::Network;
use crate::pick::Pair;
use crate::sums::Shortlist;

/// Of one source the cheapest single relays to each destination, and first relays to each second one.
pub(crate) struct Candidates {
    /// Empty where `Network::has_singles` says so.
    pub(crate) singles: Vec<Shortlist>,
    pub(crate) firsts: Firsts,
}

impl Candidates {
    /// Empty lists.
    pub(crate) fn new(network: &Network) -> Self {
        let singles = if network.has_singles() {
            network.n.next_multiple_of(TILE)
        } else {
            0
        };
        Self {
            singles: vec![Shortlist::NONE; singles],
            firsts: Firsts::new(network),
        }
    }

    #[inline]
    pub(crate) fn pair(&self, source: usize, to: usize) -> Pair<'_> {
        Pair {
            source,
            to,
            firsts: &self.firsts,
            singles: self.singles.get(to),
        }
    }
}
