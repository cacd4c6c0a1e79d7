//! What the two ends of repair do at the ends of their numbers, and when the other end makes absurd demands.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use overlayd_node::repair::{Extra, Outlook, Policy, Protector, Receipt, Recoverer, Waits};
use overlayd_node::snapshot::RepairRow;
use overlayd_wire::{Budget, Feedback, Protected, Repair, Tail};

const MS: u64 = 1_000_000;
const LONGEST: usize = 1472;

fn policy() -> Policy {
    Policy {
        deadline: None,
        retransmit: true,
        rows: vec![RepairRow::flat(1.0, 1.0)],
        cap_ratio: 1.0,
        in_order: false,
    }
}

/// A frame of a direct body whose bytes follow from its number.
fn frame(seq: u32, length: usize) -> Vec<u8> {
    let header = Protected {
        routed: false,
        class: 0,
        seq: seq & 0xff_ffff,
        budget: Budget::NONE,
    };
    let body = (0..length).map(|place| (seq as usize * 7 + place) as u8);
    header.to_bytes().into_iter().chain(body).collect()
}

fn protector(frames: u32) -> Protector {
    let mut protector = Protector::new(&policy(), LONGEST);
    for seq in 0..frames {
        protector.sent(0, 0, Budget::NONE, &frame(seq, 100));
    }
    protector
}

/// All that the sender sends again on "everything below `next` is missing".
fn asked_for_all(protector: &mut Protector, now: u64, next: u32) -> usize {
    let feedback = Feedback {
        class: 0,
        next,
        base: next.saturating_sub(8192),
        answers_tail: false,
        bitmap: &[0xff; Feedback::BITMAP_MAX],
    };
    let mut count = 0;
    protector.feedback(now, &feedback, &Outlook::default(), |_| {
        count += 1;
        0
    });
    count
}

#[test]
fn one_feedback_frame_brings_back_a_bounded_number_of_frames() {
    let mut protector = protector(9000);
    assert_eq!(asked_for_all(&mut protector, 10 * MS, 9000), 512);
    assert_eq!(asked_for_all(&mut protector, 10 * MS, 9000), 512);
}

#[test]
fn a_frame_is_not_sent_for_ever_because_somebody_asks() {
    let mut protector = protector(100);
    let sent: usize = (1..1000)
        .map(|round| asked_for_all(&mut protector, round * 10 * MS, 100))
        .sum();
    assert_eq!(sent, 16 * 100);
}

#[test]
fn what_is_older_than_the_history_does_not_hide_what_is_not() {
    let mut protector = protector(10_000);
    let feedback = Feedback {
        class: 0,
        next: 9_900,
        base: 1_708,
        answers_tail: false,
        bitmap: &[0xff; Feedback::BITMAP_MAX],
    };
    let mut first = None;
    protector.feedback(10 * MS, &feedback, &Outlook::default(), |again| {
        first.get_or_insert(again.seq);
        0
    });
    assert_eq!(first, Some(1_808));
}

#[test]
fn a_frame_too_long_for_the_code_costs_the_others_nothing() {
    let mut protector = protector(10);
    protector.sent(0, 0, Budget::NONE, &frame(10, 5000));
    for seq in 11..20 {
        protector.sent(0, 0, Budget::NONE, &frame(seq, 100));
    }
    let mut again = Vec::new();
    let feedback = Feedback {
        class: 0,
        next: 20,
        base: 12,
        answers_tail: false,
        bitmap: &[0x80],
    };
    protector.feedback(10 * MS, &feedback, &Outlook::default(), |frame| {
        again.push((frame.seq, frame.symbol.to_vec()));
        0
    });
    let symbol = [&[0x10][..], &frame(12, 100)[Protected::LEN..]].concat();
    assert_eq!(again, [(12, symbol)]);
    let mut symbol = Vec::new();
    let lossy = Outlook {
        loss_ratio: 1.0,
        ..Outlook::default()
    };
    let (header, _) = protector.repair(0, &lossy, &mut symbol).unwrap();
    assert_eq!((header.first_seq, header.span), (12, 8));
}

#[test]
fn a_jump_of_the_numbers_is_cheap_and_loses_nobody_else() {
    let mut recoverer = Recoverer::new(&policy(), LONGEST);
    let mut seq = 0u32;
    for distance in [1, 63, 64, 65, 8_191, 8_193, 65_535, 65_536, 65_537, 1 << 22] {
        assert!(matches!(
            recoverer.receive(0, seq & 0xff_ffff),
            Receipt::First(..)
        ));
        assert_eq!(recoverer.receive(0, seq & 0xff_ffff), Receipt::Duplicate);
        seq += distance;
    }
    assert!(matches!(
        recoverer.receive(0, seq & 0xff_ffff),
        Receipt::First(..)
    ));
    // All between the last two have not been seen.
    for behind in [1, 64, 1_000, 65_535] {
        let before = (seq - behind) & 0xff_ffff;
        assert!(
            matches!(recoverer.receive(0, before), Receipt::First(..)),
            "{behind}"
        );
        assert_eq!(recoverer.receive(0, before), Receipt::Duplicate);
    }
}

#[test]
fn tails_are_answered_a_thousand_times_a_second_at_most() {
    let mut recoverer = Recoverer::new(&policy(), LONGEST);
    let mut bitmap = [0; Feedback::BITMAP_MAX];
    let mut answers = 0;
    for step in 0..10_000 {
        let now = 1_000 * MS + step * MS / 100;
        recoverer.tail(
            now,
            Tail {
                class: 0,
                next: 9_000,
            },
        );
        answers += usize::from(recoverer.feedback(now, 0, 10 * MS, &mut bitmap).is_some());
    }
    assert!((90..=101).contains(&answers), "{answers} in 100 ms");
}

/// Feedback frames within two seconds of a jump by 8,192 numbers. `fills`: a missing frame comes now and then.
fn asked(fills: bool) -> usize {
    let mut recoverer = Recoverer::new(&policy(), LONGEST);
    let mut bitmap = [0; Feedback::BITMAP_MAX];
    recoverer.receive(0, 0);
    recoverer.receive(0, 8_000);
    let mut count = 0;
    for step in 0..2_000u64 {
        let now = step * MS;
        count += usize::from(recoverer.feedback(now, 0, 20 * MS, &mut bitmap).is_some());
        if fills && step.is_multiple_of(20) {
            recoverer.receive(now, 1 + step as u32);
        }
    }
    count
}

#[test]
fn who_jumps_ahead_and_falls_silent_is_asked_ever_less() {
    assert!((9..=25).contains(&asked(false)), "{}", asked(false));
    // Twice in each round trip.
    assert!(asked(true) > 150, "{}", asked(true));
}

#[test]
fn the_code_works_on_where_its_numbers_end() {
    let mut recoverer = Recoverer::new(&policy(), LONGEST);
    // A hop of numbers as long as any, as often as it takes.
    let mut seq = 0u64;
    while seq < (1 << 32) - 100 {
        recoverer.receive(0, seq as u32 & 0xff_ffff);
        seq = (seq + (1 << 22)).min((1 << 32) - 100);
    }
    let mut encoder = overlayd_fec::Encoder::new(8, 8, LONGEST);
    let mut restored = Vec::new();
    for seq in (1u64 << 32) - 100..(1 << 32) + 100 {
        if seq == 1 << 32 {
            encoder.restart();
        }
        let whole = frame(seq as u32, 100);
        encoder
            .push(seq as u32, &[&whole[..1], &whole[Protected::LEN..]])
            .unwrap();
        if !seq.is_multiple_of(10) {
            recoverer.receive(0, seq as u32 & 0xff_ffff);
            recoverer.learn(seq, &whole);
        }
        let mut symbol = Vec::new();
        let header = encoder.repair(seq as u8 % 32, &mut symbol).unwrap();
        let repair = Repair {
            class: 0,
            budget: Budget::NONE,
            first: header.first_seq & 0xff_ffff,
            span: header.span,
            row: header.row,
            symbol: &symbol,
        };
        recoverer.repair(0, &repair);
        recoverer.recover(0, |seq, _, symbol| {
            assert_eq!(symbol[1..], frame(seq as u32, 100)[Protected::LEN..]);
            restored.push(seq);
        });
    }
    let lost: Vec<u64> = ((1u64 << 32) - 100..(1 << 32) + 100)
        .filter(|seq| seq.is_multiple_of(10))
        .collect();
    assert_eq!(restored, lost);
}

/// A relay that gets a frame late has one chance with it: what is added where no retry fits leaves beside its first transmission.
#[test]
fn a_frame_without_time_for_a_retry_is_backed_up_at_once() {
    let again = Policy {
        deadline: Some(100 * MS),
        rows: vec![RepairRow {
            again: vec![2.0, 0.0],
            ..RepairRow::flat(1.0, 0.0)
        }],
        ..policy()
    };
    let link = Outlook {
        rtt: 30 * MS,
        loss_ratio: 0.05,
        full_loss: None,
    };
    let mut protector = Protector::new(&again, LONGEST);
    let mut symbol = Vec::new();
    let mut copies = |budget_ms: u64, link: &Outlook| {
        let budget = Budget::from_ns(Some(budget_ms * MS));
        protector.sent(0, 0, budget, &frame(protector.next_seq(), 100));
        assert!(protector.repair(0, link, &mut symbol).is_none());
        let mut copies = 0;
        while let Some(extra) = protector.extra(100 * MS, &mut symbol) {
            copies += u32::from(matches!(extra, Extra::Copy(_)));
        }
        copies
    };
    assert_eq!(copies(100, &link), 0);
    assert_eq!(copies(34, &link), 0, "it can be asked for once more");
    assert_eq!(copies(30, &link), 2);
    assert_eq!(copies(0, &link), 0, "it is late");
    let full = Outlook {
        full_loss: Some(0.05),
        ..link
    };
    assert_eq!(copies(30, &full), 0, "nothing is added to a full link");
}

#[test]
fn bursts_and_waits_are_told_apart_by_what_brought_the_frames() {
    let mut recoverer = Recoverer::new(&policy(), LONGEST);
    let mut bitmap = [0; Feedback::BITMAP_MAX];
    for seq in [0, 1, 4, 6] {
        recoverer.receive(0, seq);
    }
    recoverer.receive(MS, 5); // only late
    assert!(
        recoverer
            .feedback(3 * MS, 0, 40 * MS, &mut bitmap)
            .is_some()
    );
    recoverer.receive(43 * MS, 2);
    let tally = recoverer.tally;
    assert_eq!((tally.bursts, tally.missed), (2, 3));
    assert_eq!((tally.received, tally.recovered_by_retransmission), (5, 1));
    let mut waits = Waits::default();
    waits[7] = 1; // up to 50 ms
    assert_eq!(tally.waits, waits);
}
