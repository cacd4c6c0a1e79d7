//! Attacks on a small mesh of real nodes in virtual time, counted: what the wire can do, and what a peer that holds the keys can do.
//!
//! Two adversaries. One on the wire (`wire`, `stranger`) has no keys: it changes, repeats, holds and invents datagrams. The other (`hostile`, `forge`,
//! `body`) is an enrolled peer, neighbour and relay, and changes or invents frames before they are sealed. The mesh (`mesh`, `world`) goes on with
//! its own life meanwhile (`turmoil`). An oracle (`oracle`, `packets`) that shares nothing with the engine judges every packet that comes out.
//!
//! A run is a function of its seed. Clock and memory are looked at from outside only, for the report: this crate does no I/O. The program around it is
//! `main.rs`; a short run is a test.

mod body;
mod coverage;
mod dice;
mod forge;
mod hostile;
mod mesh;
mod oracle;
mod packets;
mod report;
mod stranger;
mod stream;
mod turmoil;
mod wire;
mod world;

pub use report::{Report, UNREACHED};

use world::{MS, SECOND, World};

/// How long a run is, and what it may ask its surroundings.
#[derive(Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// From the wire; in flight, invented or by strangers.
    pub datagrams: u64,
    /// Of the hostile peer, changed or invented before sealing.
    pub frames: u64,
    /// A monotonic clock, ns: for the report.
    pub clock_ns: fn() -> u64,
    /// Memory that the process has, bytes.
    pub memory: fn() -> u64,
    /// Told now and then: datagrams and frames so far.
    pub progress: fn(u64, u64),
}

/// Of each kind, per millisecond of virtual time.
const ATTACKS: u64 = 10;
/// Milliseconds between two knocks of a stranger, between two episodes, and between two words of progress.
const KNOCK_EVERY: u64 = 60;
const EPISODE_EVERY: u64 = 250;
const PROGRESS_EVERY: u64 = 20_000;

/// Runs a whole campaign: the mesh forms, is under attack, and is left in peace at the end, when it has to work again.
pub fn run(plan: &Plan) -> Report {
    let started = (plan.clock_ns)();
    let mut world = World::new(plan.seed, plan.clock_ns);
    world.advance(2 * SECOND);
    let mut early = None;
    let mut step = 0;
    while world.count.datagrams < plan.datagrams || world.count.frames < plan.frames {
        world.advance(MS);
        if world.rng.chance(0.7) {
            world.traffic();
        }
        for _ in 0..ATTACKS {
            if world.count.datagrams < plan.datagrams {
                world.attack_from_wire();
            }
            if world.count.frames < plan.frames {
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
        if early.is_none() && done * 10 >= plan.datagrams + plan.frames {
            early = Some((plan.memory)());
        }
        if step % PROGRESS_EVERY == 0 {
            (plan.progress)(world.count.datagrams, world.count.frames);
        }
    }
    let memory = (early.unwrap_or_default(), (plan.memory)());
    let under_attack = world.oracle.account();
    world.calm_down();
    let before = world.oracle.account();
    for _ in 0..2_000 {
        world.traffic();
        world.advance(5 * MS);
    }
    world.advance(5 * SECOND);
    let seconds = ((plan.clock_ns)() - started) as f64 / 1e9;
    report::Ingredients {
        plan,
        world: &world,
        memory,
        under_attack,
        before,
        seconds,
    }
    .report()
}
