//! What makes a snapshot acceptable, beyond the types of its fields. The schema is in `snapshot`. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::snapshot::{
    CLASSES_MAX, Class, Classifier, Link, Prefix, RELAYS_MAX, Route, SCHEMA, SHARDS_MAX, Snapshot,
    SnapshotError, key_from_hex,
};

/// Datagrams below this size cannot carry a frame with an inner header worth sending.
const MTU_MIN: u16 = 576;

/// The smallest MTU of IPv6 (RFC 8200 § 5).
const MTU_MIN_V6: u16 = 1280;

const WEIGHT_MAX: u16 = 1_000;
/// What all classes together may have ahead of the others.
const PRIORITY_MAX: f64 = 0.9;

impl Snapshot {
    /// Checks everything that one field's type cannot say.
    ///
    /// # Errors
    /// The first field that is wrong, and what would be right.
    pub fn validate(&self) -> Result<(), SnapshotError> {
        ensure(self.schema == SCHEMA, "schema", || {
            format!("{} is unknown; this engine speaks {SCHEMA}", self.schema)
        })?;
        ensure(self.generation > 0, "generation", || {
            "0 means none; count from 1".into()
        })?;
        let psk = key_from_hex(&self.network.psk);
        ensure(psk.is_some(), "network.psk", || "not 64 hex digits".into())?;
        ensure(psk != Some([0; 32]), "network.psk", || {
            "all zeros is no secret".into()
        })?;
        nodes(self)?;
        prefixes_of_nodes(self)?;
        let ids: BTreeMap<u16, bool> = self
            .peers
            .iter()
            .map(|peer| (peer.id, peer.relay))
            .collect();
        links(&self.links, &ids)?;
        classes(&self.classes)?;
        classifiers(&self.classifiers, self.classes.len())?;
        routes(&self.routes, &ids, self.node.id, self.classes.len())
    }
}

fn nodes(snapshot: &Snapshot) -> Result<(), SnapshotError> {
    let mut ids = BTreeSet::from([snapshot.node.id]);
    let mut names = BTreeSet::from([snapshot.node.name.as_str()]);
    let mut keys = BTreeSet::new();
    for (place, peer) in snapshot.peers.iter().enumerate() {
        let field = |name| Field("peers", place, name);
        ensure(ids.insert(peer.id), field("id"), || {
            format!("{} is already the id of another node", peer.id)
        })?;
        ensure(names.insert(&peer.name), field("name"), || {
            format!("{:?} is already the name of another node", peer.name)
        })?;
        let key = key_from_hex(&peer.public_key);
        ensure(key.is_some(), field("public_key"), || {
            "not 64 hex digits".into()
        })?;
        ensure(keys.insert(key), field("public_key"), || {
            "belongs to another peer too".into()
        })?;
        ensure(
            (1..=SHARDS_MAX).contains(&peer.lanes),
            field("lanes"),
            || format!("{} is not within 1..{SHARDS_MAX}", peer.lanes),
        )?;
    }
    for (place, address) in snapshot.node.addresses.iter().enumerate() {
        let covered = snapshot
            .node
            .prefixes
            .iter()
            .any(|prefix| prefix.contains(*address));
        ensure(covered, format_args!("node.addresses[{place}]"), || {
            format!("{address} is in none of node.prefixes")
        })?;
    }
    Ok(())
}

/// Each prefix is well formed, and no address belongs to two nodes.
fn prefixes_of_nodes(snapshot: &Snapshot) -> Result<(), SnapshotError> {
    let mut spans: Vec<(bool, u128, u128, u16, String, Prefix)> = Vec::new();
    let peers = snapshot
        .peers
        .iter()
        .enumerate()
        .map(|(place, peer)| (format!("peers[{place}]"), peer.id, &peer.prefixes));
    let all = std::iter::once(("node".into(), snapshot.node.id, &snapshot.node.prefixes));
    for (owner, id, prefixes) in all.chain(peers) {
        for (place, prefix) in prefixes.iter().enumerate() {
            let field = format!("{owner}.prefixes[{place}]");
            well_formed(prefix, &field)?;
            let (first, last) = prefix.bounds();
            spans.push((prefix.address.is_ipv6(), first, last, id, field, *prefix));
        }
    }
    spans.sort_by_key(|span| (span.0, span.1));
    let mut widest: Option<&(bool, u128, u128, u16, String, Prefix)> = None;
    for span in &spans {
        if let Some(before) = widest.filter(|before| before.0 == span.0 && span.1 <= before.2) {
            ensure(before.3 == span.3, &span.4, || {
                format!(
                    "{} overlaps {} of node {} ({})",
                    String::from(span.5),
                    String::from(before.5),
                    before.3,
                    before.4
                )
            })?;
        }
        if widest.is_none_or(|before| before.0 != span.0 || span.2 > before.2) {
            widest = Some(span);
        }
    }
    Ok(())
}

fn well_formed(prefix: &Prefix, field: impl fmt::Display) -> Result<(), SnapshotError> {
    let first = match prefix.address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    ensure(prefix.bounds().0 == first, field, || {
        format!("{} has bits beyond its length", String::from(*prefix))
    })
}

fn links(links: &[Link], peers: &BTreeMap<u16, bool>) -> Result<(), SnapshotError> {
    let mut ids = BTreeSet::new();
    let mut called = BTreeSet::new();
    let mut calling = BTreeSet::new();
    for (place, link) in links.iter().enumerate() {
        let field = |name| Field("links", place, name);
        ensure(ids.insert(link.id), field("id"), || {
            format!("{} is already the id of another link", link.id)
        })?;
        ensure(peers.contains_key(&link.peer), field("peer"), || {
            format!("{} is not the id of a peer", link.peer)
        })?;
        let new = match link.remote {
            Some(remote) => called.insert((link.uplink, remote, link.lane)),
            None => calling.insert((link.uplink, link.peer, link.lane)),
        };
        ensure(new, field("remote"), || {
            "another link has the same ends and lane".into()
        })?;
        for (name, address) in [("remote", link.remote), ("reflexive", link.reflexive)] {
            let usable = |at: SocketAddr| at.port() != 0 && !at.ip().is_unspecified();
            ensure(address.is_none_or(usable), field(name), || {
                format!(
                    "{} cannot be sent to",
                    address.map_or(String::new(), |at| at.to_string())
                )
            })?;
        }
        let is_v6 = link.remote.is_some_and(|remote| remote.is_ipv6());
        let least = if is_v6 { MTU_MIN_V6 } else { MTU_MIN };
        ensure(link.mtu >= least, field("mtu"), || {
            format!("{} is below {least}, the least that can be used", link.mtu)
        })?;
        ensure(link.rate_bps != Some(0), field("rate_bps"), || {
            "0 would send nothing; leave it out for an estimate".into()
        })?;
    }
    Ok(())
}

fn classes(classes: &[Class]) -> Result<(), SnapshotError> {
    ensure(
        (1..=CLASSES_MAX).contains(&classes.len()),
        "classes",
        || format!("{} classes; 1 to {CLASSES_MAX} are possible", classes.len()),
    )?;
    let mut names = BTreeSet::new();
    let mut ahead = 0.0;
    for (place, class) in classes.iter().enumerate() {
        let field = |name| Field("classes", place, name);
        ensure(names.insert(&class.name), field("name"), || {
            format!("{:?} is already the name of another class", class.name)
        })?;
        let cap = class.repair_cap_ratio;
        ensure(
            (0.0..=4.0).contains(&cap),
            field("repair_cap_ratio"),
            || format!("{cap} is not within 0..4"),
        )?;
        ensure(
            (1..=WEIGHT_MAX).contains(&class.weight),
            field("weight"),
            || format!("{} is not within 1..{WEIGHT_MAX}", class.weight),
        )?;
        ensure(class.priority_ratio >= 0.0, field("priority_ratio"), || {
            format!("{} is below 0", class.priority_ratio)
        })?;
        ahead += class.priority_ratio;
        ensure(ahead <= PRIORITY_MAX, field("priority_ratio"), || {
            format!(
                "with those before it {ahead}, more than {PRIORITY_MAX}: the others would starve"
            )
        })?;
        let mut before = (0, 0, -1.0);
        for (row, entry) in class.repair.iter().enumerate() {
            let field = |name: &str| format!("classes[{place}].repair[{row}].{name}");
            ensure(
                (0.0..=1.0).contains(&entry.loss_ratio),
                field("loss_ratio"),
                || format!("{} is not within 0..1", entry.loss_ratio),
            )?;
            let place = (entry.rounds, entry.window, entry.loss_ratio);
            ensure(place > before, field("loss_ratio"), || {
                "rows have to ascend in rounds, window and loss_ratio".into()
            })?;
            ensure(
                (0.0..=4.0).contains(&entry.repair_ratio),
                field("repair_ratio"),
                || format!("{} is not within 0..4", entry.repair_ratio),
            )?;
            let most = entry.again.iter().copied().fold(0.0, f64::max);
            ensure(
                entry.again.iter().all(|ratio| (0.0..=8.0).contains(ratio)),
                field("again"),
                || format!("{most} is not within 0..8"),
            )?;
            before = place;
        }
    }
    Ok(())
}

fn classifiers(classifiers: &[Classifier], classes: usize) -> Result<(), SnapshotError> {
    for (place, classifier) in classifiers.iter().enumerate() {
        let field = |name| Field("classifiers", place, name);
        class_exists(classifier.class, classes, field("class"))?;
        ensure(
            classifier.dscp.is_none_or(|dscp| dscp < 64),
            field("dscp"),
            || "is not within 0..63".into(),
        )?;
        let prefixes = [
            (&classifier.prefix, "prefix"),
            (&classifier.source, "source"),
            (&classifier.destination, "destination"),
        ];
        for (prefix, name) in prefixes {
            if let Some(prefix) = prefix {
                well_formed(prefix, field(name))?;
            }
        }
    }
    Ok(())
}

fn routes(
    routes: &[Route],
    peers: &BTreeMap<u16, bool>,
    own: u16,
    classes: usize,
) -> Result<(), SnapshotError> {
    let mut known = BTreeSet::new();
    for (place, route) in routes.iter().enumerate() {
        let field = |name| Field("routes", place, name);
        ensure(
            peers.contains_key(&route.destination),
            field("destination"),
            || format!("{} is not the id of a peer", route.destination),
        )?;
        class_exists(route.class, classes, field("class"))?;
        ensure(
            known.insert((route.destination, route.class)),
            field("destination"),
            || format!("class {} already has a route to it", route.class),
        )?;
        ensure(!route.paths.is_empty(), field("paths"), || {
            "a route needs a path".into()
        })?;
        let mut paths = BTreeSet::new();
        for (rank, path) in route.paths.iter().enumerate() {
            let field = Field("routes", place, "paths");
            path_is_walkable(
                path,
                route.destination,
                peers,
                own,
                format_args!("{field}[{rank}]"),
            )?;
            ensure(paths.insert(path), format_args!("{field}[{rank}]"), || {
                "is listed twice".into()
            })?;
        }
    }
    Ok(())
}

fn path_is_walkable(
    path: &[u16],
    destination: u16,
    peers: &BTreeMap<u16, bool>,
    own: u16,
    field: fmt::Arguments<'_>,
) -> Result<(), SnapshotError> {
    ensure(path.last() == Some(&destination), field, || {
        format!("has to end at its destination {destination}")
    })?;
    ensure(path.len() <= RELAYS_MAX + 1, field, || {
        format!("has {} relays; {RELAYS_MAX} are possible", path.len() - 1)
    })?;
    let mut seen = BTreeSet::from([own]);
    for (hop, node) in path.iter().enumerate() {
        ensure(*node != own, format_args!("{field}[{hop}]"), || {
            "is this node itself".into()
        })?;
        ensure(seen.insert(*node), format_args!("{field}[{hop}]"), || {
            format!("node {node} comes twice")
        })?;
        let relay = peers.get(node);
        ensure(relay.is_some(), format_args!("{field}[{hop}]"), || {
            format!("{node} is not the id of a peer")
        })?;
        let passes = hop + 1 == path.len() || relay == Some(&true);
        ensure(passes, format_args!("{field}[{hop}]"), || {
            format!("node {node} is not a relay")
        })?;
    }
    Ok(())
}

fn class_exists(class: u8, classes: usize, field: impl fmt::Display) -> Result<(), SnapshotError> {
    ensure(usize::from(class) < classes, field, || {
        format!("{class} is not the index of one of the {classes} classes")
    })
}

/// A field of the nth entry of a list; its name is written out only where it is at fault, for a snapshot holds thousands.
struct Field(&'static str, usize, &'static str);

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(list, place, name) = self;
        write!(f, "{list}[{place}].{name}")
    }
}

fn ensure(
    holds: bool,
    field: impl fmt::Display,
    problem: impl FnOnce() -> String,
) -> Result<(), SnapshotError> {
    if holds {
        Ok(())
    } else {
        Err(SnapshotError {
            field: field.to_string(),
            problem: problem(),
        })
    }
}
