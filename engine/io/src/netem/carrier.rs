//! The thread that carries packets: receive, ask the link model, wait, send.
//!
//! One thread serves every link. It sleeps until a frame comes or one is due, and takes orders between two
//! batches, so that models need no lock. I/O; started by `shell`.

use super::config::Config;
use super::error::EmulatorError;
use super::frame::{ETHERNET, Frame, HEADER_MAX};
use super::schedule::{Run, Schedule};
use super::socket::{
    BATCH, Outgoing, PacketSocket, ReceiveBatch, Received, make_thread_prompt, sleep_until,
};
use crate::sys::{Poller, Ready, Waker, monotonic_ns};
use crate::vnet::VnetHeader;
use overlayd_netem::{Counters, Link, Settings, SettingsError};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::{io, mem};

/// Bytes on their way over all links; beyond it packets are dropped and counted, before memory runs out.
const BYTES_MAX: usize = 1 << 30;
/// The longest time spent spinning before a frame is due.
const LEAD_MAX_NS: u64 = 80_000;
/// The poller's token of the waker; links have theirs from zero on.
const WAKER: u64 = u64::MAX;

/// What one direction did, in its model and at its sockets.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct LinkCounters {
    #[serde(flatten)]
    pub model: Counters,
    /// Frames that the kernel dropped because the thread came too late.
    pub missed: u64,
    /// Super-frames of a kind that cannot be cut.
    pub malformed: u64,
    /// Packets dropped because too many bytes were on their way.
    pub overload: u64,
    /// Packets that the kernel refused to send.
    pub refused: u64,
    /// Runs sent, and by how many ns they were late, in sum and at most.
    pub runs: u64,
    pub late_sum_ns: u64,
    pub late_max_ns: u64,
}

/// What the thread is asked to do between two batches.
pub(super) enum Order {
    Set {
        link: usize,
        settings: Settings,
        answer: Sender<Result<(), SettingsError>>,
    },
    Counters {
        answer: Sender<Vec<LinkCounters>>,
    },
    Stop,
}

/// All that the thread owns.
pub(super) struct Carrier {
    ways: Vec<Way>,
    schedule: Schedule,
    poller: Poller,
    waker: Arc<Waker>,
    batch: ReceiveBatch,
    quantum_ns: u64,
    /// When the last round ended, and whether the next one was put off after it.
    round_ns: u64,
    rested: bool,
    /// Whether more frames wait than one batch took.
    more: bool,
    /// How late the thread usually wakes up.
    lead_ns: u64,
}

/// One direction: where its packets come from, its model, and where they go.
struct Way {
    link: Link,
    from: Arc<PacketSocket>,
    to: Arc<PacketSocket>,
    /// When the last packet entered the link.
    entered_ns: u64,
    arrived: Vec<Run>,
    counters: LinkCounters,
}

impl Carrier {
    pub(super) fn open(config: &Config) -> Result<Self, EmulatorError> {
        let mut sockets: BTreeMap<&str, Arc<PacketSocket>> = BTreeMap::new();
        for interface in config.directions.iter().flat_map(|d| [&d.from, &d.to]) {
            if !sockets.contains_key(interface.as_str()) {
                let socket =
                    PacketSocket::open(interface).map_err(|error| EmulatorError::Interface {
                        interface: interface.clone(),
                        error,
                    })?;
                sockets.insert(interface, Arc::new(socket));
            }
        }
        let poller = Poller::new().map_err(EmulatorError::Io)?;
        let waker = Arc::new(Waker::new().map_err(EmulatorError::Io)?);
        poller
            .add(waker.as_fd(), WAKER)
            .map_err(EmulatorError::Io)?;
        let mut ways = Vec::with_capacity(config.directions.len());
        for (token, direction) in (0..).zip(&config.directions) {
            let link = Link::new(direction.settings, config.seed_of(direction))
                .map_err(EmulatorError::Settings)?;
            let from = Arc::clone(&sockets[direction.from.as_str()]);
            poller.add(from.as_fd(), token).map_err(EmulatorError::Io)?;
            let to = Arc::clone(&sockets[direction.to.as_str()]);
            let counters = LinkCounters::default();
            ways.push(Way {
                link,
                from,
                to,
                entered_ns: 0,
                arrived: Vec::new(),
                counters,
            });
        }
        let batch = ReceiveBatch::new();
        Ok(Self {
            ways,
            schedule: Schedule::default(),
            poller,
            waker,
            batch,
            quantum_ns: config.quantum_ns,
            round_ns: 0,
            rested: false,
            more: false,
            lead_ns: 0,
        })
    }

    /// What wakes the thread for an order.
    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) -> io::Result<()> {
        make_thread_prompt();
        let mut ready = Vec::with_capacity(64);
        loop {
            self.wait(&mut ready)?;
            for event in &ready {
                if event.token != WAKER {
                    self.receive(event.token as usize)?;
                } else if !self.obey(orders) {
                    return Ok(());
                }
            }
            self.send_due();
            self.rest();
        }
    }

    /// Waits until frames can be read or one is due.
    ///
    /// A sleeping processor takes tens of microseconds to come back, about the same each time: that long before a
    /// lone frame is due the thread wakes up, and spins over what is left.
    fn wait(&mut self, ready: &mut Vec<Ready>) -> io::Result<()> {
        let Some(due_ns) = self.schedule.next_ns() else {
            return self.poller.wait(u64::MAX, ready);
        };
        let gap_ns = due_ns.saturating_sub(monotonic_ns());
        let lead_ns = if self.rested || gap_ns < self.lead_ns {
            0
        } else {
            self.lead_ns
        };
        self.poller.wait(gap_ns - lead_ns, ready)?;
        if !ready.is_empty() || gap_ns == 0 {
            return Ok(());
        }
        let late_ns = monotonic_ns()
            .saturating_sub(due_ns - lead_ns)
            .min(LEAD_MAX_NS);
        self.lead_ns = (self.lead_ns * 7 + late_ns) / 8;
        while lead_ns > 0 && monotonic_ns() < due_ns {
            std::hint::spin_loop();
        }
        Ok(())
    }

    /// Keeps two rounds apart by the quantum, once they come that close.
    ///
    /// Dense traffic is then carried in small groups, at a fraction of the wake-ups: of this thread, and of the
    /// receivers. A packet that comes alone finds the thread ready, and what did not fit a batch finds no rest.
    fn rest(&mut self) {
        let next_ns = self.round_ns + self.quantum_ns;
        self.round_ns = monotonic_ns();
        self.rested = self.round_ns < next_ns && !mem::take(&mut self.more);
        if self.rested {
            sleep_until(next_ns);
            self.round_ns = next_ns;
        }
    }

    /// Takes what waits at one entry, up to a batch, so that no link starves another.
    fn receive(&mut self, index: usize) -> io::Result<()> {
        let way = &mut self.ways[index];
        match way.from.receive(&mut self.batch)? {
            Received::Frames(count) => self.more |= count == BATCH,
            Received::Indescribable => {
                way.counters.malformed += 1;
                self.more = true;
                return Ok(());
            }
        }
        let now_ns = monotonic_ns();
        for (age_ns, header, bytes) in self.batch.frames() {
            // Late reading must not lengthen the delay; within one way, time never goes back.
            way.entered_ns = way.entered_ns.max(now_ns - age_ns);
            match Frame::parse(&header, bytes) {
                Ok(frame) => way.offer(index as u32, frame, &mut self.schedule),
                Err(_) => way.counters.malformed += 1,
            }
        }
        Ok(())
    }

    fn send_due(&mut self) {
        let now_ns = monotonic_ns();
        let mut touched = false;
        while let Some((link, at_ns, run)) = self.schedule.pop(now_ns) {
            let way = &mut self.ways[link as usize];
            let late_ns = now_ns - at_ns;
            way.counters.runs += 1;
            way.counters.late_sum_ns += late_ns;
            way.counters.late_max_ns = way.counters.late_max_ns.max(late_ns);
            if !way.arrived.last_mut().is_some_and(|last| last.absorb(&run)) {
                way.arrived.push(run);
            }
            touched = true;
        }
        if touched {
            self.ways.iter_mut().for_each(Way::send);
        }
    }

    /// Carries out the orders that wait; false after the one to stop.
    fn obey(&mut self, orders: &Receiver<Order>) -> bool {
        self.waker.clear();
        // Whoever asked may have gone; then nobody misses the answer.
        for order in orders.try_iter() {
            match order {
                Order::Set {
                    link,
                    settings,
                    answer,
                } => {
                    let _ = answer.send(self.ways[link].link.set(settings, monotonic_ns()));
                }
                Order::Counters { answer } => {
                    let _ = answer.send(self.ways.iter_mut().map(Way::counters).collect());
                }
                Order::Stop => return false,
            }
        }
        true
    }
}

impl Way {
    fn offer(&mut self, index: u32, frame: Frame, schedule: &mut Schedule) {
        let frame = Arc::new(frame);
        // Packets that arrive at the same time are scheduled as one run.
        let mut open: Option<(u64, Run)> = None;
        for first in 0..frame.packets() {
            let len = frame.len(first, 1);
            if schedule.bytes() > BYTES_MAX {
                self.counters.overload += 1;
                continue;
            }
            let verdict = if frame.is_sheltered() {
                self.link.offer_sheltered(self.entered_ns, len)
            } else {
                self.link.offer(self.entered_ns, len)
            };
            for copy in verdict.departures() {
                let flipped_bit = copy.flipped_bit;
                let run = Run {
                    frame: Arc::clone(&frame),
                    first,
                    count: 1,
                    flipped_bit,
                };
                let joined = open
                    .as_mut()
                    .is_some_and(|(at_ns, last)| *at_ns == copy.at_ns && last.absorb(&run));
                if !joined && let Some((at_ns, last)) = open.replace((copy.at_ns, run)) {
                    schedule.push(at_ns, index, last);
                }
            }
        }
        if let Some((at_ns, last)) = open {
            schedule.push(at_ns, index, last);
        }
    }

    fn send(&mut self) {
        for runs in self.arrived.chunks(BATCH) {
            let mut headers = [[0u8; HEADER_MAX]; BATCH];
            let corrupted: Vec<Vec<u8>> = runs
                .iter()
                .map(|run| {
                    run.flipped_bit
                        .map_or_else(Vec::new, |bit| run.frame.corrupted(run.first, bit))
                })
                .collect();
            let frames: Vec<Outgoing<'_>> = runs
                .iter()
                .zip(&mut headers)
                .zip(&corrupted)
                .map(|((run, header), corrupted)| outgoing(run, header, corrupted))
                .collect();
            let mut rest = frames.as_slice();
            while !rest.is_empty() {
                // An error is that of the first frame: it is given up, and the next ones are tried.
                let sent = self.to.send(rest).unwrap_or(0);
                if sent == 0 {
                    self.counters.refused += 1;
                }
                rest = &rest[sent.max(1)..];
            }
        }
        self.arrived.clear();
    }

    fn counters(&mut self) -> LinkCounters {
        self.counters.missed += self.from.take_missed();
        self.counters.model = *self.link.counters();
        self.counters
    }
}

fn outgoing<'a>(
    run: &'a Run,
    header: &'a mut [u8; HEADER_MAX],
    corrupted: &'a [u8],
) -> Outgoing<'a> {
    if corrupted.len() > ETHERNET {
        let vnet = VnetHeader::default().to_bytes();
        return Outgoing {
            vnet,
            header: &[],
            payload: corrupted,
        };
    }
    let (offload, len, payload) = run.frame.assemble(run.first, run.count, header);
    Outgoing {
        vnet: offload.to_bytes(),
        header: &header[..len],
        payload: &run.frame.bytes()[payload],
    }
}
