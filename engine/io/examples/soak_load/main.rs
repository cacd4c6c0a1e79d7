//! Senders and receivers for `make soak`: every byte that arrives is compared with what a seeded generator says.
//!
//! `soak_load receive ADDRESS KIND SEED BYTES` prints `ready PORT`, takes one transfer, and prints what it was as JSON.
//! `soak_load send ADDRESS:PORT KIND SEED BYTES` sends it, and prints how many segments of TCP the receiver found
//! marked as congested. Whatever is not as it was sent ends the receiver with an error that tells where. Kinds:
//! `stream`, `segments` (TCP, the latter in small segments), `urgent` (TCP with urgent bytes), `connections` (many, some reset), `datagrams`,
//! `trains` (UDP with UDP_SEGMENT and UDP_GRO), `fragments` (UDP beyond any MTU). Nothing here knows of the tunnel. I/O.

mod bytes;
mod datagrams;
mod sockets;
mod streams;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// What is transferred.
#[derive(Clone, Copy, Debug)]
struct Job {
    kind: Kind,
    seed: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stream,
    Segments,
    Urgent,
    Connections,
    Datagrams,
    Trains,
    Fragments,
}

/// What a receiver found; all of it was as it was sent.
#[derive(Debug, Default)]
struct Found {
    bytes: u64,
    connections: u64,
    resets: u64,
    /// Urgent bytes whose place was known when they were read.
    urgent: u64,
    /// TCP connections that use ECN.
    ecn: u64,
    datagrams: u64,
    /// Datagrams behind a later one, and those that had to be sent again.
    late: u64,
    resent: u64,
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [role, place, kind, seed, bytes] = words.as_slice() else {
        return Err(wrong("usage: soak_load receive|send PLACE KIND SEED BYTES"));
    };
    let job = Job {
        kind: Kind::named(kind)?,
        seed: parsed(seed)?,
        bytes: parsed(bytes)?,
    };
    match *role {
        "receive" => {
            let address: IpAddr = parsed(place)?;
            let found = match job.kind.is_tcp() {
                true => streams::receive(address, &job)?,
                false => datagrams::receive(address, &job)?,
            };
            println!("{}", found.to_json());
            Ok(())
        }
        "send" => {
            let remote: SocketAddr = parsed(place)?;
            let marked = match job.kind.is_tcp() {
                true => streams::send(remote, &job)?,
                false => datagrams::send(remote, &job).map(|()| 0)?,
            };
            println!("{{\"marked\": {marked}}}");
            Ok(())
        }
        _ => Err(wrong(*role)),
    }
}

impl Kind {
    fn named(name: &str) -> io::Result<Self> {
        Ok(match name {
            "stream" => Self::Stream,
            "segments" => Self::Segments,
            "urgent" => Self::Urgent,
            "connections" => Self::Connections,
            "datagrams" => Self::Datagrams,
            "trains" => Self::Trains,
            "fragments" => Self::Fragments,
            _ => return Err(wrong(name)),
        })
    }

    fn is_tcp(self) -> bool {
        !matches!(self, Self::Datagrams | Self::Trains | Self::Fragments)
    }
}

impl Found {
    fn to_json(&self) -> String {
        let Self {
            bytes,
            connections,
            resets,
            urgent,
            ecn,
            datagrams,
            late,
            resent,
        } = self;
        format!(
            "{{\"bytes\": {bytes}, \"connections\": {connections}, \"resets\": {resets}, \"urgent\": {urgent}, \"ecn\": {ecn}, \
             \"datagrams\": {datagrams}, \"late\": {late}, \"resent\": {resent}}}"
        )
    }
}

fn ready(port: u16) -> io::Result<()> {
    println!("ready {port}");
    io::stdout().flush()
}

fn parsed<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| wrong(text))
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}
