//! The engine of a host: its shards' threads, the commands to them and the events from them.
//!
//! Called by the native module for `overlayd.daemon.engine`. I/O.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::{fmt, mem, process};

use overlayd_node::{Counters, Nanos, Node, NodeConfig, Snapshot, SnapshotError};
use serde::Serialize;

use crate::counters::ShellCounters;
use crate::events::{EventQueue, Told};
use crate::fault::{Fault, Faults};
use crate::handover::Handover;
use crate::shard::{Owner, Shard};
use crate::sys::{self, Waker};
use crate::tun::{TunOffloads, TunQueue};
use crate::udp::{UdpOffloads, Uplink};

/// What an engine is made of. Descriptors stay their giver's: the engine works on duplicates.
pub struct EngineConfig {
    /// Of each shard.
    pub shards: Vec<Descriptors>,
    pub tun_offloads: TunOffloads,
    pub udp_offloads: UdpOffloads,
    /// For tests.
    pub faults: Faults,
    /// The longest time to wait awake for what is expected soon; 0: never.
    pub spin: Nanos,
    pub private_key: [u8; 32],
    pub boot: u64,
    pub key_log: bool,
}

/// What a shard reads from and writes to.
#[derive(Clone, Debug)]
pub struct Descriptors {
    /// From [`crate::open_tun`]: a queue of its own of the one interface.
    pub tun: RawFd,
    /// From [`crate::open_udp`], in the order in which snapshots count uplinks; those of shard *i* are bound *i* ports above.
    pub uplinks: Vec<RawFd>,
}

/// A running engine. Dropping it stops it.
#[derive(Debug)]
pub struct Engine {
    events: Arc<EventQueue>,
    shards: Vec<Running>,
    /// One snapshot at a time.
    applying: Mutex<()>,
}

/// A shard's thread, and what reaches it.
#[derive(Debug)]
struct Running {
    desk: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where a shard takes its orders and leaves its news.
#[derive(Debug)]
struct Desk {
    /// `None`: the end.
    commands: Mutex<Option<VecDeque<Command>>>,
    waker: Waker,
    events: Arc<EventQueue>,
    ticks: AtomicU64,
}

#[derive(Debug)]
enum Command {
    /// Would this be accepted?
    Check(Box<Snapshot>, SyncSender<Result<(), SnapshotError>>),
    Apply(Box<Snapshot>, SyncSender<Result<(), SnapshotError>>),
    Count(SyncSender<Totals>),
}

/// Totals since the start.
#[derive(Clone, Debug, Serialize)]
pub struct Totals {
    pub node: Counters,
    pub shell: ShellCounters,
}

/// Why a snapshot is not in force.
#[derive(Debug)]
pub enum ApplyError {
    Refused(SnapshotError),
    /// The engine was stopped.
    Stopped,
}

impl Engine {
    /// Starts the packet threads. A panic in one ends the process: a host whose packets are forwarded by nobody must be restarted.
    pub fn start(config: EngineConfig) -> io::Result<Self> {
        let events = Arc::new(EventQueue::new()?);
        let handover = Arc::new(Handover::new()?);
        let mut made = Vec::new();
        for number in 0..config.shards.len() {
            let desk = Arc::new(Desk::new(Arc::clone(&events))?);
            let shard = make_shard(&config, number, Arc::clone(&handover), &desk)?;
            made.push((desk, shard));
        }
        let mut engine = Self {
            events,
            shards: Vec::new(),
            applying: Mutex::new(()),
        };
        for (number, (desk, mut shard)) in made.into_iter().enumerate() {
            let owner = Arc::clone(&desk);
            let thread = thread::Builder::new()
                .name(format!("packets{number}"))
                .spawn(move || {
                    sys::make_timers_prompt();
                    guard(|| shard.run(&*owner));
                })?;
            engine.shards.push(Running {
                desk,
                thread: Mutex::new(Some(thread)),
            });
        }
        Ok(engine)
    }

    /// Puts a snapshot in force, whole and in all shards or not at all; waits until it is.
    pub fn apply(&self, snapshot: Snapshot) -> Result<(), ApplyError> {
        let _one_at_a_time = lock(&self.applying);
        let parts: Vec<Box<Snapshot>> = (0..)
            .zip(&self.shards)
            .map(|(number, _)| Box::new(snapshot.of_shard(number)))
            .collect();
        self.each(&parts, Command::Check)?;
        self.each(&parts, Command::Apply)
    }

    /// Of each shard. `None`: the engine was stopped.
    pub fn counters(&self) -> Option<Vec<Totals>> {
        self.shards
            .iter()
            .map(|shard| shard.ask(Command::Count).recv().ok())
            .collect()
    }

    /// What has happened since the last call, oldest first.
    pub fn events(&self) -> VecDeque<Told> {
        self.events.take()
    }

    /// Readable while events wait.
    pub fn event_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Of each shard: grows at least once a second while its thread is well.
    pub fn ticks(&self) -> Vec<u64> {
        let ticks = |shard: &Running| shard.desk.ticks.load(Ordering::Relaxed);
        self.shards.iter().map(ticks).collect()
    }

    /// Ends the packet threads and closes the engine's descriptors. Again: nothing.
    pub fn stop(&self) {
        for shard in &self.shards {
            shard.desk.close();
        }
        for shard in &self.shards {
            let thread = lock(&shard.thread).take();
            // The thread does not panic past its own guard.
            let _ = thread.map(JoinHandle::join);
        }
    }

    /// Gives each shard its part, all at once, and waits for their answers. The first refusal is the answer.
    fn each(
        &self,
        parts: &[Box<Snapshot>],
        command: impl Fn(Box<Snapshot>, SyncSender<Result<(), SnapshotError>>) -> Command,
    ) -> Result<(), ApplyError> {
        let asked: Vec<_> = self
            .shards
            .iter()
            .zip(parts)
            .map(|(shard, part)| shard.ask(|reply| command(part.clone(), reply)))
            .collect();
        let answers: Vec<_> = asked.iter().map(Receiver::recv).collect();
        answers.into_iter().try_for_each(|answer| {
            answer
                .map_err(|_| ApplyError::Stopped)?
                .map_err(ApplyError::Refused)
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Running {
    /// Where the answer will be; it never comes if the engine was stopped.
    fn ask<Answer>(&self, command: impl FnOnce(SyncSender<Answer>) -> Command) -> Receiver<Answer> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.desk.send(command(reply));
        answer
    }
}

impl Desk {
    fn new(events: Arc<EventQueue>) -> io::Result<Self> {
        Ok(Self {
            commands: Mutex::new(Some(VecDeque::new())),
            waker: Waker::new()?,
            events,
            ticks: AtomicU64::new(0),
        })
    }

    /// After the end a command is dropped, and its reply with it.
    fn send(&self, command: Command) {
        if let Some(commands) = &mut *lock(&self.commands) {
            commands.push_back(command);
        }
        self.waker.wake();
    }

    fn close(&self) {
        *lock(&self.commands) = None;
        self.waker.wake();
    }
}

impl Owner for Desk {
    fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    fn command(&self, shard: &mut Shard) -> bool {
        self.waker.clear();
        let Some(commands) = lock(&self.commands).as_mut().map(mem::take) else {
            return false;
        };
        for command in commands {
            // Whoever asked may have given up waiting; that is no concern here.
            match command {
                Command::Check(snapshot, reply) => {
                    let _ = reply.send(shard.node().check(&snapshot));
                }
                Command::Apply(snapshot, reply) => {
                    let result = shard.node().apply(sys::monotonic_ns(), *snapshot);
                    let _ = reply.send(result);
                }
                Command::Count(reply) => {
                    let _ = reply.send(Totals {
                        node: shard.node().counters(),
                        shell: shard.counters(),
                    });
                }
            }
        }
        true
    }

    fn events(&self) -> &EventQueue {
        &self.events
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "{}: {}", error.field, error.problem),
            Self::Stopped => f.write_str("the engine was stopped"),
        }
    }
}

impl std::error::Error for ApplyError {}

/// Runs what must not end otherwise than well: an error or a panic ends the process, with a word on stderr.
fn guard(run: impl FnOnce() -> io::Result<()>) {
    let end = match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("the packet thread cannot go on: {error}"),
        Err(_) => "the packet thread panicked".to_owned(),
    };
    eprintln!("overlayd engine: {end}; this process ends so that it is started anew");
    process::abort();
}

/// A poisoned lock guards nothing that could be half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make_shard(
    config: &EngineConfig,
    number: usize,
    handover: Arc<Handover>,
    desk: &Desk,
) -> io::Result<Shard> {
    let number = u8::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let descriptors = &config.shards[usize::from(number)];
    let mut seed = [0; 32];
    sys::random(&mut seed)?;
    let EngineConfig {
        private_key,
        boot,
        key_log,
        ..
    } = *config;
    let node = Node::new(
        NodeConfig {
            private_key,
            boot,
            seed,
            key_log,
        },
        sys::monotonic_ns(),
    );
    let tun = TunQueue::new(
        sys::duplicate(descriptors.tun)?,
        config.tun_offloads,
        Fault::after(config.faults.tun_segmentation),
    )?;
    let uplinks = (0..)
        .zip(&descriptors.uplinks)
        .map(|(index, fd)| {
            Ok(Uplink::new(
                sys::duplicate(*fd)?,
                index,
                config.udp_offloads,
                Fault::after(config.faults.udp_gso),
            ))
        })
        .collect::<io::Result<Vec<_>>>()?;
    Shard::new(
        number,
        node.in_shard(number),
        tun,
        uplinks,
        config.spin,
        handover,
        desk.waker.as_fd(),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    const ACT: &str = "OVERLAYD_TEST_GUARD";

    /// The act takes place in a process of its own: this test again, told so by the environment.
    fn acted(name: &str) -> (Option<i32>, String) {
        let this = std::env::current_exe().unwrap();
        let done = Command::new(this)
            .args(["--exact", &format!("engine::tests::{name}"), "--nocapture"])
            .env(ACT, "1")
            .output()
            .unwrap();
        (
            done.status.signal(),
            String::from_utf8_lossy(&done.stderr).into_owned(),
        )
    }

    #[test]
    fn a_panic_in_the_packet_thread_ends_the_process_with_a_word() {
        if std::env::var_os(ACT).is_some() {
            guard(|| panic!("impossible"));
        }
        let (signal, said) = acted("a_panic_in_the_packet_thread_ends_the_process_with_a_word");
        assert_eq!(signal, Some(libc::SIGABRT));
        assert!(
            said.contains("impossible") && said.contains("the packet thread panicked"),
            "{said}"
        );
    }

    #[test]
    fn an_error_of_the_packet_thread_ends_the_process_with_a_word() {
        if std::env::var_os(ACT).is_some() {
            guard(|| Err(io::Error::from_raw_os_error(libc::EBADF)));
        }
        let (signal, said) = acted("an_error_of_the_packet_thread_ends_the_process_with_a_word");
        assert_eq!(signal, Some(libc::SIGABRT));
        assert!(said.contains("Bad file descriptor"), "{said}");
    }

    #[test]
    fn a_descriptor_that_is_none_is_refused_before_the_start() {
        let config = EngineConfig {
            shards: vec![Descriptors {
                tun: -1,
                uplinks: Vec::new(),
            }],
            tun_offloads: TunOffloads {
                checksum: true,
                segmentation: true,
                udp_segmentation: true,
            },
            udp_offloads: UdpOffloads {
                gso: true,
                gro: true,
            },
            faults: Faults::default(),
            spin: 0,
            private_key: [1; 32],
            boot: 1,
            key_log: false,
        };
        assert_eq!(
            Engine::start(config).unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
    }
}
