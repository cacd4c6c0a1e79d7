//! Egress: the marks of congestion that a body came with, and what they make of an inner packet's own. Pure.

use overlayd_wire::ecn;

/// Of the underlay's last hop, which relays carry on, and of relays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Two bits of the outer header. A frame that was sent again has none.
    pub(crate) outer: u8,
    /// A relay's queue stood. It cannot know whether the inner packet's transport understands that.
    pub(crate) relay: bool,
}

impl Marks {
    /// Of the two pieces of one packet: what either says (RFC 3168, section 5.3).
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            outer: if other.outer == ecn::CE {
                ecn::CE
            } else {
                self.outer
            },
            relay: self.relay || other.relay,
        }
    }

    /// What a packet of `inner` bears from now on. `None`: it is to be dropped.
    pub(crate) fn over(self, inner: u8) -> Option<u8> {
        let combined = ecn::combine(inner, self.outer)?;
        Some(if self.relay {
            ecn::marked(combined)
        } else {
            combined
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_marks_what_understands_it_and_drops_nothing() {
        let of_relay = Marks {
            outer: 0,
            relay: true,
        };
        let after =
            [ecn::NOT_ECT, ecn::ECT_0, ecn::ECT_1, ecn::CE].map(|inner| of_relay.over(inner));
        assert_eq!(after, [ecn::NOT_ECT, ecn::CE, ecn::CE, ecn::CE].map(Some));
    }

    #[test]
    fn a_mark_on_either_piece_is_one_on_the_packet() {
        let plain = Marks {
            outer: ecn::ECT_0,
            relay: false,
        };
        let marked = Marks {
            outer: ecn::CE,
            relay: false,
        };
        assert_eq!(plain.and(marked), marked);
        assert_eq!(marked.and(plain), marked);
        assert_eq!(plain.and(plain), plain);
    }
}
