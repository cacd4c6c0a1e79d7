//! Judges every packet that a node delivers: was it sent, is it unchanged, is it here for the first time?
//!
//! It knows which numbers were handed to which node, and nothing of the engine. A packet with an address of the hostile peer as its source is that
//! peer's own affair; it still has to be well formed and for the node that delivers it. Memory is fixed. Pure.

use overlayd_node::Offload;

use crate::packets::{self, Mark};

/// Node ids are 1 to 5.
pub(crate) const NODES: usize = 6;
/// Numbers of one stream that are remembered: minutes of it. What comes back later is a fault of its own, for nobody can tell whether it came before.
const RING: u32 = 1 << 16;
/// Violations whose story is kept.
const STORIES: usize = 16;

pub(crate) struct Oracle {
    hostile: u16,
    streams: Vec<Stream>,
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    /// With the hostile peer's source.
    pub(crate) of_hostile: u64,
    pub(crate) not_sent: u64,
    pub(crate) altered: u64,
    pub(crate) twice: u64,
    /// Delivered when its number was no longer remembered.
    pub(crate) outlived: u64,
    pub(crate) stories: Vec<String>,
    expected: Vec<u8>,
    whole: Vec<u8>,
    segment: Vec<u8>,
}

/// Packets from one node to another.
#[derive(Default)]
struct Stream {
    next: u32,
    /// Bit i of the entry of a number: segment i was delivered.
    seen: Vec<u64>,
}

impl Oracle {
    pub(crate) fn new(hostile: u16) -> Self {
        Self {
            hostile,
            streams: (0..NODES * NODES).map(|_| Stream::default()).collect(),
            sent: 0,
            delivered: 0,
            of_hostile: 0,
            not_sent: 0,
            altered: 0,
            twice: 0,
            outlived: 0,
            stories: Vec::new(),
            expected: Vec::new(),
            whole: Vec::new(),
            segment: Vec::new(),
        }
    }

    /// The next packet of a stream, which is handed to its source now.
    pub(crate) fn send(&mut self, from: u16, to: u16, out: &mut Vec<u8>) -> Offload {
        let stream = &mut self.streams[usize::from(from) * NODES + usize::from(to)];
        let number = stream.next;
        stream.next += 1;
        let place = (number % RING) as usize;
        if stream.seen.len() <= place {
            stream.seen.resize(place + 1, 0);
        }
        stream.seen[place] = 0;
        self.sent += u64::from(from != self.hostile && to != self.hostile);
        packets::write(out, from, to, number)
    }

    /// Packets of honest nodes to honest nodes that arrived, of all that were sent.
    pub(crate) fn account(&self) -> (u64, u64) {
        (self.delivered, self.sent)
    }

    /// A node hands a packet to its TUN.
    pub(crate) fn judge(
        &mut self,
        at: u16,
        bytes: &[u8],
        offload: &Offload,
        story: impl Fn() -> String,
    ) {
        let mut segment = std::mem::take(&mut self.segment);
        for index in 0..packets::count(bytes, offload) {
            packets::write_segment(&mut segment, bytes, offload, index);
            if let Err(fault) = self.judge_one(at, &segment)
                && self.stories.len() < STORIES
            {
                self.stories.push(format!(
                    "{fault}: node {at}, {}, {:02x?}",
                    story(),
                    &segment[..segment.len().min(72)]
                ));
            }
        }
        self.segment = segment;
    }

    /// A node tells a sender of its own what fits on the way to `to`: of a packet that has these ends.
    fn judge_advice(&mut self, ends: (u16, u16), quoted: &[u8]) -> Result<(), &'static str> {
        let fits = Mark::of(quoted).is_some_and(|mark| (mark.from, mark.to) == ends);
        self.not_sent += u64::from(!fits);
        match fits {
            true => Ok(()),
            false => Err("advice about another's packet"),
        }
    }

    fn judge_one(&mut self, at: u16, packet: &[u8]) -> Result<(), &'static str> {
        let ends = packets::ends(packet);
        let (Some((Some(from), Some(to))), true) =
            (ends, ends.is_some_and(|(_, to)| to == Some(at)))
        else {
            self.not_sent += 1;
            return Err("neither from nor for a node of the mesh");
        };
        if from == self.hostile {
            self.of_hostile += 1;
            return Ok(());
        }
        if let Some(quoted) = packets::too_big(packet) {
            return self.judge_advice((at, from), quoted);
        }
        let known = Mark::of(packet).filter(|mark| (mark.from, mark.to) == (from, to));
        let stream = &mut self.streams[usize::from(from) * NODES + usize::from(to)];
        let Some(mark) = known.filter(|mark| mark.number < stream.next) else {
            self.not_sent += 1;
            return Err("never sent");
        };
        let offload = packets::write(&mut self.whole, from, to, mark.number);
        if usize::from(mark.index) >= packets::count(&self.whole, &offload) {
            self.not_sent += 1;
            return Err("never sent");
        }
        packets::write_segment(&mut self.expected, &self.whole, &offload, mark.index.into());
        packets::mark_like(&mut self.expected, packet);
        if self.expected != packet {
            self.altered += 1;
            return Err("altered");
        }
        if stream.next - mark.number > RING {
            self.outlived += 1;
            return Err("delivered after it was forgotten");
        }
        let entry = &mut stream.seen[(mark.number % RING) as usize];
        let bit = 1 << (mark.index % 64);
        if *entry & bit != 0 {
            self.twice += 1;
            return Err("delivered before");
        }
        *entry |= bit;
        self.delivered += u64::from(mark.index == 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An oracle, and a packet of stream 1 → 2 that it knows.
    fn sent() -> (Oracle, Vec<u8>, Offload) {
        let mut oracle = Oracle::new(4);
        let mut packet = Vec::new();
        loop {
            let offload = oracle.send(1, 2, &mut packet);
            if offload == Offload::default() {
                return (oracle, packet, offload);
            }
        }
    }

    fn faults(oracle: &Oracle) -> (u64, u64, u64) {
        (oracle.not_sent, oracle.altered, oracle.twice)
    }

    #[test]
    fn what_was_sent_is_welcome_once() {
        let (mut oracle, packet, offload) = sent();
        oracle.judge(2, &packet, &offload, String::new);
        assert_eq!(faults(&oracle), (0, 0, 0));
        oracle.judge(2, &packet, &offload, String::new);
        assert_eq!(faults(&oracle), (0, 0, 1));
    }

    #[test]
    fn what_was_forgotten_is_no_longer_welcome() {
        let (mut oracle, packet, offload) = sent();
        let mut later = Vec::new();
        for _ in 0..RING {
            oracle.send(1, 2, &mut later);
        }
        oracle.judge(2, &packet, &offload, String::new);
        assert_eq!((faults(&oracle), oracle.outlived), ((0, 0, 0), 1));
    }

    #[test]
    fn a_changed_byte_another_source_or_another_place_is_seen() {
        let (mut oracle, packet, offload) = sent();
        let mut changed = packet.clone();
        *changed.last_mut().into_iter().next().unwrap_or(&mut 0) ^= 1;
        oracle.judge(2, &changed, &offload, String::new);
        assert_eq!(faults(&oracle), (0, 1, 0));
        oracle.judge(3, &packet, &offload, String::new);
        assert_eq!(faults(&oracle), (1, 1, 0));
        let mut unsent = Vec::new();
        let offload = packets::write(&mut unsent, 1, 2, 1_000_000);
        oracle.judge(2, &unsent, &offload, String::new);
        assert_eq!(faults(&oracle), (2, 1, 0));
    }

    #[test]
    fn the_hostile_peer_speaks_for_itself_only() {
        let mut oracle = Oracle::new(4);
        let mut packet = Vec::new();
        let offload = packets::write(&mut packet, 4, 2, 7);
        oracle.judge(2, &packet, &offload, String::new);
        assert_eq!((faults(&oracle), oracle.of_hostile > 0), ((0, 0, 0), true));
        let offload = packets::write(&mut packet, 3, 2, 7);
        oracle.judge(2, &packet, &offload, String::new);
        assert!(oracle.not_sent > 0);
    }
}
