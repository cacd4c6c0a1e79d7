//! A shard: one TUN queue, the uplinks' sockets and a node, run to completion by one thread.
//!
//! The loop waits for input, time or a command, hands the node one batch after the other, and carries out what each left to do before
//! the next. There is no queue between the stages and no second thread. Called by `engine`. I/O.

use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::sync::Arc;

use overlayd_node::{Event, Nanos, Node, Packet};

use crate::counters::ShellCounters;
use crate::events::EventQueue;
use crate::handover::{Handed, Handover};
use crate::spin::{Source, Spin};
use crate::sys::{self, Poller, Ready};
use crate::tun::{PacketBatch, TunQueue};
use crate::udp::{DatagramBatch, Runs, Uplink};

const COMMAND: u64 = u64::MAX;
const TUN: u64 = u64::MAX - 1;
const HANDED: u64 = u64::MAX - 2;
/// Packets that other shards gave, of one call into the node.
const HANDED_BATCH: usize = 64;
/// The loop turns at least this often, so that a watchdog sees it alive.
const TICK: Nanos = 1_000_000_000;
/// A yield that lasts so long gave the core to somebody who has use for all of it: there is none to stay awake on.
const CROWDED: Nanos = 500_000;
/// One that lasts so long gave it to somebody for a moment: a neighbour who waits awake too, and for whom each look is a delay.
const SHARED: Nanos = 2_500;
/// Looks before the core is given away, to nobody: a yield takes as long as five of them.
const LOOKS: usize = 8;
/// Bytes that are read of the TUN before anything of them is sent: fewer cost the other end wake-ups, more do not stay in the processor's
/// own cache.
const ENOUGH: usize = 192 << 10;

/// Where input comes from and output goes to; kept apart from the node, which knows none of it.
pub(crate) struct Shard {
    node: Node,
    tun: TunQueue,
    uplinks: Vec<Uplink>,
    poller: Poller,
    spin: Spin,
    /// A look in vain came just before what is ready.
    lone: bool,
    counters: ShellCounters,
    number: u8,
    /// From the other shards to shard 0.
    handover: Arc<Handover>,
    handed: Handed,
    ready: Vec<Ready>,
    packet_batch: PacketBatch,
    datagram_batch: DatagramBatch,
    packets: Vec<Packet<'static>>,
    runs: Runs,
}

/// What the loop's owner wants of it.
pub(crate) trait Owner {
    /// The loop has turned.
    fn tick(&self);
    /// Takes the commands that wait; false ends the loop.
    fn command(&self, shard: &mut Shard) -> bool;
    fn events(&self) -> &EventQueue;
}

impl Shard {
    /// `number`: of shards, from 0; `spin`: how long to wait awake at most; `command` becomes readable when [`Owner::command`] is to be called.
    pub(crate) fn new(
        number: u8,
        node: Node,
        tun: TunQueue,
        uplinks: Vec<Uplink>,
        spin: Nanos,
        handover: Arc<Handover>,
        command: impl AsFd,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(command.as_fd(), COMMAND)?;
        poller.add(tun.as_fd(), TUN)?;
        if number == 0 {
            poller.add(handover.as_fd(), HANDED)?;
        }
        for (token, uplink) in (0..).zip(&uplinks) {
            poller.add(uplink.as_fd(), token)?;
        }
        Ok(Self {
            node,
            tun,
            uplinks,
            poller,
            spin: Spin::new(spin, sys::monotonic_ns()),
            lone: false,
            counters: ShellCounters::default(),
            number,
            handover,
            handed: Handed::default(),
            ready: Vec::new(),
            packet_batch: PacketBatch::new(),
            datagram_batch: DatagramBatch::new(),
            packets: Vec::new(),
            runs: Runs::default(),
        })
    }

    /// Runs until the owner ends it. Errors are those of the poller and of descriptors that are no longer usable.
    pub(crate) fn run(&mut self, owner: &impl Owner) -> io::Result<()> {
        loop {
            self.wait()?;
            owner.tick();
            let ready = mem::take(&mut self.ready);
            for event in &ready {
                match event.token {
                    COMMAND if !owner.command(self) => return Ok(()),
                    COMMAND => self.flush(owner.events())?,
                    TUN => self.serve_tun(owner)?,
                    HANDED => self.serve_handed(owner)?,
                    uplink => self.serve_uplink(uplink as usize, *event, owner)?,
                }
            }
            self.ready = ready;
            let now = sys::monotonic_ns();
            if self.node.poll_timeout().is_some_and(|due| due <= now) {
                self.node.handle_timeout(now);
                self.flush(owner.events())?;
            }
        }
    }

    pub(crate) fn node(&mut self) -> &mut Node {
        &mut self.node
    }

    pub(crate) fn counters(&self) -> ShellCounters {
        self.counters
    }

    /// Until something is ready or the node's time has come.
    fn wait(&mut self) -> io::Result<()> {
        let from = sys::monotonic_ns();
        self.lone = false;
        self.wait_from(from)?;
        self.spin.waited(from, sys::monotonic_ns());
        Ok(())
    }

    /// Awake first, if that promises to be short.
    fn wait_from(&mut self, mut now: Nanos) -> io::Result<()> {
        let due = self.node.poll_timeout().unwrap_or(Nanos::MAX);
        let due = due.min(now + TICK);
        let awake_until = due.min(self.spin.awake_until(now));
        let mut looks = 1;
        while now < awake_until {
            for _ in 0..looks {
                self.poller.look(&mut self.ready)?;
                if !self.ready.is_empty() {
                    self.spin.rewarded();
                    return Ok(());
                }
                self.lone = true;
            }
            let before = sys::monotonic_ns();
            sys::yield_now();
            now = sys::monotonic_ns();
            looks = if now - before > SHARED { 1 } else { LOOKS };
            if now - before > CROWDED {
                self.lone = false;
                self.poller.look(&mut self.ready)?;
                if !self.ready.is_empty() {
                    // Whoever had the core was the one that was waited for.
                    return Ok(());
                }
                self.spin.crowded(now);
                break;
            }
        }
        self.lone = false;
        self.poller.wait(due.saturating_sub(now), &mut self.ready)
    }

    /// Whether one packet waits, most likely: it leaves before anybody looks for a second one.
    fn is_lone(&self) -> bool {
        self.lone && !self.spin.is_transfer()
    }

    fn serve_tun(&mut self, owner: &impl Owner) -> io::Result<()> {
        let (mut bytes, mut now) = (0, 0);
        if self.is_lone() {
            self.packet_batch.expect_one();
        }
        while bytes < ENOUGH {
            self.tun
                .receive(&mut self.packet_batch, &mut self.counters)?;
            if self.packet_batch.is_empty() {
                break;
            }
            let mut packets: Vec<Packet<'_>> = mem::take(&mut self.packets);
            packets.extend(self.packet_batch.packets());
            bytes += packets
                .iter()
                .map(|packet| packet.bytes.len())
                .sum::<usize>();
            now = sys::monotonic_ns();
            self.node.handle_packets(now, &packets);
            self.packets = emptied(packets, |_| unreachable!());
            if !self.packet_batch.is_full() {
                break;
            }
        }
        if bytes == 0 {
            return Ok(());
        }
        self.spin.served(Source::Tun, bytes, now);
        self.flush(owner.events())
    }

    /// What other shards have no way for.
    fn serve_handed(&mut self, owner: &impl Owner) -> io::Result<()> {
        let mut handed = mem::take(&mut self.handed);
        self.handover.take(&mut handed);
        let packets: Vec<Packet<'_>> = handed.packets().collect();
        for some in packets.chunks(HANDED_BATCH) {
            self.node.handle_packets(sys::monotonic_ns(), some);
            self.flush(owner.events())?;
        }
        self.handed = handed;
        Ok(())
    }

    fn serve_uplink(&mut self, index: usize, ready: Ready, owner: &impl Owner) -> io::Result<()> {
        let lone = self.is_lone();
        let Some(uplink) = self.uplinks.get_mut(index) else {
            return Ok(());
        };
        if ready.write {
            uplink.send_pending(&mut self.counters);
            self.poller
                .watch_write(uplink.as_fd(), ready.token, uplink.has_pending())?;
        }
        if !ready.read {
            return Ok(());
        }
        if lone {
            self.datagram_batch.expect_one();
        }
        uplink.receive(&mut self.datagram_batch, &mut self.counters)?;
        if self.datagram_batch.is_empty() {
            return Ok(());
        }
        let (received, datagrams) = self.datagram_batch.parts();
        let bytes = datagrams.iter().map(|datagram| datagram.range.len()).sum();
        let now = sys::monotonic_ns();
        let carried = self.node.carried();
        self.node.handle_datagrams(now, received, datagrams);
        // Probes and receipts are no traffic.
        if self.node.carried() > carried {
            self.spin.served(Source::Uplinks, bytes, now);
        }
        self.flush(owner.events())
    }

    /// Carries out what the last call into the node left to do.
    fn flush(&mut self, events: &EventQueue) -> io::Result<()> {
        let output = self.node.output();
        if !output.datagrams.is_empty() {
            for (token, uplink) in (0..).zip(&mut self.uplinks) {
                let waited = uplink.has_pending();
                uplink.send(
                    &output.bytes,
                    &output.datagrams,
                    &mut self.runs,
                    &mut self.counters,
                );
                if uplink.has_pending() && !waited {
                    self.poller.watch_write(uplink.as_fd(), token, true)?;
                }
            }
        }
        self.tun
            .deliver(output, self.datagram_batch.bytes(), &mut self.counters);
        if !output.handed.is_empty() {
            self.counters.handed_over += output.handed.len() as u64;
            self.counters.handover_overflow +=
                self.handover.give(&output.handed_bytes, &output.handed);
        }
        if !output.events.is_empty() {
            let counters = self.counters;
            let complete = |mut event| {
                if let Event::Counters {
                    counters: totals, ..
                } = &mut event
                {
                    counters.merge_into(&mut totals.drops);
                }
                event
            };
            let told = output.events.drain(..).map(complete);
            self.counters.events_dropped += events.push(self.number, told);
        }
        output.clear();
        Ok(())
    }
}

/// The same vector without its elements and their lifetime: the capacity stays (the library collects in place).
fn emptied<From, To>(mut vector: Vec<From>, never: impl Fn(From) -> To) -> Vec<To> {
    vector.clear();
    vector.into_iter().map(never).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_vector_keeps_its_capacity() {
        let bytes = [1u8; 4];
        let packets: Vec<Packet<'_>> = (0..40)
            .map(|_| Packet {
                bytes: &bytes,
                offload: overlayd_node::Offload::default(),
            })
            .collect();
        let capacity = packets.capacity();
        let reused: Vec<Packet<'static>> = emptied(packets, |_| unreachable!());
        assert!(reused.is_empty());
        assert_eq!(reused.capacity(), capacity);
    }
}
