//! The second thread of a simulated world: it takes one region off the first, which runs the other. Threads are all that lives here; what a region
//! does is `overlayd_world`'s. A step has hundreds of turns, so both sides look for a while whether there is something before they sleep.
//!
//! A region is offered, not given: where no core is free for the second thread, because Python or another program has it, the first takes the region
//! back when it is done with its own, and nobody waits for the scheduler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use overlayd_node::Nanos;
use overlayd_world::{Region, Runner, WorldError};

/// Looked for so often: first at once, then giving way to others that want the core. Then sleeping begins; to wake a core that sleeps takes longer than
/// most turns.
const LOOKS: u32 = 4_000;
const LOOKS_AT_ONCE: u32 = 100;

/// A region, and the end of its time; then what came of it.
type Turn = (Box<Region>, Nanos);
type Ran = (Box<Region>, Result<(), WorldError>);

/// Where the first thread leaves a turn for whoever is free.
#[derive(Default)]
struct Offer {
    turn: Mutex<Option<Turn>>,
    /// Whether `turn` holds one: to look is cheaper than to lock.
    is_open: AtomicBool,
    is_over: AtomicBool,
}

impl Offer {
    fn make(&self, turn: Turn) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        self.is_open.store(true, Ordering::Release);
    }

    fn take(&self) -> Option<Turn> {
        if !self.is_open.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.take()
    }
}

/// It ends with its owner.
pub(crate) struct Worker {
    offer: Arc<Offer>,
    done: Receiver<Ran>,
    thread: Thread,
}

impl Worker {
    pub(crate) fn new() -> Self {
        let offer = Arc::new(Offer::default());
        let (ran, done) = channel();
        let thread = std::thread::spawn({
            let offer = Arc::clone(&offer);
            move || work(&offer, &ran)
        });
        Self {
            offer,
            done,
            thread: thread.thread().clone(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.offer.is_over.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Runner for Worker {
    fn run(&mut self, regions: &mut [Box<Region>; 2], end: Nanos) -> Result<(), WorldError> {
        let [one, other] = regions;
        if !one.is_busy(end) || !other.is_busy(end) {
            return one.run_until(end).and_then(|()| other.run_until(end));
        }
        self.offer.make((std::mem::take(other), end));
        self.thread.unpark();
        let here = one.run_until(end);
        let (back, there) = match self.offer.take() {
            Some((mut region, end)) => {
                let ran = region.run_until(end);
                (region, ran)
            }
            None => take(&self.done).ok_or(WorldError::Panicked)?,
        };
        *other = back;
        here.and(there)
    }
}

fn work(offer: &Offer, ran: &Sender<Ran>) {
    let mut look = 0;
    while !offer.is_over.load(Ordering::Acquire) {
        if let Some((mut region, end)) = offer.take() {
            let result = region.run_until(end);
            if ran.send((region, result)).is_err() {
                return;
            }
            look = 0;
        } else if look < LOOKS_AT_ONCE {
            look += 1;
            std::hint::spin_loop();
        } else if look < LOOKS {
            look += 1;
            std::thread::yield_now();
        } else {
            look = 0;
            std::thread::park();
        }
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
