//! UDP: datagrams in bursts, each burst answered with what of it is missing, so that in the end all of them have been compared. I/O.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::bytes::{Dice, difference, fill};
use crate::sockets::{self, UDP_GRO, UDP_SEGMENT, set};
use crate::{Found, Job, Kind, ready, wrong};

const PATIENCE: Duration = Duration::from_secs(60);
/// Without an answer for so long, the sender asks.
const QUIET: Duration = Duration::from_millis(100);
/// Bursts under way.
const WINDOW: u64 = 4;
const RECEIVE_BUFFER: i32 = 16 << 20;
const LONGEST: usize = 1 << 16;
/// A datagram begins with its number: burst, and place in it.
const HEADER: u64 = 8;
const PLACE_BITS: u32 = 16;
/// Set in the number: sent again; or no datagram, but the question what is missing.
const AGAIN: u64 = 1 << 63;
const QUESTION: u64 = 1 << 62;
/// Numbers in an answer.
const LISTED: usize = 100;
/// A stream of numbers.
const SIZES: u64 = 4;

/// Sizes of the datagrams of one burst.
fn burst(job: &Job, v6: bool, number: u64) -> Vec<u64> {
    let mut dice = Dice::new(job.seed, SIZES.wrapping_add(number << 8));
    // What fits into our own interface, and what UDP can have at most.
    let (whole, most) = if v6 { (1332, 65_527) } else { (1352, 65_507) };
    match job.kind {
        Kind::Trains => {
            let size = dice.between(HEADER + 1, whole);
            let full = match dice.below(3) {
                0 if size >= 1100 => most,
                0 => (size * 64).min(most),
                _ => (size * dice.between(1, 63)).min(most),
            };
            let last = if full == most { 0 } else { dice.below(size) };
            let total = (full - last).max(size);
            let mut sizes = vec![size; (total / size) as usize];
            sizes.extend((total % size >= HEADER).then_some(total % size));
            sizes
        }
        Kind::Fragments => (0..dice.between(1, 3))
            .map(|_| match dice.below(3) {
                0 => dice.between(most - 1000, most),
                1 => dice.between(whole + 1, 3 * whole),
                _ => dice.between(whole + 1, most),
            })
            .collect(),
        _ => (0..dice.between(1, 60))
            .map(|_| dice.between(HEADER, whole))
            .collect(),
    }
}

/// Bursts until their datagrams have the bytes of the job.
fn bursts(job: &Job, v6: bool) -> u64 {
    let mut left = job.bytes;
    let mut number = 0;
    while left > 0 {
        left = left.saturating_sub(burst(job, v6, number).iter().sum());
        number += 1;
    }
    number
}

/// Writes the datagram of this number into `out`.
fn write(job: &Job, number: u64, out: &mut [u8]) {
    let (head, body) = out.split_at_mut(HEADER as usize);
    head.copy_from_slice(&number.to_be_bytes());
    fill(job.seed ^ (number & !AGAIN), 0, body);
}

pub(crate) fn send(remote: SocketAddr, job: &Job) -> io::Result<()> {
    let any: SocketAddr = if remote.is_ipv6() {
        "[::]:0".parse().map_err(io::Error::other)?
    } else {
        "0.0.0.0:0".parse().map_err(io::Error::other)?
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(remote)?;
    // Beyond the MTU, the kernel is to make fragments.
    set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, 0)?;
    if remote.is_ipv6() {
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, 0)?;
    }
    let (v6, count) = (remote.is_ipv6(), bursts(job, remote.is_ipv6()));
    let mut buffer = vec![0; LONGEST];
    let (mut next, mut confirmed) = (0, 0);
    let mut heard = Instant::now();
    let mut missing = Vec::new();
    loop {
        for number in missing.drain(..) {
            let sizes = burst(job, v6, number >> PLACE_BITS);
            let size = sizes[(number as u16) as usize] as usize;
            write(job, number | AGAIN, &mut buffer[..size]);
            set(&socket, libc::SOL_UDP, UDP_SEGMENT, 0)?;
            give(&socket, &buffer[..size])?;
        }
        while next < count && next < confirmed + WINDOW {
            send_burst(&socket, job, next, &burst(job, v6, next), &mut buffer)?;
            next += 1;
        }
        socket.set_read_timeout(Some(QUIET))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let mut words = buffer[..length].as_chunks::<8>().0.iter();
                let answered = words.next().map_or(0, |word| u64::from_be_bytes(*word));
                if answered == count && length == HEADER as usize {
                    return Ok(());
                }
                if answered >= confirmed {
                    confirmed = answered;
                    missing.extend(words.map(|word| u64::from_be_bytes(*word)));
                }
                heard = Instant::now();
            }
            // The receiver has ended, and says itself how.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) if is_silence(&error) && heard.elapsed() < PATIENCE => {
                set(&socket, libc::SOL_UDP, UDP_SEGMENT, 0)?;
                give(&socket, &(QUESTION | next).to_be_bytes())?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn send_burst(
    socket: &UdpSocket,
    job: &Job,
    number: u64,
    sizes: &[u64],
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut end = 0;
    for (place, size) in (0u64..).zip(sizes) {
        let start = end;
        end += *size as usize;
        write(job, number << PLACE_BITS | place, &mut buffer[start..end]);
        if job.kind != Kind::Trains {
            give(socket, &buffer[start..end])?;
            end = 0;
        }
    }
    if job.kind == Kind::Trains {
        set(socket, libc::SOL_UDP, UDP_SEGMENT, sizes[0] as i32)?;
        give(socket, &buffer[..end])?;
    }
    Ok(())
}

/// What a full queue refuses is sent again later; what nobody takes any more is found out by who waits for the answer.
fn give(socket: &UdpSocket, bytes: &[u8]) -> io::Result<()> {
    match socket.send(bytes) {
        Err(error)
            if !matches!(
                error.raw_os_error(),
                Some(libc::ENOBUFS | libc::ECONNREFUSED)
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

pub(crate) fn receive(address: IpAddr, job: &Job) -> io::Result<Found> {
    let socket = UdpSocket::bind((address, 0))?;
    let buffer_size = libc::SO_RCVBUFFORCE;
    set(&socket, libc::SOL_SOCKET, buffer_size, RECEIVE_BUFFER)?;
    if job.kind == Kind::Trains {
        set(&socket, libc::SOL_UDP, UDP_GRO, 1)?;
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    ready(socket.local_addr()?.port())?;
    let mut buffer = vec![0; LONGEST];
    let (_, sender) = socket.peek_from(&mut buffer)?;
    socket.connect(sender)?;
    let mut receiver = Receiver {
        job,
        v6: address.is_ipv6(),
        next: (0, 0),
        sizes: burst(job, address.is_ipv6(), 0),
        missing: BTreeSet::new(),
        scratch: Vec::new(),
        found: Found::default(),
    };
    let count = bursts(job, address.is_ipv6());
    let mut done = false;
    loop {
        let (length, size) = match sockets::receive(&socket, &mut buffer) {
            Ok(received) => received,
            // The sender has its last answer.
            Err(error) if done && is_silence(&error) => return Ok(receiver.found),
            Err(error) => return Err(error),
        };
        for datagram in buffer[..length].chunks(size.max(1)) {
            if receiver.take(datagram)? {
                receiver.answer(&socket)?;
            }
        }
        if !done && receiver.next.0 == count && receiver.missing.is_empty() {
            done = true;
            socket.set_read_timeout(Some(3 * QUIET))?;
        }
    }
}

fn is_silence(error: &io::Error) -> bool {
    // A sender that has ended is one way to be silent.
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::ConnectionRefused
    )
}

struct Receiver<'a> {
    job: &'a Job,
    v6: bool,
    /// Burst, and place in it.
    next: (u64, u64),
    /// Of the burst that `next` is in.
    sizes: Vec<u64>,
    missing: BTreeSet<u64>,
    scratch: Vec<u8>,
    found: Found,
}

impl Receiver<'_> {
    /// Compares a datagram. Whether an answer is due.
    fn take(&mut self, datagram: &[u8]) -> io::Result<bool> {
        let Some((head, body)) = datagram.split_first_chunk() else {
            return Err(wrong(format!("{} bytes", datagram.len())));
        };
        let head = u64::from_be_bytes(*head);
        if head & QUESTION != 0 {
            while self.next.0 < head & !QUESTION {
                self.skip();
            }
            return Ok(true);
        }
        let number = head & !AGAIN;
        if let Some(at) = difference(self.job.seed ^ number, 0, body, &mut self.scratch) {
            return Err(wrong(format!(
                "datagram {head:x}: other bytes from {at} on"
            )));
        }
        let place = (number >> PLACE_BITS, u64::from(number as u16));
        if head & AGAIN != 0 {
            // The first copy may have come meanwhile, late.
            self.found.resent += 1;
            if self.missing.remove(&number) {
                self.count(place, datagram)?;
            }
            return Ok(self.missing.is_empty());
        }
        if place < self.next {
            if !self.missing.remove(&number) {
                return Err(wrong(format!("datagram {number:x} came twice")));
            }
            self.found.late += 1;
            self.count(place, datagram)?;
            return Ok(false);
        }
        while self.next < place {
            self.skip();
        }
        self.count(place, datagram)?;
        self.step();
        Ok(self.next.1 == 0)
    }

    fn count(&mut self, (number, place): (u64, u64), datagram: &[u8]) -> io::Result<()> {
        let size = if number == self.next.0 {
            self.sizes.get(place as usize).copied()
        } else {
            let sizes = burst(self.job, self.v6, number);
            sizes.get(place as usize).copied()
        };
        if size != Some(datagram.len() as u64) {
            let length = datagram.len();
            return Err(wrong(format!(
                "datagram {number}.{place} has {length} bytes in place of {size:?}"
            )));
        }
        self.found.bytes += datagram.len() as u64;
        self.found.datagrams += 1;
        Ok(())
    }

    fn skip(&mut self) {
        self.missing.insert(self.next.0 << PLACE_BITS | self.next.1);
        self.step();
    }

    fn step(&mut self) {
        self.next.1 += 1;
        if self.next.1 == self.sizes.len() as u64 {
            self.next = (self.next.0 + 1, 0);
            self.sizes = burst(self.job, self.v6, self.next.0);
        }
    }

    /// How many bursts have ended, and what of them is missing.
    fn answer(&self, socket: &UdpSocket) -> io::Result<()> {
        let listed = self.missing.iter().take(LISTED);
        let words = std::iter::once(&self.next.0).chain(listed);
        let bytes: Vec<u8> = words.flat_map(|word| word.to_be_bytes()).collect();
        match socket.send(&bytes) {
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => Err(error),
            _ => Ok(()),
        }
    }
}
