//! What a packet costs inside the engine: real nodes in virtual time, no kernel. `make bench-engine` runs it.
//!
//! `cargo bench -p overlayd-node --bench engine [-- FILE]` prints tables and writes all figures as JSON to FILE. Each figure is the median of many
//! rounds, with the quickest beside it: on a busy machine that is the one that was disturbed least. `scene` drives the nodes, `parts` measures what they
//! are made of alone, `counting` counts allocations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    unsafe_code,
    reason = "a measurement needs the clock and an allocator that counts, and ends where it cannot be made"
)]

mod counting;
mod machine;
#[path = "../../tests/mesh/mod.rs"]
mod mesh;
mod parts;
mod scene;

use std::collections::BTreeMap;

use overlayd_node::snapshot::Suite;
use serde_json::{Value, json};

use machine::machine;
use scene::{Load, Scene, Stage};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Bytes of an inner packet: a small one, and one of the interface's MTU.
const SIZES: [usize; 2] = [64, 1380];
const ROUNDS: usize = 101;

const MS: u64 = 1_000_000;

/// Loads by inner bytes: packets in one call into the ingress, and how long feedback is under way over each hop. With a delay, a sender keeps what it
/// sent for longer, beyond the reach of the cache.
const LOADS: [(usize, Load, u64); 8] = [
    (SIZES[0], Load::Packets(1), 0),
    (SIZES[0], Load::Packets(32), 0),
    (SIZES[0], Load::Packets(32), 20 * MS),
    (SIZES[1], Load::Packets(1), 0),
    (SIZES[1], Load::Packets(32), 0),
    (SIZES[1], Load::Packets(32), 20 * MS),
    (SIZES[1], Load::SuperPacket, 0),
    (SIZES[1], Load::SuperPacket, 20 * MS),
];

/// Nodes on the way of the packets, by name of the path.
const PATHS: [(&str, &[u16]); 2] = [("direct", &[1, 2]), ("one relay", &[1, 3, 2])];
const SUITES: [(&str, Suite); 2] = [
    ("aes-256-gcm", Suite::Aes256Gcm),
    ("chacha20-poly1305", Suite::Chacha20Poly1305),
];

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let [only, rounds] = &arguments[..] {
        return profile(only, rounds.parse().expect("a number of rounds"));
    }
    let machine = machine();
    println!("{machine}");
    let parts = parts::measure(ROUNDS);
    let stages = measure_stages();
    let alone = |stage: &Measured| parts::of(&parts, stage);
    println!(
        "\n| path | stage | cipher | bytes | run | back ms | ns/packet | quickest | Mpackets/s | of which seals | copy kept | receipt | all else | allocations |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for stage in &stages {
        let [seals, kept, receipt] = alone(stage);
        println!(
            "| {} | {} | {} | {} | {} | {} | {:.0} | {:.0} | {:.2} | {seals:.0} | {kept:.0} | {receipt:.0} | {:.0} | {} |",
            stage.path,
            stage.stage.name(),
            stage.suite,
            stage.bytes,
            stage.load_name(),
            stage.back_ns / MS,
            stage.ns,
            stage.ns_quickest,
            1e3 / stage.ns,
            stage.ns_quickest - seals - kept - receipt,
            stage.allocations[0],
        );
    }
    let stages: Vec<Value> = stages
        .iter()
        .map(|stage| stage.to_json(alone(stage)))
        .collect();
    let report = json!({
        "machine": machine,
        "rounds": ROUNDS,
        "packets_a_round": scene::PACKETS_A_ROUND,
        "method": "ns are medians over rounds, on one core, with the quickest round beside; parts are measured alone, and 'all else' is what the quickest rounds of the parts leave of that of the whole",
        "parts": parts,
        "stages": stages,
    });
    if let Some(file) = arguments.first() {
        let text = serde_json::to_string_pretty(&report).expect("a report is JSON");
        std::fs::write(file, text).expect("the report can be written");
    }
}

/// One stage of the way of packets of one kind.
pub(crate) struct Measured {
    path: &'static str,
    stage: Stage,
    suite: &'static str,
    bytes: usize,
    load: Load,
    back_ns: u64,
    ns: f64,
    ns_quickest: f64,
    /// In all packets measured: in calls with packets, and in those of timers.
    allocations: [u64; 2],
    packets: u64,
}

impl Measured {
    fn load_name(&self) -> String {
        match self.load {
            Load::Packets(count) => count.to_string(),
            Load::SuperPacket => "super-packet".to_owned(),
        }
    }

    fn to_json(&self, [seals, kept, receipt]: [f64; 3]) -> Value {
        json!({
            "path": self.path,
            "stage": self.stage.name(),
            "suite": self.suite,
            "bytes": self.bytes,
            "run": self.load.packets(),
            "super_packet": self.load == Load::SuperPacket,
            "feedback_delay_ns": self.back_ns,
            "ns_per_packet": self.ns,
            "ns_per_packet_quickest": self.ns_quickest,
            "packets_per_second": 1e9 / self.ns,
            "packets_per_second_quickest": 1e9 / self.ns_quickest,
            "allocations": self.allocations[0],
            "allocations_of_timers": self.allocations[1],
            "packets": self.packets,
            "where_ns_quickest": {
                "seals": seals,
                "copy kept for repair": kept,
                "first copy or not": receipt,
                "all else": self.ns_quickest - seals - kept - receipt,
            },
        })
    }
}

/// All kinds take turns, round by round, so that a busy machine disturbs them alike.
fn measure_stages() -> Vec<Measured> {
    let mut scenes = Vec::new();
    for (suite_name, suite) in SUITES {
        for (path, way) in PATHS {
            for (bytes, load, back_ns) in LOADS {
                let mut scene = Scene::new(way, suite, bytes, back_ns);
                scene.warm_up();
                scenes.push((path, suite_name, (bytes, load, back_ns), scene));
            }
        }
    }
    let mut samples: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (number, (.., (_, load, _), scene)) in scenes.iter_mut().enumerate() {
            for (stage, ns) in scene.round(*load).into_iter().enumerate() {
                samples.entry((number, stage)).or_default().push(ns);
            }
        }
    }
    let packets = (ROUNDS * scene::PACKETS_A_ROUND) as u64;
    samples
        .into_iter()
        .map(|((number, stage), mut samples)| {
            let (path, suite, (bytes, load, back_ns), scene) = &scenes[number];
            samples.sort_by(f64::total_cmp);
            Measured {
                path,
                stage: scene.stage(stage),
                suite,
                bytes: *bytes,
                load: *load,
                back_ns: *back_ns,
                ns: samples[samples.len() / 2],
                ns_quickest: samples[0],
                allocations: scene.allocations(stage),
                packets,
            }
        })
        .collect()
}

/// Only one kind, again and again: to be watched by a profiler. `kind`: path, bytes, run (0: a super-packet) and delay of feedback in ms, as in "direct,64,32,20".
fn profile(kind: &str, rounds: usize) {
    let words: Vec<&str> = kind.split(',').collect();
    let [path, bytes, run, back] = words[..] else {
        panic!("path,bytes,run,ms");
    };
    let (_, way) = PATHS
        .iter()
        .find(|(name, _)| *name == path)
        .expect("a path");
    let bytes = bytes.parse().expect("bytes");
    let load = match run.parse().expect("packets in a call") {
        0 => Load::SuperPacket,
        count => Load::Packets(count),
    };
    let back_ns = back.parse::<u64>().expect("ms") * MS;
    let mut scene = Scene::new(way, Suite::Aes256Gcm, bytes, back_ns);
    scene.warm_up();
    let mut samples = vec![Vec::new(); way.len()];
    for _ in 0..rounds {
        for (samples, ns) in samples.iter_mut().zip(scene.round(load)) {
            samples.push(ns);
        }
    }
    for (stage, samples) in samples.iter_mut().enumerate() {
        samples.sort_by(f64::total_cmp);
        let (median, quickest) = (samples[samples.len() / 2], samples[0]);
        let name = scene.stage(stage).name();
        println!("{name}: {median:.0} ns, quickest {quickest:.0}");
    }
}
