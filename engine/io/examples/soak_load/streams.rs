//! TCP: one long stream, with urgent bytes if asked for, or several with small segments, or many short connections. I/O.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::bytes::{Dice, difference, fill};
use crate::sockets::{at_mark, choose_control, ecn, end_by_reset, send_urgent, set, unconfirmed};
use crate::{Found, Job, Kind, ready, wrong};

const BUFFER: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(60);
/// A receiver calls to who will reset: when the connection stands, or a reset that overtakes what confirms it would end one that nobody ever
/// heard of; and again while nothing comes, as a reset that was lost is not sent again, but answers a call.
const CALL: [u8; 1] = [0];
const CALL_AGAIN: Duration = Duration::from_secs(1);
const CALLS: u64 = PATIENCE.as_secs();
/// An urgent pointer has 16 bits: no more than this may be between it and what the other end has.
const BEFORE_URGENT: usize = 32 << 10;
/// Streams of numbers.
const SIZES: u64 = 1;
const URGENT: u64 = 2;
const SHORT: u64 = 3;
const SEGMENT: u64 = 5;
/// Of a connection with small segments.
const SEGMENTS_BYTES: u64 = 4_000_000;

pub(crate) fn receive(address: IpAddr, job: &Job) -> io::Result<Found> {
    let listener = TcpListener::bind((address, 0))?;
    ready(listener.local_addr()?.port())?;
    let mut found = Found::default();
    for plan in plans(job) {
        if job.kind == Kind::Segments {
            // Whoever connects from now on is told to send segments of this size.
            let size = Dice::new(plan.seed, SEGMENT).between(88, 536) as i32;
            set(&listener, libc::IPPROTO_TCP, libc::TCP_MAXSEG, size)?;
        }
        receive_one(&listener, job, &plan, &mut found)?;
    }
    if job.kind == Kind::Urgent && found.urgent == 0 {
        return Err(wrong("no byte was marked urgent"));
    }
    Ok(found)
}

/// How many segments arrived marked as congested.
pub(crate) fn send(remote: SocketAddr, job: &Job) -> io::Result<u64> {
    plans(job).try_fold(0, |marked, plan| {
        Ok(marked + u64::from(send_one(remote, job, &plan)?))
    })
}

/// A connection to be.
struct Plan {
    seed: u64,
    bytes: u64,
    /// Ends by a reset: then any first part of the bytes may be all that arrives.
    reset: bool,
}

/// The connections of a job, one after the other. Of short ones every third is reset.
fn plans(job: &Job) -> impl Iterator<Item = Plan> + use<> {
    let (kind, seed, mut left) = (job.kind, job.seed, job.bytes);
    let mut dice = Dice::new(seed, SHORT);
    (0u64..).map_while(move |number| {
        let bytes = match kind {
            Kind::Connections => {
                let most = [100, 20_000, 400_000][dice.below(3) as usize];
                dice.below(most)
            }
            Kind::Segments => SEGMENTS_BYTES,
            _ => left,
        };
        let bytes = bytes.min(left);
        let go_on = left > 0;
        left -= bytes;
        go_on.then_some(Plan {
            seed: seed.wrapping_add(number),
            bytes,
            reset: kind == Kind::Connections && number % 3 == 2,
        })
    })
}

/// Where the urgent bytes of a stream are.
fn urgent_places(job: &Job) -> impl Iterator<Item = u64> + use<> {
    let mut dice = Dice::new(job.seed, URGENT);
    let mut place = 0;
    std::iter::repeat_with(move || {
        place += dice.between(100_000, 1_000_000);
        place
    })
}

fn receive_one(
    listener: &TcpListener,
    job: &Job,
    plan: &Plan,
    found: &mut Found,
) -> io::Result<()> {
    let (mut connection, _) = listener.accept()?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut calls = 0;
    if plan.reset {
        connection.set_read_timeout(Some(CALL_AGAIN))?;
        connection.write_all(&CALL)?;
    }
    let urgent = job.kind == Kind::Urgent;
    if urgent {
        set(&connection, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1)?;
    }
    let mut places = urgent_places(job).peekable();
    let (mut buffer, mut scratch) = (vec![0; BUFFER], Vec::new());
    let (mut at, mut uses_ecn) = (0, false);
    let end = loop {
        if urgent && at_mark(&connection)? {
            while places.next_if(|place| *place < at).is_some() {}
            if places.next_if_eq(&at).is_none() {
                return Err(wrong(format!("byte {at} is marked urgent")));
            }
            found.urgent += 1;
        }
        match connection.read(&mut buffer) {
            Ok(0) => break None,
            Ok(length) => {
                if let Some(at) = difference(plan.seed, at, &buffer[..length], &mut scratch) {
                    return Err(wrong(format!("{job:?}: other bytes from {at} on")));
                }
                if at == 0 {
                    (uses_ecn, _) = ecn(&connection);
                }
                at += length as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && plan.reset && calls < CALLS => {
                calls += 1;
                if let Err(error) = connection.write_all(&CALL) {
                    break Some(error);
                }
            }
            Err(error) => break Some(error),
        }
    };
    let as_planned = match (plan.reset, end.as_ref().map(io::Error::kind)) {
        (true, Some(ErrorKind::ConnectionReset)) => at <= plan.bytes,
        (false, None) => at == plan.bytes,
        _ => false,
    };
    if !as_planned {
        let (bytes, reset) = (plan.bytes, plan.reset);
        return Err(wrong(format!(
            "{job:?}: {at} bytes of {bytes}, then {end:?} (a reset: {reset})"
        )));
    }
    found.bytes += at;
    found.connections += 1;
    found.resets += u64::from(plan.reset);
    found.ecn += u64::from(uses_ecn);
    Ok(())
}

fn send_one(remote: SocketAddr, job: &Job, plan: &Plan) -> io::Result<u32> {
    let mut connection = TcpStream::connect(remote)?;
    connection.set_write_timeout(Some(PATIENCE))?;
    // One that heeds marks of congestion, and says so.
    choose_control(&connection, *b"cubic")?;
    connection.set_nodelay(plan.seed % 2 == 1)?;
    if plan.reset {
        connection.set_read_timeout(Some(PATIENCE))?;
        let mut call = CALL;
        connection.read_exact(&mut call)?;
    }
    let mut sizes = Dice::new(plan.seed, SIZES);
    let mut places = urgent_places(job).peekable();
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    while at < plan.bytes {
        if job.kind == Kind::Urgent && places.next_if_eq(&at).is_some() {
            while unconfirmed(&connection)? > BEFORE_URGENT {
                thread::sleep(Duration::from_micros(100));
            }
            let mut byte = [0];
            fill(plan.seed, at, &mut byte);
            send_urgent(&connection, byte[0])?;
            at += 1;
            continue;
        }
        let most = [16, 2_000, 70_000, BUFFER as u64][sizes.below(4) as usize];
        let mut length = sizes.between(1, most).min(plan.bytes - at);
        if job.kind == Kind::Urgent
            && let Some(place) = places.peek()
        {
            length = length.min(place - at);
        }
        let piece = &mut buffer[..length as usize];
        fill(plan.seed, at, piece);
        connection.write_all(piece)?;
        at += length;
    }
    let (_, marked) = ecn(&connection);
    if plan.reset {
        end_by_reset(&connection)?;
    }
    Ok(marked)
}
