//! A snapshot cut by shard: what of the complete tables the node of one shard gets.
//!
//! Shard *i* of a node talks to shard *i* of each other: at the UDP port *i* above the endpoint's, in handshakes of a lane of its own. So the
//! shards of a mesh are meshes beside each other that share nothing, and whatever a path takes has to stand in the shard's own: a node with
//! fewer shards is not there. What a shard has no way for is shard 0's to carry. Called by shells. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::snapshot::{Link, Route, Snapshot};

/// A byte on the wire: the shard, and which of the uplinks that cannot be called.
pub(crate) fn of_shard(uplink: u8, shard: u8) -> u8 {
    shard << 4 | uplink & 0xf
}

impl Snapshot {
    /// The tables of one shard. Those of shard 0 are complete.
    ///
    /// A link with a configured rate is shard 0's alone: a rate divided would slow each flow, and a rate shared would tie the shards together.
    /// A route is a shard's only together with its first path, for a worse path is no reason to leave a better one.
    pub fn of_shard(&self, shard: u8) -> Self {
        let mut cut = self.clone();
        if shard == 0 {
            return cut;
        }
        let there: BTreeSet<u16> = self
            .peers
            .iter()
            .filter(|peer| peer.lanes > shard)
            .map(|peer| peer.id)
            .collect();
        cut.links = self
            .links
            .iter()
            .filter(|link| there.contains(&link.peer))
            .filter_map(|link| link_of(link, shard))
            .collect();
        let linked: BTreeSet<u16> = cut.links.iter().map(|link| link.peer).collect();
        let stands = |path: &Vec<u16>| {
            path.first().is_some_and(|first| linked.contains(first))
                && path.iter().all(|node| there.contains(node))
        };
        cut.routes = self
            .routes
            .iter()
            .filter(|route| route.paths.first().is_some_and(stands))
            .map(|route| Route {
                paths: route
                    .paths
                    .iter()
                    .filter(|path| stands(path))
                    .cloned()
                    .collect(),
                ..route.clone()
            })
            .collect();
        cut
    }
}

/// `None`: the shard does not have it.
fn link_of(link: &Link, shard: u8) -> Option<Link> {
    let above = |at: SocketAddr| {
        let port = at.port().checked_add(shard.into())?;
        Some(SocketAddr::new(at.ip(), port))
    };
    let remote = match link.remote {
        Some(remote) => Some(above(remote)?),
        None => None,
    };
    link.rate_bps.is_none().then(|| Link {
        remote,
        // A NAT that keeps ports keeps them for all shards; behind another one shard 0 carries what is for the peer.
        reflexive: link.reflexive.and_then(above),
        lane: of_shard(link.lane, shard),
        ..link.clone()
    })
}
