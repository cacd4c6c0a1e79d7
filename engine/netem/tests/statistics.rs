//! What a link does in the long run, against what its settings promise. Seeds are fixed: no test is a matter of luck.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use overlayd_netem::{DropReason, Link, Loss, Settings};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

fn link(settings: Settings, seed: u64) -> Link {
    Link::new(settings, seed).unwrap()
}

/// Which of `count` packets, `gap_ns` apart, are lost.
fn losses(link: &mut Link, count: u64, gap_ns: u64) -> Vec<bool> {
    (0..count)
        .map(|i| link.offer(i * gap_ns, 1_000).dropped().is_some())
        .collect()
}

fn ratio(losses: &[bool]) -> f64 {
    losses.iter().filter(|lost| **lost).count() as f64 / losses.len() as f64
}

fn mean_burst(losses: &[bool]) -> f64 {
    let bursts = losses.chunk_by(|a, b| a == b).filter(|run| run[0]);
    let lengths: Vec<usize> = bursts.map(<[bool]>::len).collect();
    lengths.iter().sum::<usize>() as f64 / lengths.len() as f64
}

#[test]
fn independent_loss_has_its_ratio_and_no_memory() {
    for (seed, wanted) in [(1, 0.001), (2, 0.03), (3, 0.3)] {
        let settings = Settings {
            loss: Loss::Independent { ratio: wanted },
            ..Settings::default()
        };
        let lost = losses(&mut link(settings, seed), 1_000_000, MS);
        // Three standard deviations of a million draws.
        let tolerance = 3.0 * ((1.0 - wanted) / wanted / 1e6).sqrt();
        assert!(
            (ratio(&lost) / wanted - 1.0).abs() < tolerance,
            "{}",
            ratio(&lost)
        );
        assert!(
            (mean_burst(&lost) * (1.0 - wanted) - 1.0).abs() < 0.02,
            "{}",
            mean_burst(&lost)
        );
    }
}

#[test]
fn bursts_have_their_share_and_their_duration_at_any_packet_rate() {
    let loss = Loss::GilbertElliott {
        mean_good_ns: 960 * MS,
        mean_bad_ns: 40 * MS,
        loss_good: 0.0,
        loss_bad: 1.0,
    };
    for gap_ns in [MS / 10, MS, 4 * MS] {
        let lost = losses(
            &mut link(
                Settings {
                    loss,
                    ..Settings::default()
                },
                5,
            ),
            3_000 * SECOND / gap_ns,
            gap_ns,
        );
        assert!(
            (ratio(&lost) / 0.04 - 1.0).abs() < 0.06,
            "{} at {gap_ns}",
            ratio(&lost)
        );
        // Sampled every gap, an exponential stay that is seen at all shows 1 / (1 - exp(-gap / mean)) packets.
        let expected = 1.0 / (1.0 - (-(gap_ns as f64) / (40 * MS) as f64).exp());
        assert!(
            (mean_burst(&lost) / expected - 1.0).abs() < 0.06,
            "{} for {expected}",
            mean_burst(&lost)
        );
    }
}

#[test]
fn bad_stretches_fall_at_the_same_times_whatever_the_traffic() {
    let loss = Loss::GilbertElliott {
        mean_good_ns: 50 * MS,
        mean_bad_ns: 10 * MS,
        loss_good: 0.0,
        loss_bad: 1.0,
    };
    let settings = Settings {
        loss,
        ..Settings::default()
    };
    let dense = losses(&mut link(settings, 11), 100_000, MS / 10);
    let sparse = losses(&mut link(settings, 11), 10_000, MS);
    assert!(
        sparse
            .iter()
            .enumerate()
            .all(|(i, lost)| dense[i * 10] == *lost)
    );
}

#[test]
fn a_day_of_silence_costs_no_time_and_keeps_the_share() {
    let loss = Loss::GilbertElliott {
        mean_good_ns: 3 * MS,
        mean_bad_ns: MS,
        loss_good: 0.0,
        loss_bad: 1.0,
    };
    let lost = losses(
        &mut link(
            Settings {
                loss,
                ..Settings::default()
            },
            2,
        ),
        2_000,
        86_400 * SECOND,
    );
    assert!((ratio(&lost) - 0.25).abs() < 0.03, "{}", ratio(&lost));
}

#[test]
fn delivered_rate_is_the_configured_one_within_one_percent() {
    for rate_bps in [1_000_000, 100_000_000, 2_000_000_000] {
        let settings = Settings {
            rate_bps: Some(rate_bps),
            queue_bytes: 100_000,
            ..Settings::default()
        };
        let mut link = link(settings, 1);
        let gap_ns = 1_200 * 8 * SECOND / rate_bps / 2;
        let mut last_ns = 0;
        for i in 0..20_000 {
            for copy in link.offer(i * gap_ns, 1_200).departures() {
                last_ns = copy.at_ns;
            }
        }
        let rate = link.counters().delivered_bytes as f64 * 8.0 / (last_ns as f64 / SECOND as f64);
        assert!(
            (rate / rate_bps as f64 - 1.0).abs() < 0.01,
            "{rate} for {rate_bps}"
        );
        assert!(link.counters().dropped_queue > 9_000);
    }
}

#[test]
fn queueing_delay_is_bounded_by_the_queue() {
    let settings = Settings {
        rate_bps: Some(8_000_000),
        queue_bytes: 50_000,
        delay_ns: 5 * MS,
        ..Settings::default()
    };
    let mut link = link(settings, 1);
    let now_ns = 7;
    let latest = (0..1_000)
        .flat_map(|_| link.offer(now_ns, 1_000).departures().to_vec())
        .map(|d| d.at_ns)
        .max();
    assert_eq!(latest, Some(now_ns + 50 * MS + 5 * MS));
}

#[test]
fn jitter_keeps_the_order_unless_it_may_not() {
    let settings = Settings {
        delay_ns: 20 * MS,
        jitter_ns: 10 * MS,
        ..Settings::default()
    };
    let overtakes = |reorder: bool| {
        let mut link = link(
            Settings {
                reorder,
                ..settings
            },
            8,
        );
        let times: Vec<u64> = (0..50_000)
            .map(|i| link.offer(i * MS / 5, 100).departures()[0].at_ns)
            .collect();
        for (i, at_ns) in times.iter().enumerate() {
            let delay_ns = at_ns - i as u64 * MS / 5;
            assert!((10 * MS..=30 * MS).contains(&delay_ns), "{delay_ns}");
        }
        let mean = times
            .iter()
            .enumerate()
            .map(|(i, t)| (t - i as u64 * MS / 5) as f64)
            .sum::<f64>()
            / 50_000.0;
        assert!((mean / (20 * MS) as f64 - 1.0).abs() < 0.03, "{mean}");
        times.windows(2).filter(|pair| pair[1] < pair[0]).count()
    };
    assert_eq!(overtakes(false), 0);
    assert!(overtakes(true) > 10_000);
}

#[test]
fn a_shorter_delay_does_not_overtake_what_is_on_its_way() {
    let mut link = link(
        Settings {
            delay_ns: 100 * MS,
            ..Settings::default()
        },
        1,
    );
    let before = link.offer(0, 100).departures()[0].at_ns;
    link.set(
        Settings {
            delay_ns: 10 * MS,
            ..Settings::default()
        },
        MS,
    )
    .unwrap();
    assert_eq!(link.offer(2 * MS, 100).departures()[0].at_ns, before);
    assert_eq!(link.offer(95 * MS, 100).departures()[0].at_ns, 105 * MS);
}

#[test]
fn refused_settings_change_nothing() {
    let good = Settings {
        delay_ns: 10 * MS,
        ..Settings::default()
    };
    let mut link = link(good, 1);
    assert!(
        link.set(
            Settings {
                jitter_ns: 11 * MS,
                ..good
            },
            0
        )
        .is_err()
    );
    assert_eq!(*link.settings(), good);
}

#[test]
fn each_drop_has_its_reason_and_is_counted_once() {
    let base = Settings {
        rate_bps: Some(1_000_000),
        queue_bytes: 1_000,
        ..Settings::default()
    };
    let cases = [
        (
            Settings {
                blackhole: true,
                ..base
            },
            1,
            DropReason::Blackhole,
        ),
        (
            Settings {
                mtu: Some(999),
                ..base
            },
            1,
            DropReason::Mtu,
        ),
        (base, 2, DropReason::Queue),
        (
            Settings {
                loss: Loss::Independent { ratio: 1.0 },
                ..base
            },
            1,
            DropReason::Loss,
        ),
    ];
    for (settings, offers, reason) in cases {
        let mut link = link(settings, 1);
        let last = (0..offers).map(|_| link.offer(0, 1_000)).last().unwrap();
        assert_eq!(last.dropped(), Some(reason));
        let c = link.counters();
        assert_eq!(
            c.dropped_blackhole + c.dropped_mtu + c.dropped_queue + c.dropped_loss,
            1
        );
        assert_eq!(c.offered, c.delivered + 1);
    }
}

#[test]
fn neighbour_discovery_is_delayed_but_survives_everything() {
    let settings = Settings {
        delay_ns: 3 * MS,
        blackhole: true,
        mtu: Some(10),
        loss: Loss::Independent { ratio: 1.0 },
        corrupt_ratio: 1.0,
        duplicate_ratio: 1.0,
        ..Settings::default()
    };
    let verdict = link(settings, 1).offer_sheltered(MS, 60);
    assert_eq!(verdict.departures().len(), 1);
    assert_eq!(verdict.departures()[0].at_ns, 4 * MS);
    assert_eq!(verdict.departures()[0].flipped_bit, None);
}

#[test]
fn duplicates_and_flipped_bits_come_at_their_ratio() {
    let settings = Settings {
        duplicate_ratio: 0.1,
        corrupt_ratio: 0.02,
        ..Settings::default()
    };
    let mut link = link(settings, 4);
    let (mut copies, mut flipped) = (0, [0u32; 8]);
    for i in 0..200_000 {
        let verdict = link.offer(i, 100);
        copies += verdict.departures().len();
        if let Some(bit) = verdict.departures()[0].flipped_bit {
            assert!(bit < 800);
            flipped[bit as usize / 100] += 1;
        }
    }
    assert!((copies as f64 / 220_000.0 - 1.0).abs() < 0.01, "{copies}");
    assert_eq!(
        u64::from(flipped.iter().sum::<u32>()),
        link.counters().corrupted
    );
    assert!(
        flipped.iter().all(|n| (400..600).contains(n)),
        "{flipped:?}"
    );
}

#[test]
fn one_seed_one_course_of_events() {
    let settings = Settings {
        delay_ns: 20 * MS,
        jitter_ns: 5 * MS,
        reorder: true,
        loss: Loss::Independent { ratio: 0.1 },
        duplicate_ratio: 0.1,
        corrupt_ratio: 0.1,
        ..Settings::default()
    };
    let course = |seed| {
        let mut link = link(settings, seed);
        (0..10_000)
            .map(|i| link.offer(i * MS, 500))
            .collect::<Vec<_>>()
    };
    assert_eq!(course(42), course(42));
    assert_ne!(course(42), course(43));
}
