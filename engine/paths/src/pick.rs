//! The cheapest path of a source's pairs that avoids what is taken, from lists of candidates. Pure.

use crate::kernel::below;
use crate::lists::Lists;
use crate::network::Network;
use crate::{ABSENT, NONE, Relays, SINGLES, UNREACHABLE};

/// A path and what it costs; [`UNREACHABLE`] if there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pick {
    pub(crate) cost: f32,
    pub(crate) relays: Relays,
}

const NO_PATH: Pick = Pick {
    cost: UNREACHABLE,
    relays: [ABSENT, NONE],
};

/// The picks of one source, and room to work in.
#[derive(Default)]
pub(crate) struct Row {
    costs: Vec<f32>,
    relays: Vec<Relays>,
    found: Vec<u32>,
}

impl Row {
    pub(crate) fn pick(&self, to: usize) -> Pick {
        match self.relays[to] {
            [ABSENT, _] => NO_PATH,
            relays => Pick {
                cost: self.costs[to],
                relays,
            },
        }
    }
}

impl Network {
    /// Picks for all destinations of `source`; `avoid` are the paths that a destination's must share nothing with.
    pub(crate) fn pick_row<'a>(
        &self,
        source: usize,
        singles: &Lists<SINGLES>,
        avoid: impl Fn(usize) -> &'a [Relays],
        row: &mut Row,
    ) {
        // Below every sum: neither the source itself nor the padding is ever improved.
        row.costs.clear();
        row.costs.resize(self.width, f32::NEG_INFINITY);
        row.relays.clear();
        row.relays.resize(self.n, NO_PATH.relays);
        for to in (0..self.n).filter(|&to| to != source) {
            let pick = self.pick_short(source, to, singles, avoid(to));
            row.costs[to] = pick.cost;
            row.relays[to] = pick.relays;
        }
        for second in 0..self.second {
            let base = self.firsts[source].row(0)[second];
            if base == UNREACHABLE {
                continue;
            }
            row.found.clear();
            below(base, self.last_row(second), &row.costs, &mut row.found);
            for &to in &row.found {
                let to = to as usize;
                if let Some(pick) = self.pick_long(source, second, to, avoid(to), row.costs[to]) {
                    row.costs[to] = pick.cost;
                    row.relays[to] = pick.relays;
                }
            }
        }
    }

    /// Picks for one pair.
    pub(crate) fn pick_pair(
        &self,
        source: usize,
        to: usize,
        singles: &Lists<SINGLES>,
        avoid: &[Relays],
    ) -> Pick {
        if source == to {
            return NO_PATH;
        }
        let mut best = self.pick_short(source, to, singles, avoid);
        for second in 0..self.second {
            let least = self.firsts[source].row(0)[second] + self.last[second * self.width + to];
            if least < best.cost
                && let Some(pick) = self.pick_long(source, second, to, avoid, best.cost)
            {
                best = pick;
            }
        }
        best
    }

    /// The direct path, or by a single relay.
    fn pick_short(
        &self,
        source: usize,
        to: usize,
        singles: &Lists<SINGLES>,
        avoid: &[Relays],
    ) -> Pick {
        let mut best = NO_PATH;
        if avoid.iter().all(|path| path[0] != NONE) {
            let at = source * self.n + to;
            let over = self
                .cap
                .as_ref()
                .is_some_and(|cap| cap.rtt[at] > cap.limit[source * self.width + to]);
            let cost = self.direct[at] + if over { self.penalty() } else { 0.0 };
            if cost < best.cost {
                best = Pick {
                    cost,
                    relays: [NONE, NONE],
                };
            }
        }
        if let Some((cost, id)) = singles.lane(to).find(|&(_, id)| !taken(avoid, id))
            && cost < best.cost
        {
            best = Pick {
                cost,
                relays: [id as i16, NONE],
            };
        }
        best
    }

    /// The cheapest path through any first and this second relay, if it is below `limit`.
    fn pick_long(
        &self,
        source: usize,
        second: usize,
        to: usize,
        avoid: &[Relays],
        mut limit: f32,
    ) -> Option<Pick> {
        let id = self.relays[second];
        if taken(avoid, id) {
            return None;
        }
        let last = self.last[second * self.width + to];
        let pick = |cost, first: u16| Pick {
            cost,
            relays: [first as i16, id as i16],
        };
        let mut found = None;
        let mut listed = 0;
        for (cost, first) in self.firsts[source].lane(second) {
            let cost = cost + last;
            if cost >= limit {
                return found; // nor is anything that stands behind it
            }
            listed += 1;
            if usize::from(first) == to || taken(avoid, first) {
                continue;
            }
            if self.within(source, first, id, to) {
                return Some(pick(cost, first));
            }
            let cost = cost + self.penalty();
            if cost < limit {
                limit = cost;
                found = Some(pick(cost, first));
            }
        }
        if listed == crate::FIRSTS
            && let Some((cost, first)) =
                self.search_within_cap(source, second, to, last, avoid, limit)
        {
            found = Some(pick(cost, first));
        }
        found
    }

    /// Looks at every first relay, for one whose path is within the cap: the list held none.
    #[cold]
    fn search_within_cap(
        &self,
        source: usize,
        second: usize,
        to: usize,
        last: f32,
        avoid: &[Relays],
        mut limit: f32,
    ) -> Option<(f32, u16)> {
        let cap = self.cap.as_ref()?;
        let rest = cap.out.at(second, to);
        let allowed = cap.limit[source * self.width + to];
        if cap.nearest[source * self.second + second] + rest > allowed {
            return None;
        }
        let k = self.relays.len();
        let mut found = None;
        for (relay, &first) in self.relays.iter().enumerate() {
            let cost = self.into[source * k + relay] + self.middle.at(relay, second) + last;
            let better =
                cost < limit || cost == limit && found.is_some_and(|(_, other)| first < other);
            if better
                && usize::from(first) != to
                && !taken(avoid, first)
                && self.within(source, first, self.relays[second], to)
            {
                limit = cost;
                found = Some((cost, first));
            }
        }
        found
    }

    fn within(&self, source: usize, first: u16, second: u16, to: usize) -> bool {
        self.cap.as_ref().is_none_or(|cap| {
            let (first, second) = (usize::from(first), usize::from(second));
            let rtt = |from: usize, to: usize| cap.rtt[from * self.n + to];
            let legs = (rtt(source, first) + cap.per_relay) + (rtt(first, second) + cap.per_relay);
            let over = legs + rtt(second, to) > cap.limit[source * self.width + to];
            !over
        })
    }

    fn penalty(&self) -> f32 {
        self.cap.as_ref().map_or(0.0, |cap| cap.penalty)
    }
}

fn taken(avoid: &[Relays], id: u16) -> bool {
    avoid.iter().any(|path| path.contains(&(id as i16)))
}
