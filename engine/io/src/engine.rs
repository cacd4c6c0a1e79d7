//! The engine of a host: its shard's thread, the commands to it and the events from it.
//!
//! Called by the native module for `overlayd.daemon.engine`. I/O.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::{fmt, mem, process};

use overlayd_node::{Counters, Event, Nanos, Node, NodeConfig, Snapshot, SnapshotError};
use serde::Serialize;

use crate::counters::ShellCounters;
use crate::events::EventQueue;
use crate::fault::{Fault, Faults};
use crate::shard::{Owner, Shard};
use crate::sys::{self, Waker};
use crate::tun::{TunOffloads, TunQueue};
use crate::udp::{UdpOffloads, Uplink};

/// What an engine is made of. Descriptors stay their giver's: the engine works on duplicates.
pub struct EngineConfig {
    /// From [`crate::open_tun`].
    pub tun: RawFd,
    /// From [`crate::open_udp`], in the order in which snapshots count uplinks.
    pub uplinks: Vec<RawFd>,
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

/// A running engine. Dropping it stops it.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    /// `None`: the end.
    commands: Mutex<Option<VecDeque<Command>>>,
    waker: Waker,
    events: EventQueue,
    ticks: AtomicU64,
}

#[derive(Debug)]
enum Command {
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
    /// Starts the packet thread. A panic in it ends the process: a host whose packets are forwarded by nobody must be restarted.
    pub fn start(config: EngineConfig) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            commands: Mutex::new(Some(VecDeque::new())),
            waker: Waker::new()?,
            events: EventQueue::new()?,
            ticks: AtomicU64::new(0),
        });
        let mut shard = make_shard(&config, &shared)?;
        let owner = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("packets".into())
            .spawn(move || {
                sys::make_timers_prompt();
                guard(|| shard.run(&*owner));
            })?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Puts a snapshot in force, whole or not at all; waits until it is.
    pub fn apply(&self, snapshot: Snapshot) -> Result<(), ApplyError> {
        let answer = self.ask(|reply| Command::Apply(Box::new(snapshot), reply));
        answer
            .ok_or(ApplyError::Stopped)?
            .map_err(ApplyError::Refused)
    }

    /// `None`: the engine was stopped.
    pub fn counters(&self) -> Option<Totals> {
        self.ask(Command::Count)
    }

    /// What has happened since the last call, oldest first.
    pub fn events(&self) -> VecDeque<Event> {
        self.shared.events.take()
    }

    /// Readable while events wait.
    pub fn event_fd(&self) -> BorrowedFd<'_> {
        self.shared.events.as_fd()
    }

    /// Grows at least once a second while the packet thread is well.
    pub fn ticks(&self) -> u64 {
        self.shared.ticks.load(Ordering::Relaxed)
    }

    /// Ends the packet thread and closes the engine's descriptors. Again: nothing.
    pub fn stop(&self) {
        self.shared.close();
        let thread = lock(&self.thread).take();
        // The thread does not panic past its own guard.
        let _ = thread.map(JoinHandle::join);
    }

    fn ask<Answer>(&self, command: impl FnOnce(SyncSender<Answer>) -> Command) -> Option<Answer> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.shared.send(command(reply));
        answer.recv().ok()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
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

impl Owner for Shared {
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

fn make_shard(config: &EngineConfig, shared: &Shared) -> io::Result<Shard> {
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
        sys::duplicate(config.tun)?,
        config.tun_offloads,
        Fault::after(config.faults.tun_segmentation),
    )?;
    let uplinks = (0..)
        .zip(&config.uplinks)
        .map(|(index, fd)| {
            Ok(Uplink::new(
                sys::duplicate(*fd)?,
                index,
                config.udp_offloads,
                Fault::after(config.faults.udp_gso),
            ))
        })
        .collect::<io::Result<Vec<_>>>()?;
    Shard::new(node, tun, uplinks, config.spin, shared.waker.as_fd())
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
            tun: -1,
            uplinks: Vec::new(),
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
