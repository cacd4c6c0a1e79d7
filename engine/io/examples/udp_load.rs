//! A sender and a receiver of UDP datagrams for `make bench-dataplane`; what counts is what was received.
//!
//! `udp_load send REMOTE BYTES MILLISECONDS RATE` sends so many datagrams a second (0: as many as it can) and prints `{"sent": …}`.
//! `udp_load receive LOCAL SKIP WINDOW` says `ready`, counts until nothing has come for a while, and prints
//! `{"received": …, "window": …}`: all datagrams, and those in the WINDOW milliseconds that begin SKIP milliseconds after the
//! first. Many datagrams a system call on both sides, so that the load takes little of the machine it shares. I/O.

use std::io::{self, Write};
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

const BATCH: usize = 32;
const SLOT: usize = 2048;
const RECEIVE_BUFFER: libc::c_int = 8 << 20;
/// A paced sender wakes up this often.
const TICK: Duration = Duration::from_micros(200);
/// How long a receiver waits for the first datagram, and for a further one.
const PATIENCE: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(250);

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["send", remote, bytes, ms, rate] => {
            let sent = send(
                remote,
                number(bytes)? as usize,
                Duration::from_millis(number(ms)?),
                number(rate)?,
            )?;
            println!("{{\"sent\": {sent}}}");
        }
        ["receive", local, skip, window] => {
            let (received, window) = receive(
                local,
                Duration::from_millis(number(skip)?),
                Duration::from_millis(number(window)?),
            )?;
            println!("{{\"received\": {received}, \"window\": {window}}}");
        }
        _ => {
            return Err(io::Error::other(
                "usage: udp_load send REMOTE BYTES MILLISECONDS RATE | receive LOCAL SKIP WINDOW",
            ));
        }
    }
    Ok(())
}

fn number(text: &str) -> io::Result<u64> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text}: not a number")))
}

/// Number of datagrams that the kernel took.
fn send(remote: &str, bytes: usize, time: Duration, rate: u64) -> io::Result<u64> {
    let any = if remote.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(remote)?;
    // SAFETY: no pointers. A refusal costs evenness only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
    let mut slots = vec![0u8; bytes];
    let (begin, mut sent) = (Instant::now(), 0u64);
    loop {
        let passed = begin.elapsed();
        if passed >= time {
            return Ok(sent);
        }
        let due = match rate {
            0 => sent + BATCH as u64,
            rate => (passed.as_nanos() * u128::from(rate) / 1_000_000_000) as u64,
        };
        if due == sent {
            thread::sleep(TICK);
        }
        while sent < due && begin.elapsed() < time {
            sent += send_batch(&socket, &mut slots, (due - sent).min(BATCH as u64) as usize)?;
        }
    }
}

fn send_batch(socket: &UdpSocket, datagram: &mut [u8], count: usize) -> io::Result<u64> {
    let mut piece = libc::iovec {
        iov_base: datagram.as_mut_ptr().cast(),
        iov_len: datagram.len(),
    };
    let mut headers = [empty_header(); BATCH];
    for header in &mut headers {
        header.msg_hdr.msg_iov = &raw mut piece;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers point to a live buffer of the length beside it, only read from.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as _, 0) };
    match u64::try_from(sent) {
        Ok(sent) => Ok(sent),
        Err(_) => match io::Error::last_os_error() {
            // A full queue, or word of the receiver that has ended: the datagram is lost, which is what is measured.
            error
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOBUFS | libc::ECONNREFUSED)
                ) =>
            {
                Ok(1)
            }
            error => Err(error),
        },
    }
}

/// Datagrams in all, and those inside of the window.
fn receive(local: &str, skip: Duration, window: Duration) -> io::Result<(u64, u64)> {
    let socket = UdpSocket::bind(local)?;
    let size = RECEIVE_BUFFER;
    // SAFETY: the pointer is to a live int of the length given.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const size).cast(),
            size_of_val(&size) as libc::socklen_t,
        )
    };
    println!("ready");
    io::stdout().flush()?;
    let mut slots = vec![0u8; BATCH * SLOT];
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut received = receive_batch(&socket, &mut slots)?;
    let first = Instant::now();
    let (from, until) = (first + skip, first + skip + window);
    socket.set_read_timeout(Some(SILENCE))?;
    let mut inside = 0;
    loop {
        let count = receive_batch(&socket, &mut slots)?;
        if count == 0 {
            return Ok((received, inside));
        }
        received += count;
        let now = Instant::now();
        if from <= now && now < until {
            inside += count;
        }
    }
}

/// Waits for one datagram and takes what else is there; 0: none came in time.
fn receive_batch(socket: &UdpSocket, slots: &mut [u8]) -> io::Result<u64> {
    let mut pieces = [libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; BATCH];
    let mut headers = [empty_header(); BATCH];
    for (index, slot) in slots.chunks_exact_mut(SLOT).enumerate() {
        pieces[index] = libc::iovec {
            iov_base: slot.as_mut_ptr().cast(),
            iov_len: SLOT,
        };
        headers[index].msg_hdr.msg_iov = &raw mut pieces[index];
        headers[index].msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: every pointer in the headers is to a live buffer of the length beside it, and nothing else borrows them.
    let given = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            BATCH as _,
            libc::MSG_WAITFORONE as _,
            ptr::null_mut(),
        )
    };
    match u64::try_from(given) {
        Ok(given) => Ok(given),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            error => Err(error),
        },
    }
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: all-zero (null pointers, no lengths) is a valid header.
    unsafe { mem::zeroed() }
}
