//! The node: what a shell may call. The order of a packet's stages is in `pipeline`; state lives in the parts named here. Pure.

use std::sync::Arc;

use crate::bucket::HandshakeBucket;
use crate::counters::Tally;
use crate::dues::Dues;
use crate::link::Link;
use crate::open_run::OpenRun;
use crate::order::{Order, Parcel};
use crate::pace::Pace;
use crate::packet::{Datagram, Packet};
use crate::peer::Peer;
use crate::queue::Share;
use crate::repair::{Policy, Restored};
use crate::routes::Routes;
use crate::session::{Random, Sessions};
use crate::tables::Tables;
use crate::{Counters, Nanos, Output, Snapshot, SnapshotError};

/// A timer that is served later than this was late for want of a processor.
const STALL: Nanos = 10_000_000;

/// What a node is born with. Everything else comes by snapshot.
#[derive(Clone)]
pub struct NodeConfig {
    /// X25519 private key of this node.
    pub private_key: [u8; 32],
    /// How often this node has started: persisted by the shell, larger at each start.
    pub boot: u64,
    /// Source of all randomness (ephemeral keys, indices, jitter). A live shell takes it from the system.
    pub seed: [u8; 32],
    /// Report session keys as events (for a capture tool).
    pub key_log: bool,
}

/// The packet engine of one node; the crate's page says how to drive it.
pub struct Node {
    /// Number of the shard whose node it is.
    pub(crate) shard: u8,
    pub(crate) output: Output,
    pub(crate) tally: Tally,
    /// As it was applied; `None`: nothing yet, all is dropped.
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) tables: Tables,
    /// Of each class.
    pub(crate) policies: Vec<Policy>,
    pub(crate) shares: Arc<[Share]>,
    pub(crate) sessions: Sessions,
    /// A link keeps its place, which is its number towards `sessions`, for life.
    pub(crate) links: Vec<Option<Box<Link>>>,
    /// How many links there have been.
    pub(crate) numberings: u16,
    /// When each link wants to be tended.
    pub(crate) links_due: Dues,
    /// Places of links whose due time may have come nearer.
    pub(crate) touched: Vec<usize>,
    /// Ascending by id.
    pub(crate) peers: Vec<Peer>,
    pub(crate) routes: Routes,
    pub(crate) pace: Pace,
    pub(crate) random: Random,
    pub(crate) relayed_handshakes: HandshakeBucket,
    /// This call is so late that no verdict on liveness may fall.
    pub(crate) stalled: bool,
    pub(crate) reports_at: Nanos,
    pub(crate) reports: u64,
    /// Reused for what is copied once more: restored frames, joined pieces, repair symbols.
    pub(crate) scratch: Vec<u8>,
    /// Reused for one packet of a super-packet that has to go in pieces.
    pub(crate) cut_packet: Vec<u8>,
    /// Reused for a packet that opens a connection.
    pub(crate) opening: Vec<u8>,
    pub(crate) restored: Restored,
    pub(crate) open_run: Option<OpenRun>,
    pub(crate) order: Order,
    /// Reused for the flows whose packets wait.
    pub(crate) waiting_flows: Vec<(u32, Parcel)>,
    /// No packet that waits for a session is given up before.
    pub(crate) waiting_until: Option<Nanos>,
}

impl Node {
    pub fn new(config: NodeConfig, now: Nanos) -> Self {
        let mut random = Random::new(config.seed);
        let sessions = Sessions::new(
            config.private_key,
            config.boot,
            random.fork(),
            config.key_log,
            now,
        );
        Self {
            shard: 0,
            output: Output::default(),
            tally: Tally::default(),
            snapshot: None,
            tables: Tables::default(),
            policies: Vec::new(),
            shares: Arc::default(),
            sessions,
            links: Vec::new(),
            numberings: 0,
            links_due: Dues::default(),
            touched: Vec::new(),
            peers: Vec::new(),
            routes: Routes::default(),
            pace: Pace::default(),
            random,
            relayed_handshakes: HandshakeBucket::default(),
            reports_at: now + crate::report::INTERVAL,
            stalled: false,
            reports: 0,
            scratch: Vec::new(),
            cut_packet: Vec::new(),
            opening: Vec::new(),
            restored: Restored::default(),
            open_run: None,
            order: Order::default(),
            waiting_flows: Vec::new(),
            waiting_until: None,
        }
    }

    /// As the node of this shard: it is given [`Snapshot::of_shard`], and hands packets that it has no way for to the node of shard 0.
    pub fn in_shard(mut self, shard: u8) -> Self {
        self.shard = shard;
        self.sessions.set_lane(crate::lanes::of_shard(0, shard));
        self
    }

    /// Whether [`Self::apply`] would accept it.
    ///
    /// # Errors
    /// As those of `apply`.
    pub fn check(&self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        snapshot.validate()?;
        self.follows(snapshot)
    }

    /// Replaces all tables at once. Sessions, estimates and liveness of links and paths that stay are kept.
    ///
    /// # Errors
    /// The snapshot is wrong or older than the one in force, which stays; nothing has changed.
    pub fn apply(&mut self, now: Nanos, snapshot: Snapshot) -> Result<(), SnapshotError> {
        self.replace_tables(now, snapshot)?;
        self.settle(now);
        Ok(())
    }

    /// Ingress: a run of packets from the TUN.
    pub fn handle_packets(&mut self, now: Nanos, packets: &[Packet<'_>]) {
        for packet in packets {
            self.tally.packets_in += 1;
            if let Err(reason) = self.ingress(now, packet) {
                self.tally.drop(reason);
            }
        }
        self.meet(now);
        self.settle(now);
    }

    /// Transit and egress: a run of datagrams from the underlay, which lie in `received`. Packets for the TUN are not copied out of it: the
    /// output names where they lie, until the next call.
    pub fn handle_datagrams(&mut self, now: Nanos, received: &mut [u8], datagrams: &[Datagram]) {
        for datagram in datagrams {
            self.tally.datagrams_in += 1;
            let bytes = received.get_mut(datagram.range.clone()).unwrap_or_default();
            if let Err(reason) = self.arrive(now, datagram, bytes) {
                self.tally.drop(reason);
            }
        }
        self.meet(now);
        self.end_run();
        self.settle(now);
    }

    /// Does what is due: probes, retransmissions, liveness, rekeying, paced sends, reports.
    pub fn handle_timeout(&mut self, now: Nanos) {
        self.note_stall(now);
        self.sessions.handle_timeout(now);
        self.meet(now);
        self.tend_links(now);
        self.tend_routes(now);
        self.expire_waiting(now);
        self.release_order(now);
        self.report(now);
        self.end_run();
        self.settle(now);
    }

    /// A host that was busy elsewhere finds timers long overdue, and the answers that would have stopped them unread in its sockets: no verdict
    /// falls on that call, so that the shell can read first. Two late calls in a row are no excuse.
    fn note_stall(&mut self, now: Nanos) {
        let late = self.poll_timeout().is_some_and(|due| now > due + STALL);
        self.stalled = late && !self.stalled;
    }

    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Nanos> {
        self.snapshot.as_ref()?;
        let parts = [
            self.links_due.first(),
            self.routes.dues.first(),
            self.waiting_until.unwrap_or(Nanos::MAX),
            self.sessions.poll_timeout().unwrap_or(Nanos::MAX),
            self.order.poll_timeout().unwrap_or(Nanos::MAX),
            self.reports_at,
        ];
        parts.into_iter().min()
    }

    /// What the last call left to do. The shell takes it and clears it.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    pub fn counters(&self) -> Counters {
        Counters {
            order_waited: self.order.waited,
            order_given_up: self.order.given_up,
            probing: self.pace.told(),
            ..self.tally.counters()
        }
    }

    /// Packets so far, taken in, delivered or relayed: traffic, as opposed to what nodes tell each other.
    pub fn carried(&self) -> u64 {
        self.tally.packets_in + self.tally.packets_out + self.tally.relayed
    }

    /// Drops so far, in the order of `DropReason::ALL`: cheap enough to be looked at after every datagram.
    pub fn drops(&self) -> &[u64] {
        self.tally.drops()
    }

    /// Notes that a link's next due time may have come nearer.
    pub(crate) fn touch(&mut self, place: usize) {
        if let Some(Some(link)) = self.links.get_mut(place)
            && !std::mem::replace(&mut link.touched, true)
        {
            self.touched.push(place);
        }
    }

    /// The last thing of every call.
    fn settle(&mut self, now: Nanos) {
        self.tally.datagrams_out += self.output.datagrams.len() as u64 - self.output.counted.0;
        self.tally.packets_out += self.output.packets.len() as u64 - self.output.counted.1;
        self.output.count();
        for place in self.touched.drain(..) {
            if let Some(Some(link)) = self.links.get_mut(place) {
                link.touched = false;
                self.links_due.set(place, link.poll_timeout(now));
            }
        }
    }

    pub(crate) fn peer_place(&self, id: u16) -> Option<usize> {
        self.tables.peer_place(id)
    }
}
