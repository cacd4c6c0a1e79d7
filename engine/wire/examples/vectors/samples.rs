//! Messages and packets that vectors are made of.

use overlayd_wire::{
    CookieReply, Counterprobe, Feedback, Init, LinkProbe, LinkProbeReply, Response, RouteRepr,
    body, envelope,
};

pub(crate) fn init() -> Vec<u8> {
    let mut message = Init::header(0x8001, 0x0a0b_0c0d, 0x1122_3344).to_vec();
    message.extend((0..148).map(|i| i as u8));
    message
}

pub(crate) fn response() -> Vec<u8> {
    let mut message = Response::header(0x0001, 0x5566_7788, 0x1122_3344).to_vec();
    message.extend((0..96).map(|i| 0xff - i as u8));
    message
}

pub(crate) fn cookie_reply() -> Vec<u8> {
    emit(|out| {
        CookieReply {
            receiver: 0x1122_3344,
            nonce: &[0x11; 16],
            sealed: &[0x22; 32],
        }
        .emit(out)
    })
}

/// A sealed datagram with `length` bytes of would-be ciphertext and a would-be tag.
pub(crate) fn sealed(counter: u32, receiver: u32, length: usize) -> Vec<u8> {
    let mut datagram = envelope::header(counter, receiver).to_vec();
    datagram.extend((0..length + envelope::TAG_LEN).map(|i| i as u8));
    datagram
}

pub(crate) fn feedback(answers_tail: bool, bitmap: &[u8]) -> Vec<u8> {
    emit(|out| {
        Feedback {
            class: 1,
            next: 0x0000_0005,
            base: 0x00ff_fff0,
            answers_tail,
            bitmap,
        }
        .emit(out)
    })
}

pub(crate) fn a_probe() -> LinkProbe {
    LinkProbe {
        pace: 0,
        seq: 0x0001_0203,
        sent_ns: 0x0102_0304_0506_0708,
        sent: 1_000_000,
    }
}

pub(crate) fn a_probe_reply() -> LinkProbeReply {
    LinkProbeReply {
        pace: 5,
        seq: 0x0001_0203,
        sent_ns: 0x0102_0304_0506_0708,
        hold_ns: 12_345,
        received_ns: 0x1112_1314_1516_1718,
        sent: 1_000_000,
        received: 999_990,
        received_size: 1_452,
        counterprobe: None,
    }
}

pub(crate) fn a_reply_that_asks_back() -> LinkProbeReply {
    LinkProbeReply {
        counterprobe: Some(Counterprobe {
            seq: 0x0004_0506,
            sent: 2_000_000,
        }),
        ..a_probe_reply()
    }
}

/// From node 1, of generation 77, with `left` segments left.
pub(crate) fn a_route(path: &[u16], passed: u8) -> Vec<u8> {
    emit(|out| {
        if let Some(mut route) = RouteRepr::new(1, path, 77) {
            route.left -= passed;
            route.emit(out);
        }
    })
}

pub(crate) fn bundle(packets: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![body::BUNDLE_BYTE];
    for packet in packets {
        out.extend(body::bundle_item(packet).unwrap_or_default());
        out.extend_from_slice(packet);
    }
    out
}

/// 10.77.0.1:4660 > 10.77.0.9:53, DSCP 46, ECT(0), "hi".
pub(crate) fn udp_v4() -> Vec<u8> {
    vec![
        0x45, 0xba, 0, 30, 0x12, 0x34, 0x40, 0, 64, 17, 0x13, 0x2f, 10, 77, 0, 1, 10, 77, 0,
        9, //
        0x12, 0x34, 0, 53, 0, 10, 0, 0, b'h', b'i',
    ]
}

/// fd77::1 port 4660 > fd77::9 port 80, behind a hop-by-hop header.
pub(crate) fn tcp_v6() -> Vec<u8> {
    let mut packet = vec![0x60, 0x10, 0, 0, 0, 28, 0, 64];
    packet.extend([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    packet.extend([6, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend([
        0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0x04, 0, 0, 0, 0, 0,
    ]);
    packet
}

pub(crate) fn fragment_v6() -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 12, 44, 64];
    packet.extend([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    packet.extend([17, 0, 0x05, 0xa8, 0, 0, 0, 1, 1, 2, 3, 4]);
    packet
}

pub(crate) fn emit(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

pub(crate) fn join(a: &[u8], b: &[u8]) -> Vec<u8> {
    [a, b].concat()
}
