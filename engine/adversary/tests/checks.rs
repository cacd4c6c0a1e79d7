//! Each check of the harness can fail: nodes that are broken on purpose are found out.

use overlayd_adversary::{Plan, Report, Sabotage, run};

fn broken(sabotage: Option<Sabotage>) -> Report {
    run(&Plan {
        seed: 5,
        datagrams: 2_000,
        frames: 2_000,
        clock_ns: || 0,
        resident: || 0,
        progress: |_, _| {},
        sabotage,
    })
}

#[track_caller]
fn finds(sabotage: Sabotage, fault: &str) -> Report {
    let report = broken(Some(sabotage));
    let faults = report.faults();
    assert!(
        faults.iter().any(|found| found.contains(fault)),
        "{faults:?}"
    );
    report
}

#[test]
fn sound_nodes_are_not_found_fault_with() {
    assert_eq!(broken(None).faults(), Vec::<String>::new());
}

#[test]
fn a_panic_is_caught_and_told_and_the_campaign_goes_on() {
    let report = finds(Sabotage::Panic, " panics");
    assert!(report.panics > 1 && report.datagrams >= 2_000);
    let stories = report.stories.concat();
    assert!(stories.contains("panicked: on purpose"), "{stories}");
}

#[test]
fn a_packet_that_was_not_sent_is_seen() {
    let report = finds(Sabotage::Invent, "packets delivered that were not sent");
    assert!(report.twice == 0 && report.altered == 0, "as what it is");
}

#[test]
fn a_packet_that_was_altered_is_seen() {
    finds(Sabotage::Alter, "packets altered");
}

#[test]
fn a_packet_that_is_delivered_twice_is_seen() {
    let report = finds(Sabotage::Repeat, "packets delivered twice");
    assert!(report.not_sent == 0 && report.altered == 0, "as what it is");
}

#[test]
fn memory_that_grows_or_that_a_dropped_node_keeps_is_seen() {
    let report = finds(Sabotage::Leak, "the memory of node 2 grew by");
    assert!(report.memory.left_behind_bytes > 0);
}

#[test]
fn memory_that_is_taken_for_a_moment_only_is_seen() {
    finds(Sabotage::Gorge, "calls beyond the bound of memory");
}

#[test]
fn a_long_answer_to_a_stranger_is_seen() {
    finds(Sabotage::Amplify, "amplifying answers");
}
