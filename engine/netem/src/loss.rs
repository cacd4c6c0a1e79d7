//! The loss process of a link direction, and where it stands in time.
//!
//! The states of the Gilbert–Elliott model alternate on a random stream of their own: for one seed the bad
//! stretches fall at the same times whatever the traffic is. Pure; called by [`crate::Link`].

use crate::rng::Rng;
use crate::settings::Loss;

/// Stays caught up one by one after an idle time; beyond that the memory of the old state is nil and the
/// process starts anew from its long-run distribution, so that no offer takes unbounded time.
const CATCH_UP_MAX: u32 = 4_096;

/// Decides the fate of packets; times handed in never go back.
#[derive(Clone, Debug)]
pub(crate) struct LossProcess {
    model: Loss,
    stays: Rng,
    bad: bool,
    /// When the present stay ends; `None` before the first packet.
    until_ns: Option<u64>,
}

impl LossProcess {
    pub(crate) fn new(model: Loss, seed: u64, stream: u64) -> Self {
        Self {
            model,
            stays: Rng::new(seed, stream),
            bad: false,
            until_ns: None,
        }
    }

    /// Goes on with another model; a changed one forgets its state.
    pub(crate) fn set(&mut self, model: Loss) {
        if self.model != model {
            self.model = model;
            self.until_ns = None;
        }
    }

    /// Whether a packet that is on the wire at `at_ns` is lost; `draws` decides within a state.
    pub(crate) fn loses(&mut self, at_ns: u64, draws: &mut Rng) -> bool {
        match self.model {
            Loss::None => false,
            Loss::Independent { ratio } => draws.chance(ratio),
            Loss::GilbertElliott {
                mean_good_ns,
                mean_bad_ns,
                loss_good,
                loss_bad,
            } => {
                self.advance(at_ns, mean_good_ns, mean_bad_ns);
                draws.chance(if self.bad { loss_bad } else { loss_good })
            }
        }
    }

    fn advance(&mut self, at_ns: u64, mean_good_ns: u64, mean_bad_ns: u64) {
        let mean = |bad: bool| if bad { mean_bad_ns } else { mean_good_ns };
        let mut budget = CATCH_UP_MAX;
        while let Some(until_ns) = self.until_ns.filter(|_| budget > 0) {
            if at_ns < until_ns {
                return;
            }
            self.bad = !self.bad;
            self.until_ns =
                Some(until_ns.saturating_add(self.stays.exponential_ns(mean(self.bad))));
            budget -= 1;
        }
        self.bad = self
            .stays
            .chance(mean_bad_ns as f64 / (mean_good_ns as f64 + mean_bad_ns as f64));
        // What is left of an exponential stay is distributed like a whole one.
        self.until_ns = Some(at_ns.saturating_add(self.stays.exponential_ns(mean(self.bad))));
    }
}
