//! When each of many things wants to be tended, and the first of these times at hand: it is asked for after every batch. Pure.

use crate::Nanos;

/// `Nanos::MAX`: not at all.
#[derive(Debug)]
pub(crate) struct Dues {
    each: Vec<Nanos>,
    first: Nanos,
}

impl Dues {
    /// So many things, all due at `at`.
    pub(crate) fn new(count: usize, at: Nanos) -> Self {
        Self {
            each: vec![at; count],
            first: if count == 0 { Nanos::MAX } else { at },
        }
    }

    pub(crate) fn push(&mut self, at: Nanos) {
        self.each.push(at);
        self.first = self.first.min(at);
    }

    pub(crate) fn set(&mut self, place: usize, at: Nanos) {
        let Some(due) = self.each.get_mut(place) else {
            return;
        };
        let before = std::mem::replace(due, at);
        if at <= self.first {
            self.first = at;
        } else if before == self.first {
            self.first = self.each.iter().copied().min().unwrap_or(Nanos::MAX);
        }
    }

    pub(crate) fn is_due(&self, place: usize, now: Nanos) -> bool {
        self.first <= now && self.each.get(place).is_some_and(|due| *due <= now)
    }

    pub(crate) fn first(&self) -> Nanos {
        self.first
    }
}

impl Default for Dues {
    fn default() -> Self {
        Self::new(0, Nanos::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Dues;
    use crate::session::Random;

    #[test]
    fn the_first_is_the_least_of_all_whatever_was_set() {
        let mut random = Random::new([5; 32]);
        let mut dues = Dues::new(3, 7);
        let mut model = vec![7; 3];
        for _ in 0..2_000 {
            let at = random.below(20);
            if random.below(100) == 0 {
                dues.push(at);
                model.push(at);
            } else {
                let place = random.below(model.len() as u64) as usize;
                dues.set(place, at);
                model[place] = at;
            }
            assert_eq!(dues.first(), *model.iter().min().unwrap_or(&u64::MAX));
            assert!((0..model.len()).all(|place| dues.is_due(place, 9) == (model[place] <= 9)));
        }
    }

    #[test]
    fn nothing_is_never_due() {
        assert_eq!(Dues::default().first(), u64::MAX);
        assert!(!Dues::default().is_due(0, u64::MAX));
    }
}
