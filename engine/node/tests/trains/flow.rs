//! A flow: the headers that its packets share, and the packets themselves, whole and with complete checksums. Pure.

use overlayd_netem::Rng;

use crate::kernel::{fold, put, set_ipv4_checksum, sum};
use crate::mesh::{overlay, overlay_v6};

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

pub struct Flow {
    pub v6: bool,
    pub protocol: u8,
    /// The next one that is free.
    pub id: u16,
    pub seq: u32,
    pub tcp_options: Vec<u8>,
    source: Vec<u8>,
    destination: Vec<u8>,
    /// Where a source route leads in the end: what checksums are of.
    end: Vec<u8>,
    class: u8,
    hops: u8,
    label: u32,
    dont_fragment: bool,
    /// Of IPv4.
    options: Vec<u8>,
    /// Of IPv6: number, and header with a first byte that is still to be set.
    extensions: Vec<(u8, Vec<u8>)>,
    ports: (u16, u16),
    ack: u32,
    window: u16,
    /// What stands in four bits beside the length of a TCP header: AccECN's AE, and reserved.
    beside: u8,
}

impl Flow {
    pub fn new(rng: &mut Rng, number: u16) -> Self {
        let protocol = match rng.below(12) {
            0..6 => TCP,
            6..10 => UDP,
            10 => 4,  // a tunnel
            _ => 253, // an experiment
        };
        let v6 = rng.chance(0.5);
        Self::of(rng, protocol, v6, number)
    }

    pub fn of(rng: &mut Rng, protocol: u8, v6: bool, number: u16) -> Self {
        let octets = |address| match address {
            std::net::IpAddr::V4(address) => address.octets().to_vec(),
            std::net::IpAddr::V6(address) => address.octets().to_vec(),
        };
        let [source, destination] = match v6 {
            true => [1, 2].map(|id| octets(overlay_v6(id))),
            false => [1, 2].map(|id| octets(overlay(id))),
        };
        let mut flow = Self {
            v6,
            protocol,
            id: rng.next_u64() as u16,
            seq: rng.next_u64() as u32,
            tcp_options: vec![1; 4 * rng.below(11) as usize],
            end: destination.clone(),
            source,
            destination,
            class: rng.next_u64() as u8, // every DSCP with every ECN
            hops: 1 + rng.below(255) as u8,
            label: rng.below(1 << 20) as u32,
            dont_fragment: rng.chance(0.5),
            options: Vec::new(),
            extensions: Vec::new(),
            ports: (4000 + number, 80),
            ack: rng.next_u64() as u32,
            window: rng.next_u64() as u16,
            beside: rng.below(16) as u8,
        };
        if rng.chance(0.3) && v6 {
            flow.add_extensions(rng);
        } else if rng.chance(0.3) && !v6 {
            flow.add_options(rng);
        }
        flow
    }

    /// Later packets have another acknowledgement, and maybe another window or options.
    pub fn answer(&mut self, rng: &mut Rng) {
        match rng.below(4) {
            0 => self.ack = self.ack.wrapping_add(1 + rng.below(3000) as u32),
            1 => self.window = rng.next_u64() as u16,
            2 => self.tcp_options.fill(0),
            _ => self.class ^= 1 + rng.below(255) as u8,
        }
    }

    fn add_options(&mut self, rng: &mut Rng) {
        match rng.below(3) {
            0 => self.options = vec![148, 4, 0, 0], // router alert
            1 => self.options = vec![1; 4 * (1 + rng.below(10)) as usize],
            _ => {
                // A loose source route with its end still ahead.
                self.end = vec![198, 51, 100, rng.below(256) as u8];
                self.options = [&[131, 7, 4][..], &self.end, &[0]].concat();
            }
        }
    }

    fn add_extensions(&mut self, rng: &mut Rng) {
        if rng.chance(0.4) {
            self.extensions.push((0, vec![0, 0, 1, 4, 0, 0, 0, 0]));
        }
        if rng.chance(0.4) {
            self.end = [&[0x20, 1, 0x0d, 0xb8][..], &[7; 12]].concat();
            let header = [&[0, 2, 2, 1, 0, 0, 0, 0][..], &self.end].concat();
            self.extensions.push((ROUTING, header));
        }
        if rng.chance(0.5) {
            let mut padding = vec![0, 1, 1, 12];
            padding.resize(16, 0);
            self.extensions.push((60, padding));
        }
    }

    pub fn next_ids(&mut self, count: u16) -> u16 {
        let id = self.id;
        self.id = id.wrapping_add(count);
        id
    }

    /// Bytes before the transport header.
    pub fn headers_len(&self) -> usize {
        match self.v6 {
            true => 40 + self.extensions.iter().map(|(_, e)| e.len()).sum::<usize>(),
            false => 20 + self.options.len(),
        }
    }

    /// Sum of the pseudo-header: what stands in the place of a checksum that is to be completed.
    pub fn pseudo_header(&self, protocol: u8, length: usize) -> u16 {
        fold(sum(&self.source) + sum(&self.end) + u64::from(protocol) + length as u64)
    }

    pub fn tcp(&self, id: u16, seq: u32, flags: u8, urgent: u16, payload: &[u8]) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.ports.0.to_be_bytes());
        tcp.extend(self.ports.1.to_be_bytes());
        tcp.extend(seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.push((20 + self.tcp_options.len() as u8) << 2 | self.beside);
        tcp.push(flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(urgent.to_be_bytes());
        tcp.extend(&self.tcp_options);
        tcp.extend(payload);
        self.complete(TCP, &mut tcp, 16);
        self.packet(id, &tcp)
    }

    pub fn udp(&self, id: u16, payload: &[u8]) -> Vec<u8> {
        let mut udp = Vec::new();
        udp.extend(self.ports.0.to_be_bytes());
        udp.extend(self.ports.1.to_be_bytes());
        udp.extend((8 + payload.len() as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(payload);
        self.complete(UDP, &mut udp, 6);
        self.packet(id, &udp)
    }

    /// Changes a payload of UDP so that its checksum comes out as zero.
    pub fn make_checksum_zero(&self, payload: &mut [u8]) {
        if payload.len() < 2 {
            return;
        }
        put(payload, 0, 0);
        let length = 8 + payload.len();
        let headers = u64::from(self.ports.0) + u64::from(self.ports.1) + length as u64;
        let pseudo = u64::from(self.pseudo_header(UDP, length));
        put(payload, 0, !fold(headers + pseudo + sum(payload)));
    }

    pub fn other(&self, id: u16, payload: &[u8]) -> Vec<u8> {
        self.packet(id, payload)
    }

    /// `offset` in units of eight bytes.
    pub fn fragment(&self, id: u16, offset: u16, more: bool, part: &[u8]) -> Vec<u8> {
        if !self.v6 {
            let more = if more { MORE_FRAGMENTS } else { 0 };
            return self.v4(id, offset | more, part);
        }
        let mut header = vec![0, 0];
        header.extend((offset << 3 | u16::from(more)).to_be_bytes());
        header.extend(u32::from(id).to_be_bytes());
        let mut chain = self.extensions.clone();
        chain.push((FRAGMENT, header));
        self.v6(&chain, part)
    }

    fn complete(&self, protocol: u8, transport: &mut [u8], offset: usize) {
        let pseudo = u64::from(self.pseudo_header(protocol, transport.len()));
        let checksum = match !fold(sum(transport) + pseudo) {
            0 if protocol == UDP => 0xffff,
            checksum => checksum,
        };
        put(transport, offset, checksum);
    }

    fn packet(&self, id: u16, transport: &[u8]) -> Vec<u8> {
        match (self.v6, self.dont_fragment) {
            (true, _) => self.v6(&self.extensions, transport),
            (false, true) => self.v4(id, DONT_FRAGMENT, transport),
            (false, false) => self.v4(id, 0, transport),
        }
    }

    fn v4(&self, id: u16, fragment: u16, transport: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut packet = vec![0x40 | (header / 4) as u8, self.class];
        packet.extend(((header + transport.len()) as u16).to_be_bytes());
        packet.extend(id.to_be_bytes());
        packet.extend(fragment.to_be_bytes());
        packet.extend([self.hops, self.protocol, 0, 0]);
        packet.extend(&self.source);
        packet.extend(&self.destination);
        packet.extend(&self.options);
        set_ipv4_checksum(&mut packet);
        packet.extend(transport);
        packet
    }

    fn v6(&self, chain: &[(u8, Vec<u8>)], transport: &[u8]) -> Vec<u8> {
        let first = 6 << 28 | u32::from(self.class) << 20 | self.label;
        let mut packet = first.to_be_bytes().to_vec();
        let between: usize = chain.iter().map(|(_, header)| header.len()).sum();
        packet.extend(((between + transport.len()) as u16).to_be_bytes());
        let next = |place: usize| {
            chain
                .get(place)
                .map_or(self.protocol, |(number, _)| *number)
        };
        packet.extend([next(0), self.hops]);
        packet.extend(&self.source);
        packet.extend(&self.destination);
        for (place, (_, header)) in chain.iter().enumerate() {
            packet.push(next(place + 1));
            packet.extend(&header[1..]);
        }
        packet.extend(transport);
        packet
    }
}
