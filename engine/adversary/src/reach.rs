//! What there is to be reached: which drop reasons each adversary can meet, what each parser can answer, how a handshake message can be taken. As data, so that
//! a run can be held to it in both directions: all that can be reached was, and nothing was met that is said to be out of reach. Pure.

use overlayd_node::DropReason::{self, *};

use crate::Report;
use crate::coverage::By;

/// Drop reasons that an adversary does not meet.
#[derive(Clone, Copy, Debug)]
pub struct Unreached {
    pub by: By,
    pub reasons: &'static [DropReason],
    pub why: &'static str,
    /// Nor may it ever. Otherwise it can happen, but not in every run.
    pub never: bool,
}

impl Unreached {
    /// What is known of a reason that somebody did not meet.
    pub(crate) fn of(by: By, reason: DropReason) -> Option<&'static Self> {
        let entries = UNREACHED.iter();
        entries
            .filter(|entry| entry.by == by)
            .find(|entry| entry.reasons.contains(&reason))
    }
}

const SPENT: &str = "a session is renewed after 2^26 datagrams and ends after 2^28: more than a run has. The session's own tests skip there";
const LATE: &str = "a packet that waited too long is found out when its turn comes, which is seldom while a datagram is taken; it is met meanwhile";
const LOCAL: &str = "of packets that this host's own programs hand over; the campaign has unsound ones of these too";

pub const UNREACHED: &[Unreached] = &[
    Unreached {
        by: By::Wire,
        reasons: &[
            UnknownType,
            UnknownShape,
            BadValue,
            BadRoute,
            RepeatedNode,
            BadInner,
            DuplicateFrame,
            StaleFrame,
            NotMine,
            NotARelay,
            RelayedHandshakes,
            WrongPeer,
            SpoofedSource,
            ForeignDestination,
            PieceMismatch,
            CongestionMarked,
        ],
        why: "is found behind the tag, which no changed datagram passes",
        never: true,
    },
    Unreached {
        by: By::Wire,
        reasons: &[TooBig, QueueFull, NoSession, NoRoute, NoNextHop, BadOffload],
        why: "of packets that waited here for a session: a handshake that was changed where nothing covers it (its mac2) lets them go",
        never: false,
    },
    Unreached {
        by: By::Wire,
        reasons: &[QueueLate],
        why: LATE,
        never: false,
    },
    Unreached {
        by: By::Peer,
        reasons: &[QueueLate],
        why: LATE,
        never: false,
    },
    Unreached {
        by: By::Wire,
        reasons: &[ForeignSource, NoOwner],
        why: LOCAL,
        never: true,
    },
    Unreached {
        by: By::Wire,
        reasons: &[SessionSpent],
        why: SPENT,
        never: true,
    },
    Unreached {
        by: By::Peer,
        reasons: &[ForeignSource, NoOwner],
        why: LOCAL,
        never: true,
    },
    Unreached {
        by: By::Peer,
        reasons: &[NoRoute, NoSession, BadOffload],
        why: "of packets that waited here for a session, or of a link that went within the call",
        never: false,
    },
    Unreached {
        by: By::Peer,
        reasons: &[UnknownLink],
        why: "of handshakes on the underlay; a peer's frames bring handshakes end to end only, where every peer has its place. Strangers meet it",
        never: true,
    },
    Unreached {
        by: By::Peer,
        reasons: &[HandshakeRate],
        why: "takes many handshakes with a cookie that holds; end to end these are handshakes of others that the peer relays. Strangers meet it",
        never: false,
    },
    Unreached {
        by: By::Peer,
        reasons: &[SessionSpent],
        why: SPENT,
        never: true,
    },
];

/// By parser: all that it can answer.
pub const PARSERS: &[(&str, &[&str])] = &[
    ("kind", &["ok", "truncated", "unknown_kind"]),
    (
        "init",
        &[
            "ok",
            "truncated",
            "bad_length",
            "reserved",
            "unknown_version",
        ],
    ),
    (
        "response",
        &[
            "ok",
            "truncated",
            "bad_length",
            "reserved",
            "unknown_version",
        ],
    ),
    (
        "cookie_reply",
        &["ok", "truncated", "bad_length", "reserved"],
    ),
    ("sealed", &["ok", "truncated"]),
    ("frame_direct", &["ok", "truncated"]),
    ("frame_routed", &["ok", "truncated"]),
    ("frame_repair", &["ok", "truncated", "bad_value"]),
    (
        "frame_feedback",
        &["ok", "truncated", "bad_length", "reserved"],
    ),
    ("frame_tail", &["ok", "truncated", "bad_length"]),
    ("frame_probe", &["ok", "truncated"]),
    ("frame_probe_reply", &["ok", "truncated", "bad_length"]),
    ("frame_path_challenge", &["ok", "truncated", "bad_length"]),
    ("frame_path_response", &["ok", "truncated", "bad_length"]),
    ("frame_close", &["ok", "truncated", "bad_length"]),
    ("frame_of_no_type", &["truncated", "unknown_type"]),
    (
        "route",
        &["ok", "truncated", "bad_route", "repeated_node", "reserved"],
    ),
    ("body_packet", &["ok", "truncated", "reserved"]),
    (
        "body_bundle",
        &["ok", "truncated", "bad_length", "reserved"],
    ),
    ("body_run", &["ok", "truncated", "reserved"]),
    ("body_piece", &["ok", "truncated", "reserved"]),
    ("body_path_probe", &["ok", "truncated", "reserved"]),
    (
        "body_path_probe_reply",
        &["ok", "truncated", "bad_length", "reserved"],
    ),
    ("body_of_no_shape", &["truncated", "unknown_shape"]),
    ("inner_v4", &["ok", "truncated", "bad_inner", "bad_length"]),
    ("inner_v6", &["ok", "truncated", "bad_inner", "bad_length"]),
    ("inner_of_no_version", &["bad_inner"]),
];

/// By layer and message: how it has to have been taken at least once. What a node does with an init: answers it (`sent`), asks for a cookie, or refuses it; with
/// a response: begins to use the session (`sent`: a first probe); with a cookie: says its init again (`sent`).
pub const HANDSHAKES: &[(&str, &[&str])] = &[
    (
        "hop init",
        &[
            "sent",
            "cookie_required",
            "handshake_rate",
            "wrong_network",
            "bad_mac",
            "bad_handshake",
            "unknown_peer",
            "unknown_link",
        ],
    ),
    (
        "hop response",
        &["sent", "unexpected_answer", "bad_mac", "bad_handshake"],
    ),
    (
        "hop cookie_reply",
        &["sent", "unexpected_answer", "bad_tag"],
    ),
    (
        "end_to_end init",
        &[
            "sent",
            "cookie_required",
            "wrong_network",
            "bad_mac",
            "bad_handshake",
            "unknown_peer",
        ],
    ),
    ("end_to_end response", &["unexpected_answer", "bad_mac"]),
    ("end_to_end cookie_reply", &["unexpected_answer"]),
];

/// What a run could have reached, and did not.
pub(crate) fn missing(report: &Report) -> Vec<String> {
    let mut missing = Vec::new();
    for (by, name) in ADVERSARIES {
        let reasons = DropReason::ALL.iter().filter(|reason| {
            Unreached::of(by, **reason).is_none() && report.met(by, **reason) == 0
        });
        missing.extend(reasons.map(|reason| format!("{name}: {} was never met", reason.name())));
    }
    let asked = PARSERS
        .iter()
        .map(|(parser, answers)| (*parser, *answers, report.parsers.get(parser)));
    let told = HANDSHAKES
        .iter()
        .map(|(message, outcomes)| (*message, *outcomes, report.handshakes.get(*message)));
    for (what, words, met) in asked.chain(told) {
        let unmet = words
            .iter()
            .filter(|word| !met.is_some_and(|met| met.contains_key(*word)));
        missing.extend(unmet.map(|word| format!("{what}: never {word}")));
    }
    missing
}

/// What a run reached, although it should not have been able to.
pub(crate) fn strays(report: &Report) -> Vec<String> {
    let mut strays = Vec::new();
    for (by, name) in ADVERSARIES {
        for reason in DropReason::ALL {
            if let Some(entry) = Unreached::of(by, *reason).filter(|entry| entry.never)
                && report.met(by, *reason) > 0
            {
                let reason = reason.name();
                strays.push(format!("{name}: {reason} was met, but {}", entry.why));
            }
        }
    }
    for (parser, answers) in &report.parsers {
        let known = PARSERS.iter().find(|(known, _)| known == parser);
        let known = known.map_or(&[][..], |(_, answers)| answers);
        let unknown = answers.keys().filter(|answer| !known.contains(answer));
        strays.extend(unknown.map(|answer| format!("{parser}: {answer}, which it cannot answer")));
    }
    strays
}

const ADVERSARIES: [(By, &str); 2] = [(By::Wire, "wire"), (By::Peer, "peer")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_one_explanation_at_most() {
        for by in [By::Wire, By::Peer] {
            for reason in DropReason::ALL {
                let entries = UNREACHED.iter().filter(|entry| entry.by == by);
                let count = entries
                    .filter(|entry| entry.reasons.contains(reason))
                    .count();
                assert!(count <= 1, "{by:?} {}", reason.name());
            }
        }
    }
}
