//! The two loops that cost time: offer all relays to the lists of a tile's lanes, and find the few lanes of a row where
//! a sum is below a limit.
//!
//! Here in plain Rust, in `avx2` for CPUs that have it. Both give the same bits. Pure.

use crate::lists::Lists;

#[cfg(target_arch = "x86_64")]
mod avx2;

/// What is looked at in one go. Rows are padded to a multiple of this, with infinity.
pub(crate) const LANES: usize = 16;

/// Relays that are offered to the lanes of a tile: `bases` is what it costs to get to each, `tile` what from there on.
#[derive(Clone, Copy)]
pub(crate) struct Offers<'a> {
    pub(crate) ids: &'a [u16],
    pub(crate) bases: &'a [f32],
    pub(crate) tile: &'a [[f32; LANES]],
}

/// The same of the RTT, with each lane's limit, above which a path costs `penalty` more.
#[derive(Clone, Copy)]
pub(crate) struct CappedOffers<'a> {
    pub(crate) bases: &'a [f32],
    pub(crate) tile: &'a [[f32; LANES]],
    pub(crate) limits: &'a [f32; LANES],
    pub(crate) penalty: f32,
}

/// Puts the relays into the lists of the lanes from `start` on where they belong among the best.
#[inline]
pub(crate) fn offer<const K: usize>(
    lists: &mut Lists<K>,
    start: usize,
    offers: Offers<'_>,
    cap: Option<CappedOffers<'_>>,
) {
    #[cfg(target_arch = "x86_64")]
    if avx2::offer_if_detected(lists, start, offers, cap) {
        return;
    }
    plain_offer(lists, start, offers, cap);
}

/// Appends to `found` the lanes where `base + row < limit`.
#[inline]
pub(crate) fn below(base: f32, row: &[f32], limit: &[f32], found: &mut Vec<u32>) {
    #[cfg(target_arch = "x86_64")]
    if avx2::below_if_detected(base, row, limit, found) {
        return;
    }
    plain_below(base, row, limit, found);
}

fn plain_offer<const K: usize>(
    lists: &mut Lists<K>,
    start: usize,
    offers: Offers<'_>,
    cap: Option<CappedOffers<'_>>,
) {
    let relays = offers.ids.iter().zip(offers.bases).zip(offers.tile);
    for (relay, ((&id, &base), costs)) in relays.enumerate() {
        for (lane, cost) in costs.iter().enumerate() {
            let over =
                cap.filter(|cap| cap.bases[relay] + cap.tile[relay][lane] > cap.limits[lane]);
            let cost = base + cost + over.map_or(0.0, |cap| cap.penalty);
            lists.insert(start + lane, cost, id);
        }
    }
}

fn plain_below(base: f32, row: &[f32], limit: &[f32], found: &mut Vec<u32>) {
    for (lane, (cost, limit)) in row.iter().zip(limit).enumerate() {
        if base + cost < *limit {
            found.push(lane as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIDTH: usize = 2 * LANES;

    /// Small whole numbers, so that there are ties; now and then infinite, or none.
    fn cost() -> impl Strategy<Value = f32> {
        prop_oneof![8 => (0_u8..9).prop_map(f32::from), 1 => Just(f32::INFINITY), 1 => Just(f32::NAN)]
    }

    fn tile() -> impl Strategy<Value = Vec<[f32; LANES]>> {
        prop::collection::vec(prop::collection::vec(cost(), LANES), 20).prop_map(|rows| {
            rows.iter()
                .map(|row| std::array::from_fn(|lane| row[lane]))
                .collect()
        })
    }

    fn content(lists: &Lists<3>) -> Vec<(f32, u16)> {
        (0..WIDTH).flat_map(|lane| lists.lane(lane)).collect()
    }

    proptest! {
        #[test]
        fn what_this_cpu_does_is_what_plain_rust_does(
            tile in tile(),
            rtts in tile(),
            bases in prop::collection::vec(cost(), 20),
            capped: bool,
        ) {
            let ids: Vec<u16> = (0..20).map(|relay| relay * 7 % 20).collect();
            let (mut here, mut plain) = (Lists::<3>::new(WIDTH), Lists::<3>::new(WIDTH));
            let offers = Offers { ids: &ids, bases: &bases, tile: &tile };
            let capped = capped.then_some(CappedOffers { bases: &bases, tile: &rtts, limits: &rtts[0], penalty: 5.0 });
            offer(&mut here, LANES, offers, capped);
            plain_offer(&mut plain, LANES, offers, capped);
            prop_assert_eq!(content(&here), content(&plain));
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            below(1.0, tile.as_flattened(), rtts.as_flattened(), &mut found);
            plain_below(1.0, tile.as_flattened(), rtts.as_flattened(), &mut expected);
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn lists_hold_the_cheapest_of_what_was_offered(tile in tile()) {
            let mut lists = Lists::<3>::new(WIDTH);
            let ids: Vec<u16> = (0..20).collect();
            offer(&mut lists, 0, Offers { ids: &ids, bases: &[0.5; 20], tile: &tile }, None);
            for lane in 0..LANES {
                let mut all: Vec<(f32, u16)> = (0..).zip(&tile).map(|(id, row)| (0.5 + row[lane], id)).collect();
                all.retain(|(cost, _)| cost.is_finite());
                all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                all.truncate(3);
                prop_assert_eq!(lists.lane(lane).collect::<Vec<_>>(), all);
            }
        }
    }
}
