//! How long a gap is worth waiting for: a little longer than repair lately took, of one peer and class. Pure.

use crate::Nanos;

/// Beyond what repair took, a quarter and this.
const MARGIN: Nanos = 4_000_000;
/// What is shorter than expected shortens the patience by one part in so many of the difference; what never came, of the whole.
const SLOWLY: Nanos = 1024;
const IN_VAIN: Nanos = 2;
/// What takes longer is no repair.
const LONGEST: Nanos = 1_000_000_000;

/// `None`: nothing was repaired yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patience(Option<Nanos>);

impl Patience {
    /// `at_first`: where nothing is known.
    pub(crate) fn get(&mut self, at_first: Nanos) -> Nanos {
        *self.0.get_or_insert(at_first)
    }

    /// A gap was filled so late.
    pub(crate) fn filled(&mut self, late: Nanos) {
        let wanted = (late + late / 4 + MARGIN).min(LONGEST);
        let now = self.0.unwrap_or(wanted);
        self.0 = Some(if wanted > now {
            wanted
        } else {
            now - (now - wanted) / SLOWLY
        });
    }

    /// A gap was given up.
    pub(crate) fn in_vain(&mut self) {
        self.0 = self.0.map(|now| now - now / IN_VAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn it_follows_what_repair_takes() {
        let mut patience = Patience::default();
        assert_eq!(patience.get(300 * MS), 300 * MS);
        for _ in 0..8_000 {
            patience.filled(40 * MS);
        }
        assert!((54 * MS..56 * MS).contains(&patience.get(0)));
        patience.filled(80 * MS);
        assert_eq!(patience.get(0), 104 * MS);
    }

    #[test]
    fn who_waits_in_vain_waits_less() {
        let mut patience = Patience::default();
        patience.get(300 * MS);
        for _ in 0..30 {
            patience.in_vain();
        }
        assert!(patience.get(0) < 10 * MS);
    }
}
