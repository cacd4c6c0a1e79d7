//! The second thread of a simulated world: it runs one region while the first runs the other. Threads are all that lives here; what a region does is
//! `overlayd_world`'s. A step has hundreds of turns, so both sides look for a while whether the region is there before they sleep.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use overlayd_node::Nanos;
use overlayd_world::{Region, Runner, WorldError};

/// Looked for so often: first at once, then giving way to others that want the core. Then sleeping begins; to wake a core that sleeps takes longer than
/// most turns.
const LOOKS: u32 = 4_000;
const LOOKS_AT_ONCE: u32 = 100;

/// A region, and the end of its time; then what came of it.
type Turn = (Box<Region>, Nanos);
type Ran = (Box<Region>, Result<(), WorldError>);

/// It ends with its owner.
pub(crate) struct Worker {
    todo: Sender<Turn>,
    done: Receiver<Ran>,
}

impl Worker {
    pub(crate) fn new() -> Self {
        let (todo, turns) = channel::<Turn>();
        let (ran, done) = channel();
        std::thread::spawn(move || {
            while let Some((mut region, end)) = take(&turns) {
                let result = region.run_until(end);
                if ran.send((region, result)).is_err() {
                    return;
                }
            }
        });
        Self { todo, done }
    }

    fn begin(&self, region: Box<Region>, end: Nanos) -> Result<(), WorldError> {
        let todo = self.todo.send((region, end));
        todo.map_err(|_| WorldError::Panicked)
    }

    fn end(&self) -> Result<Ran, WorldError> {
        take(&self.done).ok_or(WorldError::Panicked)
    }
}

impl Runner for Worker {
    fn run(&mut self, regions: &mut [Box<Region>; 2], end: Nanos) -> Result<(), WorldError> {
        let [one, other] = regions;
        if !one.is_busy(end) || !other.is_busy(end) {
            return one.run_until(end).and_then(|()| other.run_until(end));
        }
        self.begin(std::mem::take(other), end)?;
        let here = one.run_until(end);
        let (back, there) = self.end()?;
        *other = back;
        here.and(there)
    }
}

/// What comes next; `None`: nobody is left to send it.
pub(crate) fn take<T>(from: &Receiver<T>) -> Option<T> {
    for look in 0..LOOKS {
        match from.try_recv() {
            Ok(what) => return Some(what),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if look < LOOKS_AT_ONCE => std::hint::spin_loop(),
            Err(TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
    from.recv().ok()
}
