//! Tables of the packet path, built from a checked snapshot: addresses to nodes, nodes to their place, classes, classifiers, routes.
//!
//! Immutable once built; a new snapshot builds new ones beside the old. State that outlives a snapshot (links, sessions, paths) is not here. Pure.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::snapshot::{Classifier, Prefix, Snapshot};

/// Six bits.
const CODE_POINTS: u8 = 64;

/// Who an inner address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Here,
    /// A peer, by its id.
    Peer(u16),
}

#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) generation: u64,
    pub(crate) id: u16,
    pub(crate) relay: bool,
    /// Those that ask for a code point, and those that ask for none, by code point.
    classifiers: Vec<Vec<Classifier>>,
    /// Of the peer with each id, among the peers in the order of their ids.
    places: Vec<Option<u16>>,
    /// Disjoint and ascending.
    v4: Vec<Span<u32>>,
    v6: Vec<Span<u128>>,
}

#[derive(Clone, Copy, Debug)]
struct Span<Address> {
    first: Address,
    last: Address,
    owner: Owner,
}

impl Tables {
    /// Of a snapshot that has passed validation: prefixes of different nodes do not overlap.
    pub(crate) fn build(snapshot: &Snapshot) -> Self {
        let mut tables = Self {
            generation: snapshot.generation,
            id: snapshot.node.id,
            relay: snapshot.node.relay,
            classifiers: by_code_point(&snapshot.classifiers),
            places: places(snapshot),
            v4: Vec::new(),
            v6: Vec::new(),
        };
        tables.add(&snapshot.node.prefixes, Owner::Here);
        for peer in &snapshot.peers {
            tables.add(&peer.prefixes, Owner::Peer(peer.id));
        }
        merge(&mut tables.v4);
        merge(&mut tables.v6);
        tables
    }

    pub(crate) fn owner(&self, address: IpAddr) -> Option<Owner> {
        match address {
            IpAddr::V4(address) => find(&self.v4, address.to_bits()),
            IpAddr::V6(address) => find(&self.v6, address.to_bits()),
        }
    }

    /// Place of a peer in the order of their ids.
    #[inline]
    pub(crate) fn peer_place(&self, id: u16) -> Option<usize> {
        self.places.get(usize::from(id))?.map(usize::from)
    }

    /// The classifiers that a packet with this code point can match, in order.
    #[inline]
    pub(crate) fn classifiers(&self, dscp: u8) -> &[Classifier] {
        self.classifiers
            .get(usize::from(dscp))
            .map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, prefixes: &[Prefix], owner: Owner) {
        for prefix in prefixes {
            let (first, last) = prefix.bounds();
            if prefix.address.is_ipv4() {
                let (first, last) = (first as u32, last as u32);
                self.v4.push(Span { first, last, owner });
            } else {
                self.v6.push(Span { first, last, owner });
            }
        }
    }
}

/// Sorts, and drops what lies within another span (of the same owner, as validated).
fn merge<Address: Copy + Ord>(spans: &mut Vec<Span<Address>>) {
    spans.sort_by_key(|span| (span.first, Reverse(span.last)));
    spans.dedup_by(|next, kept| next.last <= kept.last);
}

fn find<Address: Copy + Ord>(spans: &[Span<Address>], address: Address) -> Option<Owner> {
    let after = spans.partition_point(|span| span.first <= address);
    let span = spans.get(after.checked_sub(1)?)?;
    (address <= span.last).then_some(span.owner)
}

fn by_code_point(classifiers: &[Classifier]) -> Vec<Vec<Classifier>> {
    let of = |dscp| {
        let rules = classifiers.iter();
        rules
            .filter(|rule| rule.dscp.is_none_or(|asked| asked == dscp))
            .cloned()
            .collect()
    };
    (0..CODE_POINTS).map(of).collect()
}

fn places(snapshot: &Snapshot) -> Vec<Option<u16>> {
    let mut ids: Vec<u16> = snapshot.peers.iter().map(|peer| peer.id).collect();
    ids.sort_unstable();
    let mut places = vec![None; ids.last().map_or(0, |last| usize::from(*last) + 1)];
    for (place, id) in (0..).zip(ids) {
        places[usize::from(id)] = Some(place);
    }
    places
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn table(prefixes: &[(&str, Owner)]) -> Tables {
        let mut tables = Tables::default();
        for (text, owner) in prefixes {
            tables.add(&[Prefix::try_from(text.to_string()).unwrap()], *owner);
        }
        merge(&mut tables.v4);
        merge(&mut tables.v6);
        tables
    }

    #[test]
    fn an_address_finds_the_node_whose_prefix_covers_it() {
        let tables = table(&[
            ("10.0.0.0/8", Owner::Peer(7)),
            ("10.1.2.3/32", Owner::Peer(7)),
            ("192.168.1.0/24", Owner::Here),
            ("fd00::/64", Owner::Peer(3)),
        ]);
        let owner = |text: &str| tables.owner(text.parse().unwrap());
        assert_eq!(owner("10.255.255.255"), Some(Owner::Peer(7)));
        assert_eq!(owner("10.1.2.3"), Some(Owner::Peer(7)));
        assert_eq!(owner("10.1.2.4"), Some(Owner::Peer(7)));
        assert_eq!(owner("192.168.1.0"), Some(Owner::Here));
        assert_eq!(owner("192.168.2.0"), None);
        assert_eq!(owner("9.255.255.255"), None);
        assert_eq!(owner("fd00::1"), Some(Owner::Peer(3)));
        assert_eq!(owner("fd00:0:0:1::"), None);
        assert_eq!(owner("::a00:1"), None);
    }
}
