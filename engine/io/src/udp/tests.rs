//! Two uplinks on the loopback, with the kernel's real offloads.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use overlayd_node::Transmit;

use super::send::Run;
use super::{DatagramBatch, Runs, UdpOffloads, Uplink, address, open_udp};
use crate::counters::ShellCounters;
use crate::fault::Fault;
use crate::sys::{Poller, check, set_option};

const ALL: UdpOffloads = UdpOffloads {
    gso: true,
    gro: true,
};
const NONE: UdpOffloads = UdpOffloads {
    gso: false,
    gro: false,
};
const WAIT: u64 = 10_000_000_000;

/// A datagram as it came.
#[derive(Debug, PartialEq, Eq)]
struct Arrival {
    bytes: Vec<u8>,
    remote: SocketAddr,
    ecn: u8,
}

struct End {
    uplink: Uplink,
    address: SocketAddr,
    batch: DatagramBatch,
    counters: ShellCounters,
}

impl End {
    fn new(local: &str, offloads: UdpOffloads) -> Self {
        let fd = open_udp(local.parse().unwrap()).unwrap();
        let (mut name, mut length) = (address::empty(), address::NAME_LEN);
        // SAFETY: the pointers are to a live name and its length.
        let done =
            unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut name).cast(), &raw mut length) };
        check(done).unwrap();
        Self {
            uplink: Uplink::new(fd, 0, offloads, Fault::after(0)),
            address: address::decode(&name).unwrap(),
            batch: DatagramBatch::new(),
            counters: ShellCounters::default(),
        }
    }

    fn send(&mut self, remote: SocketAddr, sizes: &[usize], ecn: u8) -> Vec<Vec<u8>> {
        let datagrams: Vec<Vec<u8>> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| vec![index as u8; *size])
            .collect();
        let bytes = datagrams.concat();
        let mut end = 0;
        let transmits: Vec<Transmit> = sizes
            .iter()
            .map(|size| {
                end += size;
                Transmit {
                    uplink: 0,
                    remote,
                    ecn,
                    range: end - size..end,
                }
            })
            .collect();
        self.uplink
            .send(&bytes, &transmits, &mut Runs::default(), &mut self.counters);
        datagrams
    }

    fn receive(&mut self, count: usize) -> Vec<Arrival> {
        let poller = Poller::new().unwrap();
        poller.add(self.uplink.as_fd(), 0).unwrap();
        let (mut arrivals, mut ready) = (Vec::new(), Vec::new());
        while arrivals.len() < count {
            poller.wait(WAIT, &mut ready).unwrap();
            assert!(
                !ready.is_empty(),
                "only {} of {count} datagrams came",
                arrivals.len()
            );
            self.uplink
                .receive(&mut self.batch, &mut self.counters)
                .unwrap();
            let (received, datagrams) = self.batch.parts();
            arrivals.extend(datagrams.iter().map(|datagram| Arrival {
                bytes: received[datagram.range.clone()].to_vec(),
                remote: datagram.remote,
                ecn: datagram.ecn,
            }));
        }
        arrivals
    }
}

/// Neighbours of many sizes: runs, a run with a shorter last, a growing size, more than one run of the most segments.
fn sizes() -> Vec<usize> {
    let mut sizes = vec![1200; 150];
    sizes.extend([300, 1300, 1301, 1301, 7, 7, 7, 6, 1]);
    sizes
}

#[test]
fn datagrams_arrive_in_order_and_with_their_bounds_whatever_the_offloads() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        for (sending, receiving) in [(ALL, ALL), (ALL, NONE), (NONE, ALL), (NONE, NONE)] {
            let (mut a, mut b) = (End::new(local, sending), End::new(local, receiving));
            let sent = a.send(b.address, &sizes(), 0);
            let arrivals = b.receive(sent.len());
            assert_eq!(
                arrivals
                    .iter()
                    .map(|arrival| &arrival.bytes)
                    .collect::<Vec<_>>(),
                sent.iter().collect::<Vec<_>>()
            );
            assert!(
                arrivals
                    .iter()
                    .all(|arrival| arrival.remote == a.address && arrival.ecn == 0)
            );
            assert_eq!((a.counters, b.counters), Default::default());
        }
    }
}

#[test]
fn ecn_bits_cross_with_runs_and_with_single_datagrams() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        for ecn in [1, 2, 3] {
            let (mut a, mut b) = (End::new(local, ALL), End::new(local, ALL));
            a.send(b.address, &[900, 900, 900], ecn);
            a.send(b.address, &[800], ecn);
            assert!(b.receive(4).iter().all(|arrival| arrival.ecn == ecn));
        }
    }
}

#[test]
fn what_the_kernel_refuses_is_counted_and_stops_nothing() {
    let (mut a, mut b) = (End::new("127.0.0.1:0", ALL), End::new("127.0.0.1:0", ALL));
    a.send(b.address, &[65_530], 0);
    assert_eq!(a.counters.udp_too_big, 1);
    a.send("[::1]:9".parse().unwrap(), &[100, 100], 0);
    assert_eq!(a.counters.udp_refused, 2);
    a.send(b.address, &[100], 0);
    assert_eq!(b.receive(1).len(), 1);
    assert_eq!(a.counters.udp_gso_step_downs, 0);
}

#[test]
fn a_failing_segmented_send_is_replayed_and_given_up() {
    let (mut a, mut b) = (End::new("127.0.0.1:0", ALL), End::new("127.0.0.1:0", ALL));
    // The kernel refuses to segment (EINVAL) where it is told to send no checksums, but sends single datagrams.
    set_option(a.uplink.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
    let sent = a.send(b.address, &[1000; 100], 0);
    assert_eq!(
        b.receive(100)
            .into_iter()
            .map(|arrival| arrival.bytes)
            .collect::<Vec<_>>(),
        sent
    );
    assert_eq!(
        a.counters,
        ShellCounters {
            udp_gso_step_downs: 1,
            ..Default::default()
        }
    );
    a.send(b.address, &[1000; 100], 0);
    b.receive(100);
    assert_eq!(a.counters.udp_gso_step_downs, 1);
}

#[test]
fn what_waits_for_a_full_socket_leaves_in_order_before_what_comes_after() {
    let (mut a, mut b) = (End::new("127.0.0.1:0", ALL), End::new("127.0.0.1:0", ALL));
    let first = Transmit {
        uplink: 0,
        remote: b.address,
        ecn: 0,
        range: 0..3,
    };
    a.uplink
        .pending
        .push(b"one", &Run::of(&first), &mut a.counters);
    assert!(a.uplink.has_pending());
    a.send(b.address, &[5, 5, 5], 0);
    a.uplink.send_pending(&mut a.counters);
    assert!(!a.uplink.has_pending());
    let arrived: Vec<Vec<u8>> = b
        .receive(4)
        .into_iter()
        .map(|arrival| arrival.bytes)
        .collect();
    assert_eq!(
        arrived,
        [b"one".to_vec(), vec![0; 5], vec![1; 5], vec![2; 5]]
    );
}

#[test]
fn what_may_wait_is_bounded_and_the_rest_is_counted() {
    let mut a = End::new("127.0.0.1:0", ALL);
    let bytes = vec![0; 60_000];
    let one = Transmit {
        uplink: 0,
        remote: "127.0.0.1:9".parse().unwrap(),
        ecn: 0,
        range: 0..bytes.len(),
    };
    for _ in 0..100 {
        a.uplink
            .pending
            .push(&bytes, &Run::of(&one), &mut a.counters);
    }
    assert_eq!(a.counters.udp_send_overflow, 100 - (4 << 20) / 60_000);
}

#[test]
fn where_one_datagram_is_expected_one_is_received_and_the_next_time_all_others() {
    let (mut a, mut b) = (End::new("127.0.0.1:0", NONE), End::new("127.0.0.1:0", NONE));
    a.send(b.address, &[100; 4], 0);
    b.batch.expect_one();
    assert_eq!(b.receive(1).len(), 1);
    assert_eq!(b.receive(1).len(), 3);
}

#[test]
fn drops_of_a_full_receive_buffer_are_counted() {
    let (mut a, mut b) = (End::new("127.0.0.1:0", NONE), End::new("127.0.0.1:0", NONE));
    set_option(b.uplink.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 8192).unwrap();
    a.send(b.address, &[1000; 200], 0);
    let kept = b.drain();
    a.send(b.address, &[1000], 0);
    let last = b.receive(1).len();
    assert_eq!(last, 1);
    assert_eq!(b.counters.udp_receive_overflow, 200 - kept as u64);
}

impl End {
    /// How many datagrams lie there already.
    fn drain(&mut self) -> usize {
        let mut count = 0;
        loop {
            self.uplink
                .receive(&mut self.batch, &mut self.counters)
                .unwrap();
            if self.batch.is_empty() {
                return count;
            }
            count += self.batch.parts().1.len();
        }
    }
}
