//! Bytes to fields, by the parsing half of the codec.

use overlayd_wire::{
    Body, CookieReply, Frame, Init, InitPayload, InnerPacket, Kind, Protected, Response,
    ResponsePayload, RouteView, Sealed, WireError, envelope, frame,
};
use serde_json::{Value, json};

use super::Layer;

/// The meaning of bytes, by the parsing half of the codec.
pub(crate) fn describe(layer: Layer, bytes: &[u8]) -> Result<Value, WireError> {
    match layer {
        Layer::Datagram => describe_datagram(bytes),
        Layer::Frame => describe_frame(bytes),
        Layer::Route => describe_route(bytes),
        Layer::Body => describe_body(bytes),
        Layer::Inner => InnerPacket::parse(bytes).map(|view| {
            json!({
                "source": view.source().to_string(), "destination": view.destination().to_string(),
                "protocol": view.protocol(), "ports": view.ports(), "dscp": view.dscp(), "ecn": view.ecn(),
                "transport": view.transport_offset(), "fragment": view.is_fragment(),
            })
        }),
        Layer::InitPayload => InitPayload::parse(bytes)
            .map(|p| json!({"node": p.node, "lane": p.lane, "boot": p.boot, "stamp": p.stamp})),
        Layer::ResponsePayload => ResponsePayload::parse(bytes)
            .map(|p| json!({"node": p.node, "lane": p.lane, "boot": p.boot, "observed_port": p.observed_port})),
    }
}

fn describe_datagram(bytes: &[u8]) -> Result<Value, WireError> {
    Ok(match Kind::of(bytes)? {
        Kind::Init => {
            let v = Init::parse(bytes)?;
            json!({
                "kind": "init", "capabilities": v.capabilities, "network": v.network, "sender": v.sender,
                "noise": hex(v.noise), "mac1": hex(v.macs.mac1), "mac2": hex(v.macs.mac2),
            })
        }
        Kind::Response => {
            let v = Response::parse(bytes)?;
            json!({
                "kind": "response", "capabilities": v.capabilities, "sender": v.sender, "receiver": v.receiver,
                "noise": hex(v.noise), "mac1": hex(v.macs.mac1), "mac2": hex(v.macs.mac2),
            })
        }
        Kind::CookieReply => {
            let v = CookieReply::parse(bytes)?;
            json!({"kind": "cookie_reply", "receiver": v.receiver, "nonce": hex(v.nonce), "sealed": hex(v.sealed)})
        }
        Kind::Sealed => {
            let v = Sealed::parse(bytes)?;
            json!({
                "kind": "sealed", "counter": v.counter(), "receiver": v.receiver(),
                "nonce": hex(&envelope::nonce(v.counter())), "ciphertext": hex(v.ciphertext),
            })
        }
    })
}

fn describe_frame(bytes: &[u8]) -> Result<Value, WireError> {
    let protected = |kind: &str, h: Protected| json!({"type": kind, "class": h.class, "seq": h.seq, "budget": h.budget.0});
    let with = |mut value: Value, key: &str, inside: Value| {
        value[key] = inside;
        value
    };
    Ok(match Frame::parse(bytes)? {
        Frame::Direct(h, rest) => with(protected("direct", h), "body", describe_body(rest)?),
        Frame::Routed(h, rest) => with(protected("routed", h), "route", describe_route(rest)?),
        Frame::Repair(r) => json!({
            "type": "repair", "class": r.class, "budget": r.budget.0, "first": r.first, "span": r.span, "row": r.row, "symbol": hex(r.symbol),
        }),
        Frame::Feedback(f) => json!({
            "type": "feedback", "class": f.class, "next": f.next, "base": f.base, "answers_tail": f.answers_tail,
            "missing": f.missing().map(|i| f.base.wrapping_add(i) & frame::SEQ_MASK).collect::<Vec<_>>(),
        }),
        Frame::Tail(t) => json!({"type": "tail", "class": t.class, "next": t.next}),
        Frame::Probe(p) => {
            json!({"type": "probe", "pace": p.pace, "seq": p.seq, "sent_ns": p.sent_ns, "sent": p.sent})
        }
        Frame::ProbeReply(p) => json!({
            "type": "probe_reply", "pace": p.pace, "seq": p.seq, "sent_ns": p.sent_ns, "hold_ns": p.hold_ns,
            "received_ns": p.received_ns, "sent": p.sent, "received": p.received, "received_size": p.received_size,
            "counterprobe": p.counterprobe.map(|c| json!({"seq": c.seq, "sent": c.sent})),
        }),
        Frame::PathChallenge(nonce) => json!({"type": "path_challenge", "nonce": hex(&nonce)}),
        Frame::PathResponse(nonce) => json!({"type": "path_response", "nonce": hex(&nonce)}),
        Frame::Close(reason) => json!({"type": "close", "reason": reason}),
    })
}

fn describe_route(bytes: &[u8]) -> Result<Value, WireError> {
    let (route, rest) = RouteView::parse(bytes)?;
    Ok(json!({
        "left": route.left(), "ce": route.ce(), "generation": route.generation(), "source": route.source(),
        "segments": route.segments().collect::<Vec<_>>(), "here": route.here(), "next": route.next(), "datagram": hex(rest),
    }))
}

fn describe_body(bytes: &[u8]) -> Result<Value, WireError> {
    Ok(match Body::parse(bytes)? {
        Body::Packet {
            partial_checksum,
            packet,
        } => {
            json!({"shape": "packet", "partial_checksum": partial_checksum, "packet": hex(packet)})
        }
        Body::Bundle(bundle) => {
            json!({"shape": "bundle", "packets": bundle.packets().map(hex).collect::<Vec<_>>()})
        }
        Body::Run(r) => json!({
            "shape": "run", "partial_checksum": r.partial_checksum, "first": r.first, "last": r.last,
            "run": r.run, "index": r.index, "packet": hex(r.packet),
        }),
        Body::Piece(p) => {
            json!({"shape": "piece", "second": p.second, "id": p.id, "bytes": hex(p.bytes)})
        }
        Body::PathProbe(p) => {
            json!({"shape": "path_probe", "slot": p.slot, "seq": p.seq, "sent_ns": p.sent_ns, "sent": p.sent})
        }
        Body::PathProbeReply(p) => json!({
            "shape": "path_probe_reply", "slot": p.slot, "seq": p.seq, "sent_ns": p.sent_ns, "hold_ns": p.hold_ns,
            "sent": p.sent, "received": p.received,
        }),
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
