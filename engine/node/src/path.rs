//! The paths to each (destination, class): which is in use, which live, and when a better one may be used again.
//!
//! A path is the same path in every snapshot that lists it for its (destination, class): liveness and hold-down stay with it. Leaving a dead
//! path is at once; coming back waits for a time of health that doubles with each relapse. Whether a first hop lives is the links' to
//! know and handed in; sending path probes is `link`'s. Pure.

use overlayd_wire::RouteRepr;

use crate::arrivals::Counts;
use crate::copies::Copies;
use crate::event::SwitchReason;
use crate::liveness::{Life, Liveness};
use crate::mtu::MtuSearch;
use crate::snapshot::Route;
use crate::{Nanos, PathReport};

/// Health asked of a path before the engine comes back to it.
const HOLD_MIN: Nanos = 60_000_000_000;
const HOLD_MAX: Nanos = 3_600_000_000_000;
/// A path that stayed so many times as long after it was taken again has no past.
const FORGIVEN_AFTER: Nanos = 10;
/// IPv6 and UDP. Hops behind the first one may be of either family: what a path carries is counted as if all were of IPv6, so that 1520 is
/// what hops of IPv4 carry that have 1500.
pub(crate) const IP_AND_UDP: usize = 48;
/// As long as nothing is known of the first hop.
const MTU_LIMIT: u16 = 1500;
/// A route carries traffic if a packet took it this lately.
const BUSY: Nanos = 2_000_000_000;
/// A route that carried traffic this lately is still watched, slowly.
const WATCHED: Nanos = 600_000_000_000;

/// All paths to one destination for one class.
#[derive(Debug)]
pub(crate) struct PathSet {
    pub(crate) destination: u16,
    pub(crate) class: u8,
    /// In order of preference; never empty.
    pub(crate) paths: Vec<Path>,
    active: usize,
    used_at: Option<Nanos>,
    stranded: bool,
    /// The path in use is suspected, and what stands by for it was called.
    pub(crate) alarmed: bool,
    /// What left of late, where the class wants it on a second path while the first is sick.
    pub(crate) copies: Option<Box<Copies>>,
}

/// Paths that copies may take: with the one in use as many as the controller finds for a route.
pub(crate) const BESIDE: usize = 2;

#[derive(Debug)]
pub(crate) struct Path {
    /// Nodes after this one; the last is the destination.
    pub(crate) nodes: Vec<u16>,
    /// Place of the first of them among the peers.
    pub(crate) via: usize,
    pub(crate) route: RouteRepr,
    /// Of end-to-end probes; a path of one hop lives with its link instead.
    pub(crate) liveness: Liveness,
    /// Names the path in probes to its destination; `None`: there are too many to be named.
    pub(crate) slot: Option<u8>,
    probe_seq: u32,
    pub(crate) probe_at: Nanos,
    /// Of the narrowest hop, as packets of IPv6; the first hop's is its limit.
    pub(crate) mtu: MtuSearch,
    pub(crate) samples: Samples,
    pub(crate) counts: Counts,
    alive: bool,
    died_at: Nanos,
    /// `None`: it has never been alive.
    healthy_since: Option<Nanos>,
    hold: Hold,
}

/// Round trips of one report interval.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) count: u32,
    pub(crate) rtt_min: Option<Nanos>,
    pub(crate) rtt_sum: Nanos,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hold {
    /// The engine has left the path and has not come back.
    left: bool,
    /// Health asked for; 0: it was never left.
    period: Nanos,
    /// When it was taken again.
    taken_at: Nanos,
    /// When it was left last, and the health that was asked for before.
    left_at: Nanos,
    period_before: Nanos,
}

/// How closely a route is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    Fast,
    Slow,
    Not,
}

/// The path in use changed.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) from: Vec<u16>,
    pub(crate) to: Vec<u16>,
    pub(crate) reason: SwitchReason,
}

impl PathSet {
    /// `source` and `generation` go into the routes of frames.
    pub(crate) fn new(
        route: &Route,
        source: u16,
        generation: u8,
        place_of: impl Fn(u16) -> usize,
    ) -> Self {
        let new =
            |nodes: &Vec<u16>| Path::new(nodes, source, generation, place_of(*nodes.first()?));
        let paths = route.paths.iter().filter_map(new);
        Self {
            destination: route.destination,
            class: route.class,
            paths: paths.collect(),
            active: 0,
            used_at: None,
            stranded: true,
            alarmed: false,
            copies: None,
        }
    }

    /// Takes over what `before` knows. A changed order takes effect at once, unless its first path is dead.
    pub(crate) fn inherit(
        &mut self,
        mut before: Self,
        now: Nanos,
        neighbour_is_up: impl Fn(usize) -> bool,
    ) -> Option<Switched> {
        self.used_at = before.used_at;
        if self.copies.is_some() {
            self.copies = before.copies.take().or(self.copies.take());
        }
        let same_order = self
            .paths
            .iter()
            .map(|path| &path.nodes)
            .eq(before.paths.iter().map(|path| &path.nodes));
        let in_use = before.active().nodes.clone();
        for path in &mut self.paths {
            if let Some(place) = before.paths.iter().position(|old| old.nodes == path.nodes) {
                let old = before.paths.swap_remove(place);
                let nodes = std::mem::take(&mut path.nodes);
                *path = Path {
                    nodes,
                    via: path.via,
                    route: path.route,
                    ..old
                };
            }
        }
        if same_order {
            self.active = before.active;
            return None;
        }
        for path in &mut self.paths {
            path.hold.left = false;
            path.update(now, &neighbour_is_up);
        }
        self.active = self.paths.iter().position(|path| path.alive).unwrap_or(0);
        let to = self.active().nodes.clone();
        if to == in_use {
            return None;
        }
        self.paths[self.active].counts = Counts::new(now);
        Some(Switched {
            from: in_use,
            to,
            reason: SwitchReason::Snapshot,
        })
    }

    pub(crate) fn active(&self) -> &Path {
        &self.paths[self.active]
    }

    /// The first living paths that share no relay with the one in use, nor with each other.
    pub(crate) fn beside(&self) -> [Option<usize>; BESIDE] {
        let mut found = [None; BESIDE];
        let mut count = 0;
        for (place, path) in self.paths.iter().enumerate() {
            let is_free = {
                let taken = found[..count].iter().flatten().chain([&self.active]);
                let mut taken = taken.map(|place: &usize| &self.paths[*place]);
                !taken.any(|other| other.shares_a_relay_with(path))
            };
            if count < BESIDE && path.alive && is_free && !self.is_active(place) {
                found[count] = Some(place);
                count += 1;
            }
        }
        found
    }

    /// Whether traffic may take a path at any moment: the one in use; any, where its copies do or where all are dead.
    pub(crate) fn is_open(&self, place: usize) -> bool {
        self.is_active(place) || self.copies.is_some() || self.stranded
    }

    /// A datagram of so many bytes takes the path in use.
    pub(crate) fn frame_sent(&mut self, now: Nanos, bytes: usize) {
        let size = (bytes + IP_AND_UDP).min(usize::from(u16::MAX)) as u16;
        self.paths[self.active].mtu.frames_sent(now, size, 1);
    }

    pub(crate) fn is_active(&self, place: usize) -> bool {
        place == self.active
    }

    /// A packet takes the path in use. True: the route was not watched before.
    pub(crate) fn used(&mut self, now: Nanos) -> bool {
        let woke = self.watch(now) == Watch::Not;
        self.used_at = Some(now);
        if woke {
            for path in &mut self.paths {
                path.liveness.forget_pending();
                path.probe_at = now;
            }
        }
        woke
    }

    pub(crate) fn watch(&self, now: Nanos) -> Watch {
        match self.used_at.map(|at| now.saturating_sub(at)) {
            Some(idle) if idle < BUSY => Watch::Fast,
            Some(idle) if idle < WATCHED => Watch::Slow,
            _ => Watch::Not,
        }
    }

    /// Whether any of the paths needs an end-to-end session: it has a relay.
    pub(crate) fn has_relays(&self) -> bool {
        self.paths.iter().any(|path| !path.is_direct())
    }

    /// Chooses anew. `neighbour_is_up` tells of a first hop, by its place among the peers.
    pub(crate) fn choose(
        &mut self,
        now: Nanos,
        neighbour_is_up: impl Fn(usize) -> bool,
    ) -> Option<Switched> {
        for path in &mut self.paths {
            path.update(now, &neighbour_is_up);
        }
        self.stranded = self.paths.iter().all(|path| !path.alive);
        let active = &self.paths[self.active];
        let (to, reason) = if active.alive {
            let better = self.paths[..self.active]
                .iter()
                .position(|path| path.may_return(now))?;
            (better, SwitchReason::Recovered)
        } else {
            let free = |path: &Path| path.alive && !path.hold.left;
            let held = |path: &Path| path.alive;
            let found = self
                .paths
                .iter()
                .position(free)
                .or_else(|| self.paths.iter().position(held));
            (found.unwrap_or(0), SwitchReason::Dead)
        };
        if to == self.active {
            return None;
        }
        let from = std::mem::replace(&mut self.active, to);
        if reason == SwitchReason::Dead {
            self.paths[from].leave(now);
        }
        self.paths[to].hold.left = false;
        self.paths[to].hold.taken_at = now;
        self.paths[to].counts = Counts::new(now);
        Some(Switched {
            from: self.paths[from].nodes.clone(),
            to: self.paths[to].nodes.clone(),
            reason,
        })
    }

    /// Whether the path in use is known to be dead, and so are all others.
    pub(crate) fn is_stranded(&self) -> bool {
        self.stranded
    }

    /// All paths want to be probed at once.
    pub(crate) fn hurry(&mut self, now: Nanos) {
        for path in &mut self.paths {
            path.probe_at = now;
        }
    }

    /// Those that traffic may not take at any moment anyway want to be probed at once.
    pub(crate) fn hurry_beside(&mut self, now: Nanos) {
        for place in 0..self.paths.len() {
            if !self.is_open(place) {
                self.paths[place].probe_at = now;
            }
        }
    }

    /// When time alone may change the choice: a hold-down ends.
    pub(crate) fn poll_timeout(&self) -> Option<Nanos> {
        let waiting = self.paths[..self.active].iter().filter(|path| path.alive);
        waiting.filter_map(Path::returns_at).min()
    }

    /// Ends a report interval of a path. Loss is that of traffic, and so known of the path in use only.
    pub(crate) fn report(&mut self, place: usize) -> PathReport {
        let active = self.is_active(place);
        let path = &mut self.paths[place];
        let samples = std::mem::take(&mut path.samples);
        let loss_ratio = path.counts.take_loss_ratio().filter(|_| active);
        PathReport {
            destination: self.destination,
            class: self.class,
            path: path.nodes.clone(),
            active,
            alive: path.alive,
            samples: samples.count,
            rtt_min_ns: samples.rtt_min,
            rtt_mean_ns: samples.rtt_sum.checked_div(samples.count.into()),
            loss_ratio,
        }
    }
}

impl Path {
    fn new(nodes: &[u16], source: u16, generation: u8, via: usize) -> Option<Self> {
        Some(Self {
            nodes: nodes.to_vec(),
            via,
            mtu: MtuSearch::new(MTU_LIMIT),
            route: RouteRepr::new(source, nodes, generation)?,
            liveness: Liveness::new(),
            slot: None,
            probe_seq: 0,
            probe_at: 0,
            samples: Samples::default(),
            counts: Counts::default(),
            alive: false,
            died_at: 0,
            healthy_since: None,
            hold: Hold::default(),
        })
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.nodes.len() == 1
    }

    fn shares_a_relay_with(&self, other: &Self) -> bool {
        let relays = self
            .nodes
            .split_last()
            .map_or(&[][..], |(_, relays)| relays);
        relays.iter().any(|relay| other.nodes.contains(relay))
    }

    /// Bytes of UDP payload that a datagram may have on any of the hops.
    pub(crate) fn datagram_bytes(&self) -> usize {
        if self.is_direct() {
            usize::MAX
        } else {
            usize::from(self.mtu.proven()) - IP_AND_UDP
        }
    }

    /// Number of the next probe; the highest bit is left to the kind of probe.
    pub(crate) fn next_probe_seq(&self) -> u32 {
        (self.probe_seq + 1) & (u32::MAX >> 1)
    }

    pub(crate) fn take_probe_seq(&mut self) -> u32 {
        self.probe_seq = self.next_probe_seq();
        self.probe_seq
    }

    fn update(&mut self, now: Nanos, neighbour_is_up: impl Fn(usize) -> bool) {
        let answers = self.is_direct() || !matches!(self.liveness.life(), Life::Down(_));
        let alive = answers && neighbour_is_up(self.via);
        if alive && !self.alive {
            self.healthy_since = Some(now);
        } else if self.alive && !alive {
            self.died_at = now;
        }
        self.alive = alive;
    }

    fn may_return(&self, now: Nanos) -> bool {
        self.alive && self.returns_at().is_none_or(|at| at <= now)
    }

    /// End of the hold-down; `None`: there is none.
    fn returns_at(&self) -> Option<Nanos> {
        let since = self.healthy_since.filter(|_| self.hold.left)?;
        Some(since + self.hold.period)
    }

    /// The verdict of `since`, for which it may have been left, was wrong: its health has no break either.
    pub(crate) fn take_back(&mut self, since: Nanos) {
        if self.died_at >= since {
            self.alive = true; // until the next choice, if it is dead for another reason
        }
        if self.hold.left && self.hold.left_at >= since {
            self.hold.left = false;
            self.hold.period = self.hold.period_before;
        }
    }

    fn leave(&mut self, now: Nanos) {
        if self.healthy_since.is_none() {
            // It was only never there yet, as at a start.
            return;
        }
        let stayed = now.saturating_sub(self.hold.taken_at);
        let forgiven = stayed > FORGIVEN_AFTER * self.hold.period;
        let before = if forgiven { 0 } else { self.hold.period };
        self.hold = Hold {
            left: true,
            period: (before * 2).clamp(HOLD_MIN, HOLD_MAX),
            taken_at: self.hold.taken_at,
            left_at: now,
            period_before: self.hold.period,
        };
    }
}

impl Samples {
    pub(crate) fn add(&mut self, rtt: Nanos) {
        self.count += 1;
        self.rtt_min = Some(self.rtt_min.map_or(rtt, |least| least.min(rtt)));
        self.rtt_sum += rtt;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Nanos = 60_000_000_000;

    /// Paths to node 9, of which the first hop is node (and place) n.
    fn set(paths: &[&[u16]]) -> PathSet {
        let paths = paths.iter().map(|path| path.to_vec()).collect();
        let route = Route {
            destination: 9,
            class: 0,
            paths,
        };
        PathSet::new(&route, 1, 0, usize::from)
    }

    fn switch(set: &mut PathSet, now: Nanos, up: &[usize]) -> Option<(u16, SwitchReason)> {
        let switched = set.choose(now, |via| up.contains(&via))?;
        Some((switched.to[0], switched.reason))
    }

    #[test]
    fn a_relapse_doubles_the_time_of_health_that_is_asked_for() {
        let mut set = set(&[&[9], &[3, 9]]);
        assert_eq!(switch(&mut set, 0, &[9, 3]), None);
        let mut now = MINUTE;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(switch(&mut set, now, &[3]), Some((3, SwitchReason::Dead)));
            assert_eq!(switch(&mut set, now + 1, &[9, 3]), None);
            let returns = now + 1 + minutes * MINUTE;
            assert_eq!(set.poll_timeout(), Some(returns));
            assert_eq!(switch(&mut set, returns - 1, &[9, 3]), None);
            assert_eq!(
                switch(&mut set, returns, &[9, 3]),
                Some((9, SwitchReason::Recovered))
            );
            now = returns + 1;
        }
    }

    #[test]
    fn a_verdict_that_was_wrong_leaves_no_trace() {
        let mut set = set(&[&[9], &[3, 9]]);
        switch(&mut set, 0, &[9, 3]);
        switch(&mut set, MINUTE, &[3]);
        set.paths[0].take_back(MINUTE + 1); // of another verdict
        assert_eq!(switch(&mut set, MINUTE + 1, &[9, 3]), None);
        set.paths[0].take_back(MINUTE);
        let back = Some((9, SwitchReason::Recovered));
        assert_eq!(switch(&mut set, MINUTE + 2, &[9, 3]), back);
        switch(&mut set, 2 * MINUTE, &[3]);
        switch(&mut set, 2 * MINUTE, &[9, 3]);
        assert_eq!(set.poll_timeout(), Some(3 * MINUTE));
    }

    #[test]
    fn who_stays_for_ten_times_its_hold_down_has_no_past() {
        let mut set = set(&[&[9], &[3, 9]]);
        switch(&mut set, 0, &[9, 3]);
        let mut now = MINUTE;
        for (stays, asked) in [(10, 1), (21, 2), (0, 1)] {
            switch(&mut set, now, &[3]);
            switch(&mut set, now, &[9, 3]);
            assert_eq!(set.poll_timeout(), Some(now + asked * MINUTE), "{stays}");
            now += asked * MINUTE;
            switch(&mut set, now, &[9, 3]);
            now += stays * MINUTE;
        }
    }

    #[test]
    fn a_wrong_verdict_is_no_break_of_the_health_that_is_asked_for() {
        let mut set = set(&[&[9], &[3, 9]]);
        switch(&mut set, 0, &[9, 3]);
        switch(&mut set, 1, &[3]);
        switch(&mut set, 2, &[9, 3]);
        switch(&mut set, MINUTE / 2, &[3]);
        set.paths[0].take_back(MINUTE / 2);
        switch(&mut set, MINUTE / 2 + 1, &[9, 3]);
        assert_eq!(set.poll_timeout(), Some(2 + MINUTE));
        set.paths[0].take_back(MINUTE / 2);
        switch(&mut set, MINUTE / 2 + 2, &[3]); // dead for another reason
        switch(&mut set, MINUTE / 2 + 3, &[9, 3]);
        assert_eq!(set.poll_timeout(), Some(MINUTE / 2 + 3 + MINUTE));
    }

    #[test]
    fn health_has_to_be_unbroken() {
        let mut set = set(&[&[9], &[3, 9]]);
        switch(&mut set, 0, &[9, 3]);
        switch(&mut set, 1, &[3]);
        switch(&mut set, 2, &[9, 3]);
        switch(&mut set, MINUTE, &[3]);
        assert_eq!(switch(&mut set, MINUTE + 1, &[9, 3]), None);
        assert_eq!(switch(&mut set, MINUTE + 3, &[9, 3]), None);
        assert_eq!(set.poll_timeout(), Some(2 * MINUTE + 1));
    }

    #[test]
    fn a_path_in_hold_down_is_better_than_a_dead_one() {
        let mut set = set(&[&[9], &[3, 9]]);
        switch(&mut set, 0, &[9, 3]);
        switch(&mut set, 1, &[3]);
        assert_eq!(switch(&mut set, 2, &[9]), Some((9, SwitchReason::Dead)));
    }

    #[test]
    fn where_nothing_lives_the_primary_is_used() {
        let mut set = set(&[&[9], &[3, 9], &[4, 9]]);
        switch(&mut set, 0, &[9, 3, 4]);
        switch(&mut set, 1, &[3, 4]);
        assert_eq!(switch(&mut set, 2, &[]), Some((9, SwitchReason::Dead)));
        assert!(set.is_stranded());
        assert_eq!(switch(&mut set, 3, &[4]), Some((4, SwitchReason::Dead)));
        assert!(!set.is_stranded());
    }

    #[test]
    fn a_primary_that_was_only_late_at_the_start_is_taken_at_once() {
        let mut set = set(&[&[9], &[3, 9]]);
        assert_eq!(switch(&mut set, 0, &[3]), Some((3, SwitchReason::Dead)));
        assert_eq!(
            switch(&mut set, 1, &[9, 3]),
            Some((9, SwitchReason::Recovered))
        );
    }

    #[test]
    fn the_same_order_again_keeps_what_was_decided() {
        let mut before = set(&[&[9], &[3, 9]]);
        switch(&mut before, 0, &[9, 3]);
        switch(&mut before, 1, &[3]);
        let mut after = set(&[&[9], &[3, 9]]);
        assert!(after.inherit(before, 2, |_| true).is_none());
        assert_eq!(after.active().nodes, [3, 9]);
        assert_eq!(switch(&mut after, 3, &[9, 3]), None, "it is held");
    }

    #[test]
    fn another_order_takes_effect_at_once_unless_its_first_is_dead() {
        for (up, active) in [(&[9, 3, 4][..], 4), (&[9, 3], 3)] {
            let mut before = set(&[&[9], &[3, 9]]);
            switch(&mut before, 0, &[9, 3]);
            let mut after = set(&[&[4, 9], &[3, 9], &[9]]);
            let switched = after.inherit(before, 2, |via| up.contains(&via));
            assert_eq!(switched.map(|switched| switched.to[0]), Some(active));
        }
    }
}
