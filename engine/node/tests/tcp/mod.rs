//! Flows of TCP side by side from node 1 to node 2, through the overlay or bare, over one wire. In virtual time; called by `sharing`. Pure.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking; each test file uses a part"
)]

mod cubic;

use std::collections::VecDeque;

pub use cubic::{Copy, Cubic};

use crate::mesh::{MS, Mesh, address, numbered};

/// Inner packets, those of a bare flow, and the payload of either.
pub const INNER: usize = 1_380;
const BARE: u32 = 1_500;
const INNER_PAYLOAD: usize = INNER - 52;
const BARE_PAYLOAD: usize = BARE as usize - 52;
const ACK: usize = 60;
const STEP: u64 = MS / 2;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Overlay,
    Bare,
}

pub struct Flow {
    pub way: Way,
    pub cubic: Cubic,
    told: usize,
    /// Of a bare flow: copies on their way there, acknowledgements on their way back.
    there: VecDeque<(u64, Copy)>,
    back: VecDeque<(u64, usize)>,
}

pub struct Race {
    pub mesh: Mesh,
    pub flows: Vec<Flow>,
    /// ms that a packet would have waited before the bottleneck, each step.
    pub queue: Vec<f64>,
}

/// What a stretch of time brought.
#[derive(Debug)]
pub struct Stretch {
    /// Mbit/s of payload that each flow's receiver read.
    pub goodput: Vec<f64>,
    /// Mbit/s offered to the wire, of IP packets.
    pub wire: f64,
    /// ms: the median, and the 99th percentile.
    pub queue: (f64, f64),
}

impl Flow {
    fn new(way: Way) -> Self {
        Self {
            way,
            cubic: Cubic::new(),
            told: 0,
            there: VecDeque::new(),
            back: VecDeque::new(),
        }
    }

    fn payload(&self) -> usize {
        match self.way {
            Way::Overlay => INNER_PAYLOAD,
            Way::Bare => BARE_PAYLOAD,
        }
    }
}

impl Race {
    pub fn new(mesh: Mesh, ways: &[Way]) -> Self {
        Self {
            mesh,
            flows: ways.iter().map(|way| Flow::new(*way)).collect(),
            queue: Vec::new(),
        }
    }

    pub fn run(&mut self, time: u64) -> Stretch {
        let got: Vec<u32> = self.flows.iter().map(|flow| flow.cubic.got).collect();
        let offered = self.offered();
        self.queue.clear();
        let end = self.mesh.now + time;
        while self.mesh.now < end {
            self.step();
        }
        let mbps = |bytes: f64| bytes * 8e3 / time as f64;
        let goodput = self
            .flows
            .iter()
            .zip(got)
            .map(|(flow, got)| mbps(f64::from(flow.cubic.got - got) * flow.payload() as f64));
        let goodput = goodput.collect();
        let offered = self.offered() - offered;
        self.queue.sort_by(f64::total_cmp);
        let quantile = |share: usize| self.queue[self.queue.len() * share / 100];
        Stretch {
            goodput,
            wire: mbps(offered as f64),
            queue: (quantile(50), quantile(99)),
        }
    }

    fn offered(&mut self) -> u64 {
        let wire = self.mesh.wire_of((address(1, 0), address(2, 0)));
        wire.counters().offered_bytes
    }

    fn step(&mut self) {
        let now = self.mesh.now;
        for place in 0..self.flows.len() {
            let flow = &mut self.flows[place];
            while let Some(copy) = flow.cubic.send(now) {
                match flow.way {
                    Way::Overlay => self.mesh.send(1, &data(place, copy)),
                    Way::Bare => {
                        let wire = self.mesh.wire_of((address(1, 0), address(2, 0)));
                        let verdict = wire.offer(now, BARE);
                        let at = verdict.departures().first().map(|copy| copy.at_ns);
                        flow.there.extend(at.map(|at| (at, copy)));
                    }
                }
            }
        }
        let wire = self.mesh.wire_of((address(1, 0), address(2, 0)));
        let rate = wire.settings().rate_bps.unwrap_or(u64::MAX);
        self.queue
            .push(wire.backlog_bytes(now) as f64 * 8e3 / rate as f64);
        self.mesh.run_for(STEP);
        let now = self.mesh.now;
        let delivered = |mesh: &mut Mesh, id| {
            let host = mesh.hosts.get_mut(&id);
            host.map(|host| std::mem::take(&mut host.delivered))
                .unwrap_or_default()
        };
        for packet in delivered(&mut self.mesh, 2) {
            let (place, copy) = copy_of(&packet.bytes);
            self.flows[place].cubic.receive(copy);
        }
        for packet in delivered(&mut self.mesh, 1) {
            let (place, copy) = copy_of(&packet.bytes);
            let count = copy.transmission as usize;
            self.flows[place].cubic.acknowledge(now, count);
        }
        for (place, flow) in self.flows.iter_mut().enumerate() {
            while flow.there.front().is_some_and(|(at, _)| *at <= now) {
                flow.there
                    .pop_front()
                    .into_iter()
                    .for_each(|(_, copy)| flow.cubic.receive(copy));
            }
            while flow.back.front().is_some_and(|(at, _)| *at <= now) {
                let told = flow.back.pop_front();
                told.into_iter()
                    .for_each(|(_, count)| flow.cubic.acknowledge(now, count));
            }
            let count = flow.cubic.acknowledgement();
            if count == flow.told {
                continue;
            }
            flow.told = count;
            match flow.way {
                Way::Overlay => self.mesh.send(2, &acknowledgement(place, count)),
                Way::Bare => {
                    let wire = self.mesh.wire_of((address(2, 0), address(1, 0)));
                    let verdict = wire.offer(now, ACK as u32);
                    let at = verdict.departures().first().map(|copy| copy.at_ns);
                    flow.back.extend(at.map(|at| (at, count)));
                }
            }
        }
    }
}

fn tcp(mut packet: Vec<u8>, place: usize, transmission: u64) -> Vec<u8> {
    packet[9] = 6;
    packet[20..24].copy_from_slice(&[0, place as u8, 0x14, 0xb6]);
    packet[32] = 5 << 4;
    packet[33] = 0x10;
    let end = packet.len() - 8;
    packet[end..].copy_from_slice(&transmission.to_be_bytes());
    packet
}

fn data(place: usize, copy: Copy) -> Vec<u8> {
    let mut packet = numbered(1, 2, 0, INNER);
    let seq = copy.number.wrapping_mul((INNER - 40) as u32);
    packet[24..28].copy_from_slice(&seq.to_be_bytes());
    packet[40..44].copy_from_slice(&copy.number.to_be_bytes());
    tcp(packet, place, copy.transmission)
}

/// Without payload: what it tells stands among its options.
fn acknowledgement(place: usize, count: usize) -> Vec<u8> {
    let mut packet = tcp(numbered(2, 1, 0, ACK), place, count as u64);
    packet[32] = 10 << 4;
    packet
}

/// Its flow and the copy; of an acknowledgement, the count in place of the transmission.
fn copy_of(packet: &[u8]) -> (usize, Copy) {
    let number = [packet[40], packet[41], packet[42], packet[43]];
    let mut transmission = [0; 8];
    transmission.copy_from_slice(&packet[packet.len() - 8..]);
    let copy = Copy {
        number: u32::from_be_bytes(number),
        transmission: u64::from_be_bytes(transmission),
    };
    (usize::from(packet[21]), copy)
}
