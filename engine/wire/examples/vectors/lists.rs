//! The list of vectors: what is to be accepted, what refused.

use overlayd_wire::route::set_ce;
use overlayd_wire::{
    Body, Budget, InitPayload, PathProbe, PathProbeReply, Piece, Protected, Repair,
    ResponsePayload, Run, Tail, body, frame,
};

use super::samples::*;
use super::{Layer, Vector};

pub(crate) fn accepted() -> Vec<Vector> {
    let [datagram, frame, route, body, inner] = [
        Layer::Datagram,
        Layer::Frame,
        Layer::Route,
        Layer::Body,
        Layer::Inner,
    ];
    let direct = Protected {
        routed: false,
        class: 2,
        seq: 0x00ab_cdef,
        budget: Budget(1500),
    };
    let routed = Protected {
        routed: true,
        class: 0,
        seq: 1,
        budget: Budget::NONE,
    };
    let udp = udp_v4();
    vec![
        Vector("init", datagram, init()),
        Vector("response", datagram, response()),
        Vector("cookie reply", datagram, cookie_reply()),
        Vector("sealed", datagram, sealed(0x0fed_cba9, 0xdead_beef, 40)),
        Vector("sealed, smallest", datagram, sealed(0, 1, 0)),
        Vector(
            "direct",
            frame,
            join(&direct.to_bytes(), &join(&[body::packet_byte(true)], &udp)),
        ),
        Vector(
            "routed over one relay",
            frame,
            join(
                &routed.to_bytes(),
                &join(&a_route(&[7, 9], 0), &sealed(5, 6, 30)),
            ),
        ),
        Vector(
            "repair",
            frame,
            emit(|out| {
                Repair {
                    class: 3,
                    budget: Budget(20),
                    first: 0x00ff_fff0,
                    span: 128,
                    row: 31,
                    symbol: &[1, 2, 3],
                }
                .emit(out);
            }),
        ),
        Vector(
            "feedback",
            frame,
            feedback(true, &[0b1010_0000, 0, 0b0000_0001]),
        ),
        Vector("feedback, nothing missing", frame, feedback(false, &[])),
        Vector(
            "tail",
            frame,
            Tail {
                class: 15,
                next: 0x0001_0203,
            }
            .to_bytes()
            .to_vec(),
        ),
        Vector("probe", frame, emit(|out| a_probe().emit(0, out))),
        Vector("probe, padded", frame, emit(|out| a_probe().emit(24, out))),
        Vector("probe reply", frame, emit(|out| a_probe_reply().emit(out))),
        Vector(
            "probe reply that asks back",
            frame,
            emit(|out| a_reply_that_asks_back().emit(out)),
        ),
        Vector(
            "path challenge",
            frame,
            frame::path_challenge([1, 2, 3, 4, 5, 6, 7, 8]).to_vec(),
        ),
        Vector(
            "path response",
            frame,
            frame::path_response([1, 2, 3, 4, 5, 6, 7, 8]).to_vec(),
        ),
        Vector("close", frame, frame::close(1).to_vec()),
        Vector(
            "route to a neighbour",
            route,
            join(&a_route(&[9], 0), &[0x40]),
        ),
        Vector(
            "route over four relays, two passed",
            route,
            join(&a_route(&[2, 3, 4, 5, 6], 2), &[0x40]),
        ),
        Vector("route with ce", route, {
            let mut bytes = join(&a_route(&[2, 3], 1), &[0x40]);
            set_ce(&mut bytes);
            bytes
        }),
        Vector(
            "packet",
            body,
            emit(|out| {
                Body::Packet {
                    partial_checksum: false,
                    packet: &udp,
                }
                .emit(out)
            }),
        ),
        Vector("bundle", body, bundle(&[&udp, &tcp_v6(), &[0xff]])),
        Vector(
            "run",
            body,
            emit(|out| {
                Body::Run(Run {
                    partial_checksum: true,
                    first: true,
                    last: false,
                    run: 200,
                    index: 0,
                    packet: &udp,
                })
                .emit(out);
            }),
        ),
        Vector(
            "run, last",
            body,
            emit(|out| {
                Body::Run(Run {
                    partial_checksum: true,
                    first: false,
                    last: true,
                    run: 200,
                    index: 44,
                    packet: &udp,
                })
                .emit(out);
            }),
        ),
        Vector(
            "piece",
            body,
            emit(|out| {
                Body::Piece(Piece {
                    second: true,
                    id: 0x0102,
                    bytes: &[5, 6, 7],
                })
                .emit(out)
            }),
        ),
        Vector(
            "path probe",
            body,
            emit(|out| {
                Body::PathProbe(PathProbe {
                    slot: 1,
                    seq: 0x0102_0304,
                    sent_ns: 123_456_789_012,
                    sent: 77,
                })
                .emit(out);
            }),
        ),
        Vector(
            "path probe, padded",
            body,
            emit(|out| {
                Body::PathProbe(PathProbe {
                    slot: 1,
                    seq: 0x0102_0304,
                    sent_ns: 123_456_789_012,
                    sent: 77,
                })
                .emit(out);
                out.extend_from_slice(&[0; 7]);
            }),
        ),
        Vector(
            "path probe reply",
            body,
            emit(|out| {
                Body::PathProbeReply(PathProbeReply {
                    slot: 1,
                    seq: 9,
                    sent_ns: 1,
                    hold_ns: 2,
                    sent: 3,
                    received: 4,
                })
                .emit(out);
            }),
        ),
        Vector("inner IPv4 UDP", inner, udp.clone()),
        Vector("inner IPv6 TCP", inner, tcp_v6()),
        Vector("inner IPv6, later fragment", inner, fragment_v6()),
        Vector(
            "init payload",
            Layer::InitPayload,
            InitPayload {
                node: 3,
                lane: 1,
                boot: 42,
                stamp: 1_000_000_007,
            }
            .to_bytes()
            .to_vec(),
        ),
        Vector(
            "response payload",
            Layer::ResponsePayload,
            ResponsePayload {
                node: 4,
                lane: 0,
                boot: 43,
                observed_port: 51820,
            }
            .to_bytes()
            .to_vec(),
        ),
    ]
}

pub(crate) fn refused() -> Vec<Vector> {
    let [datagram, frame, route, body, inner] = [
        Layer::Datagram,
        Layer::Frame,
        Layer::Route,
        Layer::Body,
        Layer::Inner,
    ];
    let edit = |mut bytes: Vec<u8>, at: usize, value: u8| {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes
    };
    let cut = |mut bytes: Vec<u8>, by: usize| {
        bytes.truncate(bytes.len() - by);
        bytes
    };
    let repair = |span: u8, row: u8| vec![0x30, 0, 20, 0, 0, 1, span, row, 9];
    vec![
        Vector("nothing", datagram, vec![]),
        Vector("kind 0", datagram, vec![0; 40]),
        Vector("kind 5", datagram, vec![0x50; 40]),
        Vector(
            "sealed without a whole tag",
            datagram,
            cut(sealed(1, 2, 0), 1),
        ),
        Vector("init of version 2", datagram, edit(init(), 1, 2)),
        Vector(
            "init with bits beside its kind",
            datagram,
            edit(init(), 0, 0x11),
        ),
        Vector("init, short", datagram, cut(init(), 1)),
        Vector("init, long", datagram, join(&init(), &[0])),
        Vector("response, short", datagram, cut(response(), 1)),
        Vector("response, long", datagram, join(&response(), &[0])),
        Vector(
            "cookie reply with reserved bytes",
            datagram,
            edit(cookie_reply(), 2, 1),
        ),
        Vector("cookie reply, long", datagram, join(&cookie_reply(), &[0])),
        Vector("type 0", frame, vec![0; 20]),
        Vector("type 11", frame, vec![0xb0; 20]),
        Vector("direct without a body", frame, vec![0x10, 0, 0, 1, 0, 0]),
        Vector("direct, short header", frame, vec![0x10, 0, 0, 1, 0]),
        Vector("repair of no symbols", frame, repair(0, 0)),
        Vector("repair of 129 symbols", frame, repair(129, 0)),
        Vector("repair of row 32", frame, repair(1, 32)),
        Vector("repair without a symbol", frame, cut(repair(1, 0), 1)),
        Vector(
            "feedback with an unknown flag",
            frame,
            edit(feedback(false, &[]), 7, 2),
        ),
        Vector(
            "feedback with 1025 bytes of bitmap",
            frame,
            feedback(false, &[0; 1025]),
        ),
        Vector("tail, long", frame, vec![0x50, 0, 0, 1, 0]),
        Vector(
            "probe, short",
            frame,
            cut(emit(|out| a_probe().emit(0, out)), 1),
        ),
        Vector(
            "probe reply that asks back, short",
            frame,
            cut(emit(|out| a_reply_that_asks_back().emit(out)), 1),
        ),
        Vector(
            "probe reply that asks back, long",
            frame,
            join(&emit(|out| a_reply_that_asks_back().emit(out)), &[0]),
        ),
        Vector("path challenge, short", frame, vec![0x80, 1, 2, 3]),
        Vector("close, long", frame, vec![0xa0, 0, 0]),
        Vector(
            "route of no segments",
            route,
            vec![0x00, 0, 0, 1, 0, 2, 0x40],
        ),
        Vector(
            "route of six segments",
            route,
            vec![0xc0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0x40],
        ),
        Vector(
            "route with more left than it has",
            route,
            join(&[0x28], &a_route(&[9], 0)[1..]),
        ),
        Vector(
            "route with its reserved bit",
            route,
            join(&edit(a_route(&[9], 0), 0, 0x21), &[0x40]),
        ),
        Vector(
            "route that comes by twice",
            route,
            join(&a_route(&[2, 3, 2], 0), &[0x40]),
        ),
        Vector(
            "route back to its source",
            route,
            join(&a_route(&[2, 1], 0), &[0x40]),
        ),
        Vector("route, cut", route, cut(a_route(&[2, 3], 0), 1)),
        Vector("route with nothing behind", route, a_route(&[2, 3], 0)),
        Vector("shape 0", body, vec![0x00, 1]),
        Vector("shape 7", body, vec![0x70, 1]),
        Vector("packet with an unknown flag", body, vec![0x12, 1]),
        Vector("packet of no bytes", body, vec![0x10]),
        Vector("bundle of no packets", body, vec![0x20]),
        Vector("bundle with an empty packet", body, vec![0x20, 0, 0]),
        Vector(
            "bundle cut in a packet",
            body,
            cut(bundle(&[&[1, 2, 3]]), 1),
        ),
        Vector(
            "bundle cut in a length",
            body,
            join(&bundle(&[&[1, 2, 3]]), &[0]),
        ),
        Vector("run with an unknown flag", body, vec![0x38, 0, 0, 1]),
        Vector("run of no bytes", body, vec![0x30, 0, 0]),
        Vector("piece of no bytes", body, vec![0x40, 0, 0]),
        Vector("piece with an unknown flag", body, vec![0x42, 0, 0, 1]),
        Vector("path probe, short", body, vec![0x50; 17]),
        Vector("path probe with flags", body, vec![0x51; 18]),
        Vector("path probe reply, short", body, vec![0x60; 25]),
        Vector("inner of version 5", inner, vec![0x50; 40]),
        Vector(
            "inner IPv4 longer than it says",
            inner,
            join(&udp_v4(), &[0]),
        ),
        Vector(
            "inner IPv4 with a header of 16 bytes",
            inner,
            edit(udp_v4(), 0, 0x44),
        ),
        Vector("inner IPv6 shorter than it says", inner, cut(tcp_v6(), 1)),
        Vector(
            "init payload with its reserved byte",
            Layer::InitPayload,
            edit(vec![0; 20], 3, 1),
        ),
        Vector("init payload, long", Layer::InitPayload, vec![0; 21]),
        Vector(
            "response payload with its reserved bytes",
            Layer::ResponsePayload,
            edit(vec![0; 16], 15, 1),
        ),
    ]
}
