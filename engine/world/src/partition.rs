//! Which hosts are worked on side by side: two halves that are far from each other, so that they need to hear of each other rarely. Pure.

use overlayd_node::Nanos;

/// The half of each host, 0 or 1. `wires`: the two hosts of each and its least delay, in an order that is the same on every run.
///
/// Hosts are joined along the shortest wires first (Kruskal), as long as no group outgrows a half; then groups go, largest first, where there is more room.
pub(crate) fn halves(hosts: usize, wires: &[(usize, usize, Nanos)]) -> Vec<usize> {
    let most = hosts.div_ceil(2);
    let mut group: Vec<usize> = (0..hosts).collect();
    let mut size = vec![1; hosts];
    let mut by_delay: Vec<_> = wires.iter().collect();
    by_delay.sort_by_key(|(_, _, delay)| *delay);
    for (one, other, _) in by_delay {
        let (one, other) = (group[*one], group[*other]);
        if one != other && size[one] + size[other] <= most {
            size[one] += std::mem::take(&mut size[other]);
            group
                .iter_mut()
                .filter(|of| **of == other)
                .for_each(|of| *of = one);
        }
    }
    let mut groups: Vec<usize> = (0..hosts).filter(|group| size[*group] > 0).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(size[*group]));
    let (mut half, mut taken) = (vec![0; hosts], [0, 0]);
    for group in groups {
        half[group] = usize::from(taken[1] < taken[0]);
        taken[half[group]] += size[group];
    }
    group.into_iter().map(|group| half[group]).collect()
}

/// So long after a host of one half has sent, nothing of it can have come to the other half.
pub(crate) fn lookahead(half: &[usize], wires: &[(usize, usize, Nanos)]) -> Nanos {
    let across = wires
        .iter()
        .filter(|(one, other, _)| half[*one] != half[*other]);
    across
        .map(|(_, _, delay)| *delay)
        .min()
        .unwrap_or(Nanos::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_hosts_stay_together_and_halves_are_even() {
        // 0 1 2 and 3 4 5 are near each other, 50 apart.
        let mut wires = Vec::new();
        for one in 0..6 {
            for other in one + 1..6 {
                let near = (one < 3) == (other < 3);
                wires.push((one, other, if near { 2 } else { 50 }));
            }
        }
        let half = halves(6, &wires);
        assert_eq!(half, [0, 0, 0, 1, 1, 1]);
        assert_eq!(lookahead(&half, &wires), 50);
    }

    #[test]
    fn hosts_without_wires_are_spread() {
        let half = halves(4, &[]);
        assert_eq!(half.iter().sum::<usize>(), 2);
        assert_eq!(lookahead(&half, &[]), Nanos::MAX);
    }
}
