//! Attacks on a small mesh of real nodes in virtual time, counted: what the wire can do, and what a peer that holds the keys can do.
//!
//! Two adversaries. One on the wire (`wire`, `tap`, `stranger`, `knock`) has no keys: it changes, repeats, holds and invents datagrams. The other (`hostile`, `forge`,
//! `body`) is an enrolled peer, neighbour and relay, and changes or invents frames before they are sealed. The mesh (`mesh`, `world`) goes on with
//! its own life meanwhile (`turmoil`). An oracle (`oracle`, `packets`) that shares nothing with the engine judges every packet that comes out.
//!
//! A run is a function of its seed. Clock and resident memory are looked at from outside only, for the report: this crate does no I/O. It has an allocator of its
//! own (`heap`), to tell what the nodes hold from what the harness around them does. The program is `main.rs`; a short run is a test, and so is that each
//! check sees what it is there for (`sabotage`).

mod body;
mod coverage;
mod dice;
mod door;
mod forge;
mod heap;
mod host;
mod hostile;
mod knock;
mod mesh;
mod oracle;
mod packets;
mod peer;
mod reach;
mod report;
mod sabotage;
mod stranger;
mod stream;
mod tap;
mod turmoil;
mod wire;
mod world;

pub use coverage::By;
pub use reach::{HANDSHAKES, PARSERS, UNREACHED, Unreached};
pub use report::Report;
pub use sabotage::Sabotage;

use report::Stage;
use world::World;

/// Nanoseconds.
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// How long a run is, and what it may ask its surroundings.
#[derive(Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// From the wire: changed or invented.
    pub datagrams: u64,
    /// Of the hostile peer: changed or invented before sealing.
    pub frames: u64,
    /// A monotonic clock, ns: for the report.
    pub clock_ns: fn() -> u64,
    /// Memory that the process has, bytes; 0: not known.
    pub resident: fn() -> u64,
    /// Told now and then: datagrams and frames so far.
    pub progress: fn(u64, u64),
    /// Breaks the nodes: for tests of what the harness sees.
    pub sabotage: Option<Sabotage>,
}

/// Attacks per millisecond of virtual time: from the wire, of which a quarter replays and does not count, and of the hostile peer.
const FROM_WIRE: u64 = 23;
const AS_PEER: u64 = 16;
/// How often somebody sends something in the peace at the end, at least and at most.
const PEACE: (u64, u64) = (200, 2_000);
/// Milliseconds between two knocks of a stranger, between two episodes, and between two looks at the memory.
const KNOCK_EVERY: u64 = 60;
const EPISODE_EVERY: u64 = 250;
const LOOK_EVERY: u64 = 1_000;
/// Looks between two words of progress.
const PROGRESS_EVERY: u64 = 50;

/// Runs a whole campaign: the mesh forms, is under attack, and is left in peace at the end, when it has to work again.
pub fn run(plan: &Plan) -> Report {
    let started = (plan.clock_ns)();
    let mut world = World::new(plan);
    let stage = |world: &World| Stage::of(world, (plan.resident)());
    world.advance(2 * SECOND);
    let start = stage(&world);
    let (mut tenth, mut peak) = (None, start);
    let mut step = 0;
    while world.count.datagrams < plan.datagrams || world.count.frames < plan.frames {
        world.advance(MS);
        if world.rng.chance(0.7) {
            world.traffic();
        }
        for turn in 0..FROM_WIRE.max(AS_PEER) {
            if turn < FROM_WIRE && world.count.datagrams < plan.datagrams {
                world.attack_from_wire();
            }
            if turn < AS_PEER && world.count.frames < plan.frames {
                world.attack_as_peer();
            }
        }
        step += 1;
        if step % KNOCK_EVERY == 0 {
            world.attack_as_stranger();
        }
        if step % EPISODE_EVERY == 0 {
            world.episode(step / EPISODE_EVERY);
        }
        let done = world.count.datagrams.min(plan.datagrams) + world.count.frames.min(plan.frames);
        if tenth.is_none() && done * 10 >= plan.datagrams + plan.frames {
            tenth = Some(stage(&world));
        }
        if step % LOOK_EVERY == 0 {
            peak = peak.max(stage(&world));
        }
        if step % (LOOK_EVERY * PROGRESS_EVERY) == 0 {
            (plan.progress)(world.count.datagrams, world.count.frames);
        }
    }
    let end = stage(&world);
    let under_attack = world.oracle.account();
    world.calm_down();
    let before = world.oracle.account();
    for _ in 0..(plan.datagrams / 10).clamp(PEACE.0, PEACE.1) {
        world.traffic();
        world.advance(5 * MS);
    }
    world.advance(5 * SECOND);
    let seconds = ((plan.clock_ns)() - started) as f64 / 1e9;
    report::Ingredients {
        plan,
        world: &world,
        stages: [start, tenth.unwrap_or(start), peak.max(end), end],
        under_attack,
        before,
        seconds,
    }
    .report()
}
