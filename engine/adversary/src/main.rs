//! `overlayd-adversary [--datagrams N] [--frames N] [--seed N]`: a campaign, its report as JSON on standard output; exit code 1 if it found a fault.

use std::process::ExitCode;
use std::time::Instant;

use overlayd_adversary::{Plan, run};

const USAGE: &str = "overlayd-adversary [--datagrams N] [--frames N] [--seed N]";

fn main() -> ExitCode {
    let mut plan = Plan {
        seed: 1,
        datagrams: 10_000_000,
        frames: 10_000_000,
        clock_ns,
        resident,
        progress: |datagrams, frames| eprintln!("{datagrams} datagrams, {frames} frames"),
        sabotage: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = words.next().and_then(|number| number.parse().ok());
        match (word.as_str(), number) {
            ("--datagrams", Some(number)) => plan.datagrams = number,
            ("--frames", Some(number)) => plan.frames = number,
            ("--seed", Some(number)) => plan.seed = number,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    // A panic is caught and counted; where it was is worth a line, once.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let report = run(&plan);
    match serde_json::to_string_pretty(&report) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("the report could not be written: {error}"),
    }
    eprintln!(
        "{} datagrams and {} frames in {:.0} s",
        report.datagrams, report.frames, report.seconds
    );
    let faults = report.faults();
    for fault in &faults {
        eprintln!("fault: {fault}");
    }
    if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the program has a clock; the campaign is handed it"
)]
fn clock_ns() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Resident memory of this process; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}
