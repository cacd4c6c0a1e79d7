//! A node of the world, with what is kept of it from outside. The calls into it are in `door`. Pure.

use std::net::SocketAddr;

use overlayd_node::Node;
use overlayd_node::snapshot::Snapshot;

use crate::heap::{self, Holding};
use crate::mesh;

pub(crate) struct Host {
    pub(crate) id: u16,
    pub(crate) node: Node,
    pub(crate) tables: Snapshot,
    pub(crate) boot: u64,
    /// As others see them.
    pub(crate) addresses: [SocketAddr; 2],
    /// When the node wants to be called next.
    pub(crate) due: Option<u64>,
    /// What the node has of the heap, and the most that it may have with its tables.
    pub(crate) holding: Holding,
    pub(crate) bound: i64,
}

impl Host {
    pub(crate) fn new(id: u16, seed: u64, now: u64) -> Self {
        let (node, did) = heap::within(|| mesh::node(id, 1, seed, now));
        let mut holding = Holding::default();
        holding.note(did);
        Self {
            id,
            node,
            tables: mesh::tables(id),
            boot: 1,
            addresses: [mesh::underlay(id, 0), mesh::underlay(id, 1)],
            due: None,
            holding,
            bound: 0,
        }
    }
}
