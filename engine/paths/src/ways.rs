//! A source's ways to its second relays, for choosing paths of several destinations at once. Pure.
//!
//! A way is open until its first or its second relay is taken: which ways a relay is on is one bit each. Of each second
//! relay there are the few cheapest ways, as long as they are cheaper than going there straight. Where more might be,
//! the last one is *final*: it stands for all that cost no less, and is not blocked by its first relay. If it wins, it
//! has to be looked at.

use crate::firsts::Firsts;
use crate::kernel::{self, Bits, KEPT, LANES, NO_WAY, WORDS};
use crate::network::{NOBODY, Network};

/// Ways to one second relay at most.
const EACH: usize = WORDS * 32 / crate::SECONDS_LIMIT;

/// The ways that are blocked, by destination.
#[derive(Default)]
pub(crate) struct Blocked([[u32; WORDS]; LANES]);

/// The ways of one source.
pub(crate) struct Ways {
    costs: Vec<f32>,
    seconds: Vec<u32>,
    /// Positions: of the first relay in the lower half, and of the second in the upper one; of the only one, and nobody.
    relays: Vec<u32>,
    /// By position: the ways that the relay is on. Behind the last one, nobody.
    on: Vec<[u32; WORDS]>,
    /// The cheapest way to each second relay, in order, as they are in the lists above.
    heads: Vec<u32>,
    head_costs: Vec<f32>,
    head_seconds: Vec<u32>,
}

impl Ways {
    pub(crate) fn new(network: &Network) -> Self {
        Self {
            costs: Vec::new(),
            seconds: Vec::new(),
            relays: Vec::new(),
            on: vec![[0; WORDS]; network.relays.len() + 1],
            heads: Vec::new(),
            head_costs: Vec::new(),
            head_seconds: Vec::new(),
        }
    }

    /// Finds those of `source`, of a network without a cap.
    pub(crate) fn find(&mut self, network: &Network, source: usize, firsts: &Firsts) {
        const { assert!(EACH == KEPT) };
        self.costs.clear();
        self.seconds.clear();
        self.relays.clear();
        self.on.fill([0; WORDS]);
        let alone = !network.has_singles();
        if alone {
            for (second, &at) in network.seconds.iter().enumerate() {
                let straight = network.into.exact.at(source, usize::from(at));
                self.add(straight, second, [at, NOBODY], false);
            }
        }
        for (second, list) in firsts.of_all().iter().enumerate() {
            let at = network.seconds[second];
            let straight = network.into.exact.at(source, usize::from(at));
            let most = if alone { EACH - 1 } else { EACH };
            let entries = list.entries.iter().filter_map(|entry| entry.some());
            let cheaper = entries
                .take_while(|entry| entry.sum() < straight)
                .take(most);
            let mut ways = cheaper.peekable();
            let mut number = 0;
            while let Some(entry) = ways.next() {
                number += 1;
                let known = if number == KEPT {
                    list.beyond()
                } else {
                    list.entries[number]
                        .some()
                        .map_or(list.rest, |next| next.sum())
                };
                let is_final = ways.peek().is_none() && known < straight;
                self.add(entry.sum(), second, [entry.column() as u16, at], is_final);
            }
            if number == 0 && list.least() < straight {
                self.add(list.least(), second, [NOBODY, at], true);
            }
        }
        self.find_heads(network.seconds.len());
    }

    fn find_heads(&mut self, seconds: usize) {
        let mut heads = vec![NO_WAY; seconds];
        for (way, (&second, relays)) in (0..).zip(self.seconds.iter().zip(&self.relays)) {
            // Straight ones come first, and others only where they are cheaper, the cheapest first.
            let head = &mut heads[second as usize];
            let second_of = |relays: u32| (relays >> 16) as u16;
            let is_straight = |head: u32| second_of(self.relays[head as usize]) == NOBODY;
            if *head == NO_WAY || is_straight(*head) && second_of(*relays) != NOBODY {
                *head = way;
            }
        }
        heads.retain(|&head| head != NO_WAY);
        heads.sort_unstable();
        self.head_costs.clear();
        self.head_costs
            .extend(heads.iter().map(|&head| self.costs[head as usize]));
        self.head_seconds.clear();
        self.head_seconds
            .extend(heads.iter().map(|&head| self.seconds[head as usize]));
        self.heads = heads;
    }

    fn add(&mut self, cost: f32, second: usize, relays: [u16; 2], is_final: bool) {
        let way = self.costs.len();
        let bit = 1 << 31 >> (way % 32);
        let on = if is_final { &relays[1..] } else { &relays };
        for &relay in on {
            if relay != NOBODY {
                self.on[usize::from(relay)][way / 32] |= bit;
            }
        }
        self.costs.push(cost);
        self.seconds.push(second as u32);
        self.relays
            .push(u32::from(relays[0]) | u32::from(relays[1]) << 16);
    }

    /// The ways that a relay is on; none if it is nobody.
    #[inline(always)]
    pub(crate) fn on(&self, relay: u16) -> &[u32; WORDS] {
        &self.on[usize::from(relay).min(self.on.len() - 1)]
    }

    /// For the destinations of a group the first of the cheapest ways that are not blocked, where they are cheaper than
    /// `best`. Where nothing is blocked, the cheapest to each second relay are enough.
    #[inline]
    pub(crate) fn cheapest(
        &self,
        network: &Network,
        group: usize,
        blocked: Option<&kernel::Blocked>,
        best: &mut [f32; LANES],
    ) -> [u32; LANES] {
        let last = network.last.group(group);
        if blocked.is_some() {
            let (costs, seconds) = (&self.costs, &self.seconds);
            return kernel::cheapest(kernel::Ways { costs, seconds }, last, blocked, best);
        }
        let (costs, seconds) = (&self.head_costs, &self.head_seconds);
        let found = kernel::cheapest(kernel::Ways { costs, seconds }, last, None, best);
        found.map(|head| self.heads.get(head as usize).copied().unwrap_or(NO_WAY))
    }

    /// The relays of ways: the first in the lower half, the second in the upper one. Where there is no way, there is none.
    #[inline(always)]
    pub(crate) fn relays(&self, ways: &Bits) -> Bits {
        ways.map(|way| self.relays.get(way as usize).copied().unwrap_or(NO_WAY))
    }
}

impl Blocked {
    #[inline(always)]
    pub(crate) fn add(&mut self, lane: usize, ways: &[u32; WORDS]) {
        for (blocked, ways) in self.0[lane].iter_mut().zip(ways) {
            *blocked |= ways;
        }
    }

    #[inline(always)]
    pub(crate) fn by_word(&self) -> kernel::Blocked {
        kernel::turned(&self.0)
    }
}
