//! The two loops that cost time, over rows of costs: offer a relay to many lists at once, and find the few lanes where
//! a sum is below a limit.
//!
//! Here in plain Rust, in `avx2` for CPUs that have it. Both give the same bits. Pure.

use crate::lists::Lists;

#[cfg(target_arch = "x86_64")]
mod avx2;

/// Rows are padded to a multiple of this, with infinity.
pub(crate) const LANES: usize = 16;

/// A relay that is offered to the destinations of a row: `base` is what it costs to get to it, `row` what from there
/// on.
#[derive(Clone, Copy)]
pub(crate) struct Offer<'a> {
    pub(crate) id: u16,
    pub(crate) base: f32,
    pub(crate) row: &'a [f32],
}

/// The same of the RTT, with each lane's `limit`, above which a path costs `penalty` more.
#[derive(Clone, Copy)]
pub(crate) struct CappedRow<'a> {
    pub(crate) base: f32,
    pub(crate) row: &'a [f32],
    pub(crate) limit: &'a [f32],
    pub(crate) penalty: f32,
}

/// Puts the relay into the lists of the lanes from `start` on where it belongs among the best. All rows are of one
/// length, a multiple of [`LANES`].
#[inline]
pub(crate) fn offer<const K: usize>(
    lists: &mut Lists<K>,
    start: usize,
    offer: Offer<'_>,
    cap: Option<CappedRow<'_>>,
) {
    #[cfg(target_arch = "x86_64")]
    if avx2::offer_if_detected(lists, start, offer, cap) {
        return;
    }
    offer_row(lists, start, offer, cap);
}

/// Appends to `found` the lanes where `base + row < limit`.
#[inline]
pub(crate) fn below(base: f32, row: &[f32], limit: &[f32], found: &mut Vec<u32>) {
    #[cfg(target_arch = "x86_64")]
    if avx2::below_if_detected(base, row, limit, found) {
        return;
    }
    below_row(base, row, limit, found);
}

fn offer_row<const K: usize>(
    lists: &mut Lists<K>,
    start: usize,
    offer: Offer<'_>,
    cap: Option<CappedRow<'_>>,
) {
    let (row, _) = offer.row.as_chunks::<LANES>();
    match cap {
        None => {
            for (number, costs) in row.iter().enumerate() {
                let at = start + number * LANES;
                let worst = lists.worst(at);
                let mut any = false;
                for lane in 0..LANES {
                    any |= offer.base + costs[lane] <= worst[lane];
                }
                if any {
                    for (lane, cost) in costs.iter().enumerate() {
                        lists.insert(at + lane, offer.base + cost, offer.id);
                    }
                }
            }
        }
        Some(cap) => {
            let (rtts, _) = cap.row.as_chunks::<LANES>();
            let (caps, _) = cap.limit.as_chunks::<LANES>();
            for (number, ((costs, rtt), limit)) in row.iter().zip(rtts).zip(caps).enumerate() {
                let at = start + number * LANES;
                let worst = lists.worst(at);
                let mut total = [0.0; LANES];
                for lane in 0..LANES {
                    let over = cap.base + rtt[lane] > limit[lane];
                    total[lane] = offer.base + costs[lane] + if over { cap.penalty } else { 0.0 };
                }
                let mut any = false;
                for lane in 0..LANES {
                    any |= total[lane] <= worst[lane];
                }
                if any {
                    for (lane, cost) in total.iter().enumerate() {
                        lists.insert(at + lane, *cost, offer.id);
                    }
                }
            }
        }
    }
}

fn below_row(base: f32, row: &[f32], limit: &[f32], found: &mut Vec<u32>) {
    let (row, _) = row.as_chunks::<LANES>();
    let (limit, _) = limit.as_chunks::<LANES>();
    for (number, (costs, limits)) in row.iter().zip(limit).enumerate() {
        let mut any = false;
        for lane in 0..LANES {
            any |= base + costs[lane] < limits[lane];
        }
        if any {
            for lane in 0..LANES {
                if base + costs[lane] < limits[lane] {
                    found.push((number * LANES + lane) as u32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Small whole numbers, so that there are ties; now and then infinite, or none.
    fn cost() -> impl Strategy<Value = f32> {
        prop_oneof![8 => (0_u8..9).prop_map(f32::from), 1 => Just(f32::INFINITY), 1 => Just(f32::NAN)]
    }

    fn rows() -> impl Strategy<Value = Vec<[f32; 3 * LANES]>> {
        prop::collection::vec(
            prop::collection::vec(cost(), 3 * LANES)
                .prop_map(|row| std::array::from_fn(|lane| row[lane])),
            2..20,
        )
    }

    fn content<const K: usize>(lists: &Lists<K>) -> Vec<(f32, u16)> {
        (0..3 * LANES).flat_map(|lane| lists.lane(lane)).collect()
    }

    proptest! {
        #[test]
        fn what_this_cpu_does_is_what_plain_rust_does(rows in rows(), limit in cost(), capped: bool) {
            let (mut here, mut plain) = (Lists::<3>::new(3 * LANES), Lists::<3>::new(3 * LANES));
            let limits = [limit; 3 * LANES];
            for (id, row) in (0..).zip(&rows) {
                let one = Offer { id, base: f32::from(id % 4), row };
                let cap = capped.then_some(CappedRow { base: 1.0, row: &rows[0], limit: &limits, penalty: 5.0 });
                offer(&mut here, 0, one, cap);
                offer_row(&mut plain, 0, one, cap);
            }
            prop_assert_eq!(content(&here), content(&plain));
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            below(1.0, &rows[0], &rows[1], &mut found);
            below_row(1.0, &rows[0], &rows[1], &mut expected);
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn lists_hold_the_cheapest_of_what_was_offered(rows in rows()) {
            let mut lists = Lists::<3>::new(3 * LANES);
            for (id, row) in (0..).zip(&rows) {
                offer(&mut lists, 0, Offer { id, base: 0.5, row }, None);
            }
            for lane in 0..3 * LANES {
                let mut all: Vec<(f32, u16)> = (0..).zip(&rows).map(|(id, row)| (0.5 + row[lane], id)).collect();
                all.retain(|(cost, _)| cost.is_finite());
                all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                all.truncate(3);
                prop_assert_eq!(lists.lane(lane).collect::<Vec<_>>(), all);
            }
        }
    }
}
