//! Copies of packets on node-disjoint paths, while the path in use is sick. For classes that ask for it.
//!
//! What leaves for such a class is sealed end to end whatever the path, so that its counter tells copies apart at the egress, and kept for as
//! long as it may be of use. When probes of the path in use are overdue by more than chance explains, what left since it last answered leaves
//! once more on the second path, and so does each packet from then on, until the path answers or is left. Where the second is sick as well, an
//! end of both is, and the third path takes what they put at risk. On a calm path nothing is sent twice. Pure.

use overlayd_wire::{Protected, RouteRepr};

use crate::copies::Note;
use crate::liveness::Liveness;
use crate::path::{BESIDE, Path};
use crate::queue::Traffic;
use crate::schedule::Exit;
use crate::way::Leg;
use crate::{Nanos, Node};

impl Node {
    /// Takes a copy of the frame at the end of the output, which starts at `frame`, is sealed end to end and leaves now.
    pub(crate) fn keep_copy(&mut self, now: Nanos, leg: &Leg, traffic: &Traffic, frame: usize) {
        let Some(inner) = traffic.inner.filter(|inner| inner.guarded) else {
            return;
        };
        let place = self.peer_place(inner.destination);
        let Some(set) = place.and_then(|place| self.routes.find(place, leg.class)) else {
            return;
        };
        let datagram = &self.output.bytes[inner.starts_at(frame)..];
        let note = Note {
            left_at: now,
            length: datagram.len(),
            class: leg.class,
            budget: leg.budget,
            ecn: leg.ecn,
            flow: traffic.flow,
        };
        if let Some(copies) = &mut self.routes.sets[set].copies {
            copies.keep(note, datagram);
        }
    }

    /// While the path in use is sick, what was kept last leaves on the second one too, and on the third while both are.
    pub(crate) fn send_second(&mut self, now: Nanos, set: usize) {
        let sick = self.routes.sets[set].copies.as_deref();
        let Some(sick) = sick.map(|copies| copies.sick).filter(|sick| *sick > 0) else {
            return;
        };
        for path in self.routes.sets[set].beside().into_iter().take(sick) {
            self.send_copies(now, set, path, 1);
        }
    }

    /// Notes how many paths in a row are sick. What left since all of them last answered leaves on the next one too, if that was not so before.
    pub(crate) fn look_after(&mut self, now: Nanos, set: usize) {
        let state = &self.routes.sets[set];
        let Some(before) = state.copies.as_deref().map(|copies| copies.sick) else {
            return;
        };
        let beside = state.beside();
        let (mut sick, mut since) = (0, 0);
        let mut path = Some(state.active());
        let mut missed: [Option<Nanos>; BESIDE] = [None; BESIDE];
        while let Some(silent) = path.and_then(|path| self.silent_since(now, path))
            && sick < BESIDE
        {
            since = silent.max(since);
            missed[sick] = Some(since).filter(|_| sick >= before);
            path = beside[sick].map(|place| &state.paths[place]);
            sick += 1;
        }
        if let Some(copies) = &mut self.routes.sets[set].copies {
            copies.sick = sick;
        }
        for (path, since) in beside.into_iter().zip(missed) {
            let copies = self.routes.sets[set].copies.as_deref();
            let count = copies
                .zip(since)
                .map(|(copies, since)| copies.newer_than(since));
            self.send_copies(now, set, path, count.unwrap_or(0));
        }
    }

    /// When one of the paths may turn out to be sick.
    pub(crate) fn look_after_at(&self, set: usize) -> Option<Nanos> {
        let state = &self.routes.sets[set];
        let beside = state.beside().into_iter().flatten();
        let paths = beside
            .map(|place| &state.paths[place])
            .chain([state.active()]);
        let lives = paths.filter_map(|path| self.lives_of(path)).flatten();
        lives.filter_map(Liveness::doubtful_at).min()
    }

    /// What was sent before the time in the answer has arrived; `None`: the path answers.
    fn silent_since(&self, now: Nanos, path: &Path) -> Option<Nanos> {
        let Some(lives) = self.lives_of(path) else {
            return Some(0);
        };
        lives.filter_map(|life| life.doubtful_since(now)).min()
    }

    /// What tells of a path: its first link, and probes of its whole way. `None`: there is no such link.
    pub(crate) fn lives_of<'a>(
        &'a self,
        path: &'a Path,
    ) -> Option<impl Iterator<Item = &'a Liveness>> {
        let link = self.links[self.peers[path.via].best?].as_deref()?;
        let whole = (!path.is_direct()).then_some(&path.liveness);
        Some([Some(&link.liveness), whole].into_iter().flatten())
    }

    /// The newest `count` of what is kept, in order, on the path at this place.
    fn send_copies(&mut self, now: Nanos, set: usize, path: Option<usize>, count: usize) {
        let Some(path) = path.filter(|_| count > 0) else {
            return;
        };
        let Path { via, route, .. } = self.routes.sets[set].paths[path];
        let Some(link) = self.peers[via].best else {
            return;
        };
        let Some(copies) = self.routes.sets[set].copies.take() else {
            return;
        };
        for (note, datagram) in copies.newest(count) {
            if note.is_late(now) {
                continue;
            }
            let leg = Leg {
                link,
                class: note.class,
                budget: note.budget.less(now - note.left_at),
                ecn: note.ecn,
            };
            self.send_copy(now, &leg, note.flow, (&route, datagram));
        }
        self.routes.sets[set].copies = Some(copies);
    }

    fn send_copy(
        &mut self,
        now: Nanos,
        leg: &Leg,
        flow: u32,
        (route, datagram): (&RouteRepr, [&[u8]; 2]),
    ) {
        let bytes = &mut self.output.bytes;
        let start = Exit::begin(bytes);
        bytes.extend_from_slice(&[0; Protected::LEN]);
        route.emit(bytes);
        for part in datagram {
            bytes.extend_from_slice(part);
        }
        let traffic = Traffic {
            routed: true,
            flow,
            inner: None,
        };
        if let Err(reason) = self.pass(now, leg, traffic, start) {
            self.tally.drop(reason);
        }
    }
}
