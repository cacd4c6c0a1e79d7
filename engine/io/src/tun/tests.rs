//! A TUN in a network namespace of the test's own thread, between this code and the kernel's UDP. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::Duration;

use overlayd_node::{Delivery, Offload, Output, Piece, Segment, SegmentKind};

use super::{PacketBatch, TunOffloads, TunQueue, open_tun};
use crate::counters::ShellCounters;
use crate::fault::Fault;
use crate::sys::{Poller, check};

const ALL: TunOffloads = TunOffloads {
    checksum: true,
    segmentation: true,
    udp_segmentation: true,
};
const NONE: TunOffloads = TunOffloads {
    checksum: false,
    segmentation: false,
    udp_segmentation: false,
};
const HEADERS: usize = 28;
const UDP_CHECKSUM: (u16, u16) = (20, 6);

struct Tun {
    queue: TunQueue,
    counters: ShellCounters,
}

impl Tun {
    fn deliver(&mut self, packet: &[u8], offload: Offload) {
        self.deliver_all(&[packet.to_vec()], offload);
    }

    fn deliver_all(&mut self, packets: &[Vec<u8>], offload: Offload) {
        let mut output = Output::default();
        let mut received = Vec::new();
        for (index, packet) in packets.iter().enumerate() {
            let start = received.len();
            received.extend_from_slice(packet);
            output.pieces.push(Piece::Received(start..received.len()));
            let pieces = index..index + 1;
            output.packets.push(Delivery { pieces, offload });
        }
        self.queue.deliver(&output, &received, &mut self.counters);
    }
}

/// Runs `test` in a namespace with a TUN that has 10.1.0.1, where 10.1.0.2 is behind it.
fn with_tun(offloads: TunOffloads, test: impl FnOnce(Tun) + Send) {
    let run = || {
        // SAFETY: no pointers; only this thread moves.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
            .expect("a network namespace (needs root)");
        let queue = TunQueue::new(open_tun("test0").expect("a TUN"), offloads, Fault::after(0))
            .expect("its offloads");
        for words in [
            "link set lo up",
            "addr add 10.1.0.1/24 dev test0",
            "link set test0 up",
        ] {
            assert!(
                Command::new("ip")
                    .args(words.split(' '))
                    .status()
                    .expect("ip")
                    .success()
            );
        }
        test(Tun {
            queue,
            counters: ShellCounters::default(),
        });
    };
    thread::scope(|scope| scope.spawn(run).join()).expect("the test");
}

/// A UDP packet from 10.1.0.2:9 to 10.1.0.1:`port` with a partial checksum.
fn udp_packet(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = HEADERS + payload.len();
    let mut packet = vec![0; HEADERS];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    packet[8] = 64;
    packet[9] = 17;
    packet[12..20].copy_from_slice(&[10, 1, 0, 2, 10, 1, 0, 1]);
    packet[20..22].copy_from_slice(&9u16.to_be_bytes());
    packet[22..24].copy_from_slice(&port.to_be_bytes());
    packet[24..26].copy_from_slice(&((length - 20) as u16).to_be_bytes());
    let header = folded(&packet[..20], 0);
    packet[10..12].copy_from_slice(&(!header).to_be_bytes());
    let pseudo = folded(&packet[12..20], 17 + (length as u32 - 20));
    packet[26..28].copy_from_slice(&pseudo.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn folded(bytes: &[u8], start: u32) -> u16 {
    let sum = bytes.as_chunks::<2>().0.iter().fold(start, |sum, word| {
        sum + u32::from(u16::from_be_bytes(*word))
    });
    ((sum & 0xffff) + (sum >> 16)) as u16
}

fn receiver() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("10.1.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn received(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut buffer = [0; 65_536];
    (0..count)
        .map(|_| {
            socket
                .recv(&mut buffer)
                .map(|length| buffer[..length].to_vec())
                .unwrap()
        })
        .collect()
}

fn super_packet(port: u16, size: u16) -> (Vec<u8>, Offload, Vec<Vec<u8>>) {
    let payload: Vec<u8> = (0..5000u32).map(|index| (index * 7) as u8).collect();
    let segment = Segment {
        kind: SegmentKind::Udp,
        header_len: HEADERS as u16,
        size,
    };
    let offload = Offload {
        partial_checksum: Some(UDP_CHECKSUM),
        segment: Some(segment),
    };
    let pieces = payload.chunks(size.into()).map(<[u8]>::to_vec).collect();
    (udp_packet(port, &payload), offload, pieces)
}

#[test]
fn a_super_packet_is_delivered_as_the_packets_it_means_whoever_cuts_it() {
    for offloads in [
        ALL,
        TunOffloads {
            segmentation: false,
            udp_segmentation: false,
            ..ALL
        },
        NONE,
    ] {
        with_tun(offloads, |mut tun| {
            let (socket, port) = receiver();
            let (packet, offload, pieces) = super_packet(port, 1200);
            tun.deliver(&packet, offload);
            assert_eq!(received(&socket, pieces.len()), pieces);
            assert_eq!(tun.counters, ShellCounters::default());
        });
    }
}

#[test]
fn a_partial_checksum_is_completed_by_the_kernel_or_here() {
    for offloads in [ALL, NONE] {
        with_tun(offloads, |mut tun| {
            let (socket, port) = receiver();
            let offload = Offload {
                partial_checksum: Some(UDP_CHECKSUM),
                segment: None,
            };
            tun.deliver(&udp_packet(port, b"odd"), offload);
            assert_eq!(received(&socket, 1), [b"odd"]);
        });
    }
}

#[test]
fn a_super_packet_that_the_kernel_refuses_is_cut_here_and_so_are_all_after_it() {
    with_tun(ALL, |mut tun| {
        let (socket, port) = receiver();
        // The kernel has this size for a purpose of its own, and refuses it.
        let (packet, offload, pieces) = super_packet(port, u16::MAX);
        tun.deliver(&packet, offload);
        assert_eq!(received(&socket, 1), pieces);
        assert_eq!(
            tun.counters,
            ShellCounters {
                tun_udp_segmentation_step_downs: 1,
                ..Default::default()
            }
        );
        assert!(!tun.queue.offloads.udp_segmentation);
        let (packet, offload, pieces) = super_packet(port, 1000);
        tun.deliver(&packet, offload);
        assert_eq!(received(&socket, pieces.len()), pieces);
    });
}

#[test]
fn neighbours_of_a_flow_arrive_as_they_were_whether_they_are_joined_or_not() {
    for offloads in [ALL, NONE] {
        with_tun(offloads, |mut tun| {
            let (one, one_port) = receiver();
            let (other, other_port) = receiver();
            let offload = Offload {
                partial_checksum: Some(UDP_CHECKSUM),
                segment: None,
            };
            let payload = |index: usize, length: usize| vec![index as u8; length];
            // Longer than a super-packet, a short one, a longer one, one of another flow between.
            let mut sizes = vec![64; 150];
            sizes.extend([10, 64, 64, 65, 1]);
            let of_one: Vec<Vec<u8>> = (0..).zip(sizes).map(|(i, n)| payload(i, n)).collect();
            let mut packets: Vec<Vec<u8>> = of_one
                .iter()
                .map(|payload| udp_packet(one_port, payload))
                .collect();
            packets.insert(20, udp_packet(other_port, b"between"));
            tun.deliver_all(&packets, offload);
            assert_eq!(received(&one, of_one.len()), of_one);
            assert_eq!(received(&other, 1), [b"between"]);
            assert_eq!(tun.counters, ShellCounters::default());
        });
    }
}

#[test]
fn an_interface_that_is_down_costs_packets_and_no_offload() {
    with_tun(ALL, |mut tun| {
        assert!(
            Command::new("ip")
                .args(["link", "set", "test0", "down"])
                .status()
                .unwrap()
                .success()
        );
        let (packet, offload, pieces) = super_packet(9, 1000);
        tun.deliver(&packet, offload);
        let lost = pieces.len() as u64;
        assert_eq!(
            tun.counters,
            ShellCounters {
                tun_refused: lost,
                ..Default::default()
            }
        );
        assert!(tun.queue.offloads.segmentation);
        let mut batch = PacketBatch::new();
        tun.queue.receive(&mut batch, &mut tun.counters).unwrap();
    });
}

#[test]
fn packets_of_the_host_are_read_with_what_is_left_to_do() {
    for offloads in [ALL, NONE] {
        with_tun(offloads, |mut tun| {
            let socket = UdpSocket::bind("10.1.0.1:0").unwrap();
            for payload in [&b"first"[..], b"second"] {
                socket.send_to(payload, "10.1.0.2:7").unwrap();
            }
            let poller = Poller::new().unwrap();
            poller.add(std::os::fd::AsFd::as_fd(&tun.queue), 0).unwrap();
            poller.wait(5_000_000_000, &mut Vec::new()).unwrap();
            let mut batch = PacketBatch::new();
            tun.queue.receive(&mut batch, &mut tun.counters).unwrap();
            let sent: Vec<_> = batch
                .packets()
                .filter(|packet| packet.bytes[0] >> 4 == 4 && packet.bytes[9] == 17)
                .collect();
            let payloads: Vec<&[u8]> = sent.iter().map(|packet| &packet.bytes[HEADERS..]).collect();
            assert_eq!(payloads, [&b"first"[..], b"second"]);
            let left = offloads.checksum.then_some(UDP_CHECKSUM);
            assert!(sent.iter().all(|packet| packet.offload
                == Offload {
                    partial_checksum: left,
                    segment: None
                }));
        });
    }
}

#[test]
fn where_one_packet_is_expected_one_is_read_and_the_next_time_all_others() {
    with_tun(ALL, |mut tun| {
        let poller = Poller::new().unwrap();
        poller.add(std::os::fd::AsFd::as_fd(&tun.queue), 0).unwrap();
        let mut batch = PacketBatch::new();
        // What the kernel itself has to say of a new interface.
        tun.queue.receive(&mut batch, &mut tun.counters).unwrap();
        let socket = UdpSocket::bind("10.1.0.1:0").unwrap();
        for payload in [b"first", b"later", b"third"] {
            socket.send_to(payload, "10.1.0.2:7").unwrap();
        }
        poller.wait(5_000_000_000, &mut Vec::new()).unwrap();
        batch.expect_one();
        tun.queue.receive(&mut batch, &mut tun.counters).unwrap();
        assert_eq!(batch.packets().count(), 1);
        tun.queue.receive(&mut batch, &mut tun.counters).unwrap();
        assert!(batch.packets().count() >= 2);
    });
}

#[test]
fn a_name_that_is_none_is_refused() {
    for name in ["", "a-name-that-is-too-long", "a\0b"] {
        assert_eq!(
            open_tun(name).unwrap_err().kind(),
            std::io::ErrorKind::InvalidInput
        );
    }
}
