//! Egress: flows get their order back. Asks `order` about each packet of a class that wants it, tells it which frames are still missing, and writes what
//! has waited. Pure.

use overlayd_wire::{InnerPacket, Protected, Run};

use crate::checksum::{TCP, UDP};
use crate::classify;
use crate::link::Link;
use crate::order::{Form, Missing, Order, Parcel, Patience, Place, Verdict};
use crate::origin::{FramePlace, Number, Origin, SESSION};
use crate::repair::Policy;
use crate::session::Sessions;
use crate::{DropReason, Nanos, Node};

/// QUIC's port, from or to which its packets go.
const QUIC: u16 = 443;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
/// Where nothing is known of how long repair takes: three rounds over the last hop, and this.
const ROUNDS: Nanos = 3;
const SLACK: Nanos = 100_000_000;
/// A class without a deadline waits so long at most.
const PATIENCE_MAX: Nanos = 1_000_000_000;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Now,
    /// Now, and those of its flow that wait may follow.
    First(u32),
    Waits,
}

/// What is known of frames that have not come.
struct Known<'a> {
    links: &'a [Option<Box<Link>>],
    sessions: &'a Sessions,
}

impl Missing for Known<'_> {
    fn any(&self, stream: u64, after: u64, before: u64) -> bool {
        if stream & SESSION != 0 {
            if after == 0 {
                return false; // of all that it ever lost, hardly anything is still to come
            }
            let numbers = (u32::try_from(after), u32::try_from(before));
            return matches!(numbers, (Ok(after), Ok(before)) if self.sessions.is_missing(stream as u32, after, before));
        }
        let (link, class) = ((stream >> 8) as usize, stream as usize & 0xff);
        let link = self.links.get(link).and_then(Option::as_deref);
        link.and_then(|link| link.recoverers.get(class)?.as_deref())
            .is_some_and(|recoverer| recoverer.is_missing(after, before))
    }
}

impl Node {
    /// Of a frame that came straight from its ingress. `None`: its class is left as it comes.
    pub(crate) fn place_on_link(&self, link: usize, header: Protected) -> Option<FramePlace> {
        let class = header.class;
        if !Policy::among(&self.policies, class).in_order {
            return None;
        }
        let recoverers = &self.links.get(link)?.as_deref()?.recoverers;
        let recoverer = recoverers.get(usize::from(class))?.as_deref()?;
        let frame = Number {
            stream: (link as u64) << 8 | u64::from(class),
            number: recoverer.number(header.seq),
        };
        Some(FramePlace {
            frame,
            class,
            budget: header.budget,
        })
    }

    /// Of a frame that came over relays: its number is that of the end-to-end session.
    pub(crate) fn place_in_session(&self, frame: Number, header: Protected) -> Option<FramePlace> {
        let in_order = Policy::among(&self.policies, header.class).in_order;
        in_order.then_some(FramePlace {
            frame,
            class: header.class,
            budget: header.budget,
        })
    }

    /// Whether a packet that was admitted goes on now; one that waits is kept.
    pub(crate) fn turn_of(
        &mut self,
        now: Nanos,
        origin: &Origin,
        view: &InnerPacket<'_>,
        packet: &[u8],
        form: Form,
    ) -> Turn {
        let Some(of) = origin.place else {
            return Turn::Now;
        };
        let Some(place) = place_in_flow(view, packet, of.frame) else {
            return Turn::Now;
        };
        let Some((order, patience, known)) = self.ordering(origin) else {
            return Turn::Now;
        };
        match order.take(now, &place, patience, &known) {
            Verdict::Passes => return Turn::Now,
            Verdict::Opens => return Turn::First(place.flow),
            Verdict::Waits => {}
        }
        let rtt = known.last_hop_rtt(of.frame.stream);
        let left = of.budget.to_ns().unwrap_or(PATIENCE_MAX);
        let limit = now + patience.get(ROUNDS * rtt + SLACK).min(left);
        let parcel = Parcel {
            origin: Origin {
                at: None,
                ..*origin
            },
            form,
        };
        if order.hold(now, limit, &place, parcel, packet) {
            self.follow(now, place.flow, origin);
        }
        Turn::Waits
    }

    /// Writes the packets of a flow that need not wait any longer. `origin`: of any of them.
    pub(crate) fn follow(&mut self, now: Nanos, flow: u32, origin: &Origin) {
        if self.ordering(origin).is_none() {
            let gone = self.order.discard(flow); // with their peer
            self.tally.drop_many(DropReason::SpoofedSource, gone);
            return;
        }
        while let Some((order, patience, known)) = self.ordering(origin)
            && let Some((parcel, bytes)) = order.next(now, flow, patience, &known)
        {
            if let Err(reason) = self.write_late(&parcel, &bytes) {
                self.tally.drop(reason);
            }
            self.order.done(bytes);
        }
    }

    /// Looks at all flows whose packets wait, when it is time to.
    pub(crate) fn release_order(&mut self, now: Nanos) {
        let mut flows = std::mem::take(&mut self.waiting_flows);
        self.order.due(now, &mut flows);
        for (flow, parcel) in &flows {
            self.follow(now, *flow, &parcel.origin);
        }
        self.waiting_flows = flows;
    }

    fn write_late(&mut self, parcel: &Parcel, packet: &[u8]) -> Result<(), DropReason> {
        // Tables may have changed since it came.
        let view = self.admit(parcel.origin, packet)?;
        match parcel.form.run_of(packet) {
            None => self.write(parcel.origin, &view, packet, parcel.form.is_partial()),
            Some(run) => self.write_run(parcel.origin, &view, &run),
        }
    }

    fn ordering(&mut self, origin: &Origin) -> Option<(&mut Order, &mut Patience, Known<'_>)> {
        let class = usize::from(origin.place?.class);
        let place = self.tables.peer_place(origin.peer)?;
        let patience = self.peers.get_mut(place)?.patience.get_mut(class)?;
        let known = Known {
            links: &self.links,
            sessions: &self.sessions,
        };
        Some((&mut self.order, patience, known))
    }
}

impl Known<'_> {
    fn last_hop_rtt(&self, stream: u64) -> Nanos {
        let link = self.links.get((stream >> 8) as usize);
        let link = link
            .and_then(Option::as_deref)
            .filter(|_| stream & SESSION == 0);
        link.map_or(PATIENCE_MAX / 8, Link::rtt)
    }
}

impl Form {
    pub(crate) fn of_run(run: &Run<'_>) -> Self {
        Self::Run {
            partial_checksum: run.partial_checksum,
            first: run.first,
            last: run.last,
            run: run.run,
            index: run.index,
        }
    }

    fn run_of(self, packet: &[u8]) -> Option<Run<'_>> {
        match self {
            Self::Whole { .. } => None,
            Self::Run {
                partial_checksum,
                first,
                last,
                run,
                index,
            } => Some(Run {
                partial_checksum,
                first,
                last,
                run,
                index,
                packet,
            }),
        }
    }

    fn is_partial(self) -> bool {
        let (Self::Whole { partial_checksum }
        | Self::Run {
            partial_checksum, ..
        }) = self;
        partial_checksum
    }
}

/// `None`: its order does not matter: an acknowledgement alone, or what is neither TCP nor QUIC.
fn place_in_flow(view: &InnerPacket<'_>, packet: &[u8], frame: Number) -> Option<Place> {
    if view.is_fragment() {
        return None;
    }
    let transport = packet.get(view.transport_offset()..)?;
    match view.protocol() {
        TCP => {
            let header: &[u8; 20] = transport.first_chunk()?;
            let flags = header[13];
            let data = transport
                .len()
                .checked_sub(usize::from(header[12] >> 4) * 4)?;
            let length = data as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
            (length > 0 || flags & RST != 0).then(|| Place {
                flow: classify::hash_of(view),
                frame,
                from: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
                length,
                opens: flags & SYN != 0,
                is_tcp: true,
            })
        }
        UDP => {
            let (from, to) = view.ports()?;
            // All classes share a session's numbers, and at relays one overtakes another.
            let is_on_link = frame.stream & SESSION == 0;
            (is_on_link && (from == QUIC || to == QUIC)).then(|| Place {
                flow: classify::hash_of(view),
                frame,
                from: frame.number as u32,
                length: 1,
                opens: false,
                is_tcp: false,
            })
        }
        _ => None,
    }
}
