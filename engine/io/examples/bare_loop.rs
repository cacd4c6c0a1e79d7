//! The bare loop of `make bench-dataplane`: what an engine that costs nothing would reach.
//!
//! The same TUN and UDP calls as the engine's shell, one AES-256-GCM call per datagram each way, and nothing else: no
//! sessions, no tables, no replay window, no repair. A packet or super-packet of the TUN is read straight into the bodies
//! of consecutive datagrams, sealed in place and sent as one run; at the far end the bodies are opened in place and
//! written as one packet again. The key is fixed: this carries benchmarks, never traffic. I/O.
//!
//! `bare_loop INTERFACE LOCAL REMOTE` makes the interface, whose address and MTU are for the caller to set.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use overlayd_io::{open_tun, open_udp};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const VNET_LEN: usize = 10;
/// Counter (8), place in the packet (2), datagrams of the packet (2).
const HEADER: usize = 12;
const TAG: usize = 16;
/// A full datagram fills an Ethernet frame: 1500 less IPv4 and UDP.
const DATAGRAM: usize = 1472;
const BODY: usize = DATAGRAM - HEADER - TAG;
const PACKET_MAX: usize = VNET_LEN + 65_535;
const PIECES: usize = PACKET_MAX.div_ceil(BODY);
/// As in the engine's shell: many small packets or four super-packets a batch.
const ARENA: usize = 4 * PIECES * DATAGRAM;
const READS: usize = 64;
const SENDS: usize = 32;
const SEGMENTS_MAX: usize = 63;
const RUN_MAX: usize = 65_000;
const RECEIVES: usize = 32;
const SLOT: usize = 65_536;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [interface, local, remote] = words.as_slice() else {
        return Err(io::Error::other("usage: bare_loop INTERFACE LOCAL REMOTE"));
    };
    let (local, remote) = (address(local)?, address(remote)?);
    let tun = tun_with_offloads(interface)?;
    let udp = udp_with_offloads(local, remote)?;
    let key = || UnboundKey::new(&AES_256_GCM, &[0x5a; 32]).map(LessSafeKey::new);
    // The lower end and the higher end of a pair must not use one nonce twice.
    let side = u32::from(local > remote);
    let mut out = Outward::new(key().map_err(io::Error::other)?, side);
    let mut into = Inward::new(key().map_err(io::Error::other)?, 1 - side);
    loop {
        // One batch each way a turn, so that neither way waits for the other to run dry.
        let [tun_ready, udp_ready] = wait([(&tun, libc::POLLIN), (&udp, libc::POLLIN)])?;
        if tun_ready {
            out.read(&tun)?;
            out.send(&udp)?;
        }
        if udp_ready && into.receive(&udp)? {
            into.write(&tun)?;
        }
    }
}

/// From the TUN to the underlay.
struct Outward {
    key: LessSafeKey,
    side: u32,
    counter: u64,
    arena: Vec<u8>,
    runs: Vec<Run>,
    /// What the first body has no room for while only small packets are expected.
    spill: Vec<u8>,
    large: bool,
}

/// Datagrams of `segment` bytes each, the last may be shorter.
struct Run {
    start: usize,
    end: usize,
    segment: usize,
}

impl Outward {
    fn new(key: LessSafeKey, side: u32) -> Self {
        Self {
            key,
            side,
            counter: 0,
            arena: vec![0; ARENA],
            runs: Vec::with_capacity(READS),
            spill: vec![0; PACKET_MAX - BODY],
            large: false,
        }
    }

    /// Reads and seals one batch.
    fn read(&mut self, tun: &OwnedFd) -> io::Result<()> {
        self.runs.clear();
        let mut free = 0;
        for _ in 0..READS {
            if self.arena.len() - free < PIECES * DATAGRAM {
                break;
            }
            let Some(length) = self.read_packet(tun, free)? else {
                break;
            };
            free = self.seal(free, length)?;
        }
        Ok(())
    }

    /// Reads a packet into the bodies from `free` on; its length.
    fn read_packet(&mut self, tun: &OwnedFd, free: usize) -> io::Result<Option<usize>> {
        let mut pieces = [NO_PIECE; PIECES];
        let mut slots = self.arena[free..].chunks_exact_mut(DATAGRAM);
        // A call is dearer with every piece, so a small packet is not offered what only a large one needs.
        let count = if self.large {
            for (piece, slot) in pieces.iter_mut().zip(slots) {
                *piece = piece_of(&mut slot[HEADER..HEADER + BODY]);
            }
            PIECES
        } else {
            let first = slots.next().unwrap_or_default();
            pieces[0] = piece_of(&mut first[HEADER..HEADER + BODY]);
            pieces[1] = piece_of(&mut self.spill);
            2
        };
        // SAFETY: every piece is a live part of the arena or the spill that nothing else borrows.
        let given = unsafe { libc::readv(tun.as_raw_fd(), pieces.as_ptr(), count as libc::c_int) };
        let Some(length) = unless_empty(given)? else {
            return Ok(None);
        };
        if !self.large && length > BODY {
            let slots = self.arena[free..].chunks_exact_mut(DATAGRAM).skip(1);
            for (slot, body) in slots.zip(self.spill[..length - BODY].chunks(BODY)) {
                slot[HEADER..HEADER + body.len()].copy_from_slice(body);
            }
        }
        self.large = length > BODY;
        Ok(Some(length))
    }

    /// Seals the packet of `length` bytes whose first datagram begins at `start`; where its last one ends.
    fn seal(&mut self, start: usize, length: usize) -> io::Result<usize> {
        let count = length.div_ceil(BODY);
        let mut at = start;
        for index in 0..count {
            let body = (length - index * BODY).min(BODY);
            let datagram = &mut self.arena[at..at + HEADER + body + TAG];
            let (header, rest) = datagram.split_at_mut(HEADER);
            header[..8].copy_from_slice(&self.counter.to_be_bytes());
            header[8..10].copy_from_slice(&(index as u16).to_be_bytes());
            header[10..].copy_from_slice(&(count as u16).to_be_bytes());
            let (body, tag) = rest.split_at_mut(body);
            let sealed = self
                .key
                .seal_in_place_separate_tag(
                    nonce(self.side, self.counter),
                    Aad::from(&header),
                    body,
                )
                .map_err(io::Error::other)?;
            tag.copy_from_slice(sealed.as_ref());
            self.counter += 1;
            let end = at + HEADER + body.len() + TAG;
            self.append(at, end);
            at = end;
        }
        Ok(at)
    }

    /// Adds a datagram to the last run if it may be a segment of it, else begins one.
    fn append(&mut self, start: usize, end: usize) {
        let length = end - start;
        if let Some(run) = self.runs.last_mut() {
            let so_far = run.end - run.start;
            if length <= run.segment
                && so_far.is_multiple_of(run.segment)
                && so_far / run.segment < SEGMENTS_MAX
                && so_far + length <= RUN_MAX
            {
                run.end = end;
                return;
            }
        }
        self.runs.push(Run {
            start,
            end,
            segment: length,
        });
    }

    fn send(&mut self, udp: &OwnedFd) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = self.runs.get(done..).filter(|rest| !rest.is_empty()) {
            let count = rest.len().min(SENDS);
            let mut pieces = [NO_PIECE; SENDS];
            let mut controls = [[0u64; 3]; SENDS];
            let mut headers = [empty_header(); SENDS];
            for (index, run) in rest.iter().take(count).enumerate() {
                pieces[index] = libc::iovec {
                    iov_base: self.arena[run.start..run.end].as_ptr().cast_mut().cast(),
                    iov_len: run.end - run.start,
                };
                let header = &mut headers[index].msg_hdr;
                header.msg_iov = &raw mut pieces[index];
                header.msg_iovlen = 1;
                if run.end - run.start > run.segment {
                    note_segment(header, &mut controls[index], run.segment as u16);
                }
            }
            // SAFETY: the first `count` headers point to live buffers of the lengths beside them, only read from.
            let sent = unsafe {
                libc::sendmmsg(
                    udp.as_raw_fd(),
                    headers.as_mut_ptr(),
                    count as _,
                    libc::MSG_DONTWAIT as _,
                )
            };
            match unless_empty(sent as isize)? {
                Some(sent) => done += sent,
                None => wait([(udp, libc::POLLOUT)]).map(drop)?,
            }
        }
        Ok(())
    }
}

/// From the underlay to the TUN.
struct Inward {
    key: LessSafeKey,
    side: u32,
    slots: Vec<u8>,
    /// Slot, bytes in it, bytes of each of its datagrams.
    messages: Vec<(usize, usize, usize)>,
    /// The bodies of the packet that is being put together; `count` when it is whole.
    pieces: Vec<libc::iovec>,
    count: usize,
    /// Bodies that arrived in an earlier batch, whose slots are in use again.
    kept: Vec<u8>,
    kept_bodies: usize,
}

impl Inward {
    fn new(key: LessSafeKey, side: u32) -> Self {
        Self {
            key,
            side,
            slots: vec![0; RECEIVES * SLOT],
            messages: Vec::with_capacity(RECEIVES),
            pieces: Vec::with_capacity(PIECES),
            count: 0,
            kept: Vec::new(),
            kept_bodies: 0,
        }
    }

    /// Receives one batch; false: nothing waits.
    fn receive(&mut self, udp: &OwnedFd) -> io::Result<bool> {
        self.messages.clear();
        let mut pieces = [NO_PIECE; RECEIVES];
        let mut controls = [[0u64; 16]; RECEIVES];
        let mut headers = [empty_header(); RECEIVES];
        for (index, slot) in self.slots.chunks_exact_mut(SLOT).enumerate() {
            pieces[index] = piece_of(slot);
            let header = &mut headers[index].msg_hdr;
            header.msg_iov = &raw mut pieces[index];
            header.msg_iovlen = 1;
            header.msg_control = controls[index].as_mut_ptr().cast();
            header.msg_controllen = size_of_val(&controls[index]) as _;
        }
        // SAFETY: every pointer in the headers is to a live buffer of the length beside it, and nothing else borrows them.
        let given = unsafe {
            libc::recvmmsg(
                udp.as_raw_fd(),
                headers.as_mut_ptr(),
                RECEIVES as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let Some(given) = unless_empty(given as isize)? else {
            return Ok(false);
        };
        for (slot, header) in headers.iter().enumerate().take(given) {
            let length = header.msg_len as usize;
            self.messages
                .push((slot, length, segment_of(&header.msg_hdr).unwrap_or(length)));
        }
        Ok(true)
    }

    /// Opens the batch and writes the packets that it completes.
    fn write(&mut self, tun: &OwnedFd) -> io::Result<()> {
        for index in 0..self.messages.len() {
            let (slot, length, segment) = self.messages[index];
            let start = slot * SLOT;
            for at in (start..start + length).step_by(segment.max(1)) {
                let end = (at + segment).min(start + length);
                self.open(at, end);
                if self.count > 0 && self.kept_bodies + self.pieces.len() == self.count {
                    self.finish(tun)?;
                }
            }
        }
        self.keep();
        Ok(())
    }

    /// Opens the datagram in place and takes its body in. What does not open, or follow the one before, is dropped, and the packet
    /// with it.
    fn open(&mut self, start: usize, end: usize) {
        let Some((header, sealed)) = self.slots[start..end].split_first_chunk_mut::<HEADER>()
        else {
            return;
        };
        let [counter @ .., i0, i1, c0, c1] = *header;
        let (index, count) = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([c0, c1]));
        let nonce = nonce(self.side, u64::from_be_bytes(counter));
        let Ok(body) = self.key.open_in_place(nonce, Aad::from(&*header), sealed) else {
            return;
        };
        let piece = piece_of(body);
        if index == 0 {
            self.clear();
            self.count = usize::from(count);
        }
        if usize::from(index) == self.kept_bodies + self.pieces.len() {
            self.pieces.push(piece);
        } else {
            self.clear();
        }
    }

    fn finish(&mut self, tun: &OwnedFd) -> io::Result<()> {
        if !self.kept.is_empty() {
            let kept = piece_of(&mut self.kept);
            self.pieces.insert(0, kept);
        }
        // SAFETY: every piece is a live body of this batch, or the kept ones; they are only read from.
        let written = unsafe {
            let count = self.pieces.len() as libc::c_int;
            libc::writev(tun.as_raw_fd(), self.pieces.as_ptr(), count)
        };
        self.clear();
        match unless_empty(written) {
            // The interface is not up yet, or the packet is not one.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL)) => Ok(()),
            other => other.map(drop),
        }
    }

    /// What is incomplete at the end of a batch must outlive the slots.
    fn keep(&mut self) {
        for piece in self.pieces.drain(..) {
            // SAFETY: the piece is a body in `slots`, which nothing has written to since it was opened.
            let body =
                unsafe { std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len) };
            self.kept.extend_from_slice(body);
            self.kept_bodies += 1;
        }
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.kept.clear();
        self.kept_bodies = 0;
        self.count = 0;
    }
}

fn address(text: &str) -> io::Result<SocketAddr> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text}: not address:port")))
}

fn nonce(side: u32, counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&side.to_be_bytes());
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn tun_with_offloads(interface: &str) -> io::Result<OwnedFd> {
    let tun = open_tun(interface)?;
    let length = VNET_LEN as libc::c_int;
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
    let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    let fd = tun.as_raw_fd();
    // SAFETY: the pointer is to a live int; the other argument is a number.
    unsafe {
        check(libc::ioctl(
            fd,
            libc::TUNSETVNETHDRSZ as _,
            &raw const length,
        ))?;
        let set = |flags: libc::c_uint| {
            check(libc::ioctl(
                fd,
                libc::TUNSETOFFLOAD as _,
                libc::c_ulong::from(flags),
            ))
        };
        set(tcp | udp).or_else(|_| set(tcp))?;
    }
    Ok(tun)
}

fn udp_with_offloads(local: SocketAddr, remote: SocketAddr) -> io::Result<OwnedFd> {
    let socket = std::net::UdpSocket::from(open_udp(local)?);
    socket.connect(remote)?;
    let on: libc::c_int = 1;
    // SAFETY: the pointer is to a live int of the length given.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    })?;
    Ok(socket.into())
}

/// Waits until something is ready; which of them.
fn wait<const COUNT: usize>(
    wanted: [(&OwnedFd, libc::c_short); COUNT],
) -> io::Result<[bool; COUNT]> {
    let mut polls = wanted.map(|(fd, events)| libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    });
    // SAFETY: the pointer and count are of a live array.
    let ready = unsafe { libc::poll(polls.as_mut_ptr(), COUNT as libc::nfds_t, -1) };
    unless_empty(ready as isize)?;
    Ok(polls.map(|poll| poll.revents != 0))
}

const NO_PIECE: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

fn piece_of(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: all-zero (null pointers, no lengths) is a valid header.
    unsafe { mem::zeroed() }
}

fn note_segment(header: &mut libc::msghdr, control: &mut [u64; 3], segment: u16) {
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(control) as _;
    // SAFETY: `control` has room for one message of two bytes and is aligned for it; the macros stay inside of it.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as _) as _;
        libc::CMSG_DATA(message)
            .cast::<u16>()
            .write_unaligned(segment);
    }
}

fn segment_of(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel filled the control buffer of the header and set its length; the macros stay inside of it.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if ((*message).cmsg_level, (*message).cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO) {
                let size = libc::CMSG_DATA(message)
                    .cast::<libc::c_int>()
                    .read_unaligned();
                return usize::try_from(size).ok().filter(|size| *size > 0);
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

fn check(answer: libc::c_int) -> io::Result<()> {
    unless_empty(answer as isize).map(drop)
}

/// `None`: the call would have blocked, or a signal came.
fn unless_empty(answer: isize) -> io::Result<Option<usize>> {
    match usize::try_from(answer) {
        Ok(answer) => Ok(Some(answer)),
        Err(_) => match io::Error::last_os_error() {
            error
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            // An ICMP error of the remote, which may still be starting.
            error if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            error => Err(error),
        },
    }
}
