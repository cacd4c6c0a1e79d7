//! Sending: neighbours of one size to one remote leave in one segmented send (UDP_SEGMENT), and many sends in one call.
//!
//! A send never blocks: what a full socket does not take waits, bounded, until it can be written to. I/O.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;

use overlayd_node::Transmit;

use super::address::{self, Name};
use super::{Control, NO_CONTROL, NO_PIECE, Uplink, empty_header};
use crate::counters::ShellCounters;
use crate::sys::check;

/// Sends a call.
const BATCH: usize = 32;
/// What the kernel takes before 6.9, and a little below the longest UDP payload.
const SEGMENTS_MAX: usize = 63;
const RUN_MAX: usize = 65_000;
/// Bytes that may wait for a full socket: about what its own buffer holds.
const PENDING_MAX: usize = 4 << 20;

/// A run of datagrams for one remote: `segment` bytes each, the last may be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    range: Range<usize>,
    segment: usize,
    remote: SocketAddr,
    ecn: u8,
}

/// Runs that wait, oldest first; those before `sent` have left.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    runs: Vec<Run>,
    sent: usize,
}

impl Run {
    pub(super) fn of(datagram: &Transmit) -> Self {
        let Transmit {
            range, remote, ecn, ..
        } = datagram.clone();
        Self {
            segment: range.len(),
            range,
            remote,
            ecn,
        }
    }

    fn count(&self) -> usize {
        self.range.len().div_ceil(self.segment.max(1))
    }

    /// Takes `next` in as a further segment, if it may be one.
    fn absorb(&mut self, next: &Transmit) -> bool {
        let fits = next.remote == self.remote
            && next.ecn == self.ecn
            && next.range.start == self.range.end
            && next.range.len() <= self.segment
            && self.range.len().is_multiple_of(self.segment)
            && self.range.len() / self.segment < SEGMENTS_MAX
            && self.range.len() + next.range.len() <= RUN_MAX;
        if fits {
            self.range.end = next.range.end;
        }
        fits
    }

    fn singles(&self) -> impl Iterator<Item = Run> {
        let (end, step) = (self.range.end, self.segment.max(1));
        self.range.clone().step_by(step).map(move |start| Run {
            range: start..end.min(start + step),
            segment: step,
            remote: self.remote,
            ecn: self.ecn,
        })
    }
}

impl Uplink {
    /// Sends those of `datagrams` that are for this uplink, in order. `runs` is scratch.
    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        datagrams: &[Transmit],
        runs: &mut Runs,
        counters: &mut ShellCounters,
    ) {
        runs.0.clear();
        for datagram in datagrams
            .iter()
            .filter(|datagram| datagram.uplink == self.index && !datagram.range.is_empty())
        {
            let joined = self.gso && runs.0.last_mut().is_some_and(|run| run.absorb(datagram));
            if !joined {
                runs.0.push(Run::of(datagram));
            }
        }
        let sent = if self.has_pending() {
            0
        } else {
            self.send_runs(bytes, &runs.0, counters)
        };
        for run in runs.0.iter().skip(sent) {
            self.pending.push(bytes, run, counters);
        }
    }

    /// Whether something waits for the socket to take more.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.runs.is_empty()
    }

    /// Sends what waits, as far as the socket takes it.
    pub(crate) fn send_pending(&mut self, counters: &mut ShellCounters) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sent += self.send_runs(
            &pending.bytes,
            pending.runs.get(pending.sent..).unwrap_or_default(),
            counters,
        );
        if pending.sent == pending.runs.len() {
            pending.clear();
        }
        self.pending = pending;
    }

    /// Number of runs that are done with: sent, or refused for good. Less than all: the socket is full.
    fn send_runs(&mut self, bytes: &[u8], runs: &[Run], counters: &mut ShellCounters) -> usize {
        let mut done = 0;
        while let Some(rest) = runs.get(done..).filter(|rest| !rest.is_empty()) {
            let rest = rest.get(..BATCH).unwrap_or(rest);
            match self.send_many(bytes, rest) {
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return done,
                Err(error) => {
                    // The error is that of the first run.
                    let Some(first) = rest.first() else {
                        return done;
                    };
                    if first.count() > 1 {
                        self.send_singly(bytes, first, &error, counters);
                    } else {
                        count_refusal(&error, counters);
                    }
                    done += 1;
                }
            }
        }
        done
    }

    /// A run failed as a whole. If its datagrams pass one by one, the failure was that of the offload, which is given up then.
    fn send_singly(
        &mut self,
        bytes: &[u8],
        run: &Run,
        failure: &io::Error,
        counters: &mut ShellCounters,
    ) {
        let mut passed = false;
        for single in run.singles() {
            match self.send_many(bytes, std::slice::from_ref(&single)) {
                Ok(_) => passed = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    counters.udp_send_overflow += 1
                }
                Err(error) => count_refusal(&error, counters),
            }
        }
        let of_offload = matches!(
            failure.raw_os_error(),
            Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP)
        );
        if passed && of_offload && self.gso {
            self.gso = false;
            counters.udp_gso_step_downs += 1;
        }
    }

    /// One system call for up to [`BATCH`] runs. Number of runs sent, at least one.
    fn send_many(&mut self, bytes: &[u8], runs: &[Run]) -> io::Result<usize> {
        if runs.first().is_some_and(|run| run.count() > 1) {
            self.fault.strike(libc::EIO)?;
        }
        match runs.len() {
            // Room for many takes longer to lay out than all else does for one.
            1 => self.send_at_most::<1>(bytes, runs),
            _ => self.send_at_most::<BATCH>(bytes, runs),
        }
    }

    fn send_at_most<const MOST: usize>(&self, bytes: &[u8], runs: &[Run]) -> io::Result<usize> {
        let mut names: [Name; MOST] = [address::empty(); MOST];
        let mut controls = [NO_CONTROL; MOST];
        let mut pieces = [NO_PIECE; MOST];
        let mut headers = [empty_header(); MOST];
        for (index, run) in runs.iter().enumerate().take(MOST) {
            let piece = bytes.get(run.range.clone()).unwrap_or_default();
            let length;
            (names[index], length) = address::encode(run.remote);
            pieces[index] = libc::iovec {
                iov_base: piece.as_ptr().cast_mut().cast(),
                iov_len: piece.len(),
            };
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut names[index]).cast();
            header.msg_namelen = length;
            header.msg_iov = &raw mut pieces[index];
            header.msg_iovlen = 1;
            write_notes(header, &mut controls[index], run);
        }
        let fd = self.fd.as_raw_fd();
        let count = runs.len().min(MOST);
        // SAFETY: the first `count` headers point to live buffers of the lengths beside them, only read from.
        check(unsafe {
            libc::sendmmsg(
                fd,
                headers.as_mut_ptr(),
                count as _,
                libc::MSG_DONTWAIT as _,
            )
        })
        .map(|sent| sent as usize)
    }
}

/// Scratch for the runs of one sending, kept for its capacity.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Run>);

impl Pending {
    pub(super) fn push(&mut self, bytes: &[u8], run: &Run, counters: &mut ShellCounters) {
        let piece = bytes.get(run.range.clone()).unwrap_or_default();
        if self.bytes.len() + piece.len() > PENDING_MAX {
            counters.udp_send_overflow += run.count() as u64;
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        self.runs.push(Run {
            range: start..self.bytes.len(),
            ..run.clone()
        });
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
        self.sent = 0;
    }
}

/// Segment size and ECN bits, where they are not the socket's own.
fn write_notes(header: &mut libc::msghdr, control: &mut Control, run: &Run) {
    header.msg_control = (&raw mut *control).cast();
    header.msg_controllen = size_of::<Control>() as _;
    let mut used = 0;
    // SAFETY: `control` has room for both messages and is aligned for them; the macros stay inside of it.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        let mut put = |level: libc::c_int, kind: libc::c_int, value: &[u8]| {
            (*message).cmsg_level = level;
            (*message).cmsg_type = kind;
            (*message).cmsg_len = libc::CMSG_LEN(value.len() as _) as _;
            std::ptr::copy_nonoverlapping(value.as_ptr(), libc::CMSG_DATA(message), value.len());
            used += libc::CMSG_SPACE(value.len() as _) as usize;
            message = libc::CMSG_NXTHDR(header, message);
        };
        if run.count() > 1 {
            put(
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                &(run.segment as u16).to_ne_bytes(),
            );
        }
        if run.ecn != 0 {
            let class = libc::c_int::from(run.ecn).to_ne_bytes();
            match run.remote {
                SocketAddr::V4(_) => put(libc::IPPROTO_IP, libc::IP_TOS, &class),
                SocketAddr::V6(_) => put(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class),
            }
        }
    }
    header.msg_controllen = used as _;
}

fn count_refusal(error: &io::Error, counters: &mut ShellCounters) {
    if error.raw_os_error() == Some(libc::EMSGSIZE) {
        counters.udp_too_big += 1;
    } else {
        counters.udp_refused += 1;
    }
}
