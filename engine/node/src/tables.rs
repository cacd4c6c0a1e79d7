//! Tables of the packet path, built from a checked snapshot: addresses to nodes, nodes to their place, classes, classifiers, routes.
//!
//! Immutable once built; a new snapshot builds new ones beside the old. State that outlives a snapshot (links, sessions, paths) is not here. Pure.

use std::net::IpAddr;

use crate::snapshot::{Classifier, Prefix, Snapshot};

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
    pub(crate) classifiers: Vec<Classifier>,
    /// Disjoint and ascending.
    v4: Vec<Span>,
    v6: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    first: u128,
    last: u128,
    owner: Owner,
}

impl Tables {
    /// Of a snapshot that has passed validation: prefixes of different nodes do not overlap.
    pub(crate) fn build(snapshot: &Snapshot) -> Self {
        let mut tables = Self {
            generation: snapshot.generation,
            id: snapshot.node.id,
            relay: snapshot.node.relay,
            classifiers: snapshot.classifiers.clone(),
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
        let (spans, number) = match address {
            IpAddr::V4(address) => (&self.v4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (&self.v6, address.to_bits()),
        };
        let after = spans.partition_point(|span| span.first <= number);
        let span = spans.get(after.checked_sub(1)?)?;
        (number <= span.last).then_some(span.owner)
    }

    fn add(&mut self, prefixes: &[Prefix], owner: Owner) {
        for prefix in prefixes {
            let (first, last) = prefix.bounds();
            let spans = if prefix.address.is_ipv4() {
                &mut self.v4
            } else {
                &mut self.v6
            };
            spans.push(Span { first, last, owner });
        }
    }
}

/// Sorts, and drops what lies within another span (of the same owner, as validated).
fn merge(spans: &mut Vec<Span>) {
    spans.sort_by_key(|span| (span.first, u128::MAX - span.last));
    spans.dedup_by(|next, kept| next.last <= kept.last);
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
