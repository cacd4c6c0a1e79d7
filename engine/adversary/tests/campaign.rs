//! A short campaign, in which the same must hold as in a long one.

use overlayd_adversary::{Plan, run};

/// Of each kind.
const ATTACKS: u64 = 20_000;
/// So much of what there is to be reached may be left to longer runs.
const MISSING: usize = 12;

fn plan(seed: u64, count: u64) -> Plan {
    Plan {
        seed,
        datagrams: count,
        frames: count,
        clock_ns: || 0,
        resident: || 0,
        progress: |_, _| {},
        sabotage: None,
    }
}

#[test]
fn a_mesh_under_attack_delivers_what_was_sent_and_nothing_else() {
    let report = run(&plan(1, ATTACKS));
    assert_eq!(
        report.faults(),
        Vec::<String>::new(),
        "{:#?}",
        report.stories
    );
    let (datagrams, frames) = (report.datagrams, report.frames);
    assert!(
        datagrams >= ATTACKS && frames >= ATTACKS,
        "{datagrams} {frames}"
    );
    assert!(
        report.packets_of_the_hostile_peer > 1_000,
        "what it may say arrives"
    );
    let missing = report.missing();
    assert!(missing.len() <= MISSING, "{missing:#?}");
}

#[test]
fn a_campaign_is_a_function_of_its_seed() {
    let told = |seed| serde_json::to_string(&run(&plan(seed, 2_000))).unwrap_or_default();
    assert_eq!(told(2), told(2));
    assert_ne!(told(2), told(3));
}
