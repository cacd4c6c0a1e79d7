//! Two threads at one simulated world: the one that runs its steps offers a region, and the one that waits for the end of a step takes it. Threads are
//! all that lives here; what a region does is `overlayd_world`'s.
//!
//! A region is offered, not given: while the second thread has something else to do, which is Python, the first takes the region back when it is done
//! with its own. So there are never more threads than two, and none of them waits for the scheduler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use overlayd_node::Nanos;
use overlayd_world::{Region, Runner, WorldError};

/// Looked for so often before sleeping: a step has hundreds of turns, and to wake a core that sleeps takes longer than most of them.
const LOOKS: u32 = 4_000;
/// Of these at once; then giving way to others that want the core.
const LOOKS_AT_ONCE: u32 = 400;
/// A helper without a turn sleeps so long before it looks again.
const NAP: Duration = Duration::from_micros(200);

/// A region, and the end of its time; then what came of it.
type Turn = (Box<Region>, Nanos);
type Ran = (Box<Region>, Result<(), WorldError>);

/// Where the first thread leaves a turn for the second.
#[derive(Default)]
struct Offer {
    turn: Mutex<Option<Turn>>,
    /// Whether `turn` holds one: to look is cheaper than to lock.
    is_open: AtomicBool,
}

impl Offer {
    fn make(&self, turn: Turn) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        self.is_open.store(true, Ordering::Release);
    }

    fn take(&self) -> Option<Turn> {
        if !self.is_open.load(Ordering::Relaxed) || !self.is_open.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        turn.take()
    }
}

/// The first thread's end: runs one region and offers the other.
pub(crate) struct Helped {
    offer: Arc<Offer>,
    done: Receiver<Ran>,
}

/// The second thread's end.
pub(crate) struct Helper {
    offer: Arc<Offer>,
    ran: Sender<Ran>,
}

/// Both ends of a new offer.
pub(crate) fn pair() -> (Helped, Helper) {
    let offer = Arc::new(Offer::default());
    let (ran, done) = channel();
    let helper = Helper {
        offer: Arc::clone(&offer),
        ran,
    };
    (Helped { offer, done }, helper)
}

impl Runner for Helped {
    fn run(&mut self, regions: &mut [Box<Region>; 2], end: Nanos) -> Result<(), WorldError> {
        let [one, other] = regions;
        if !one.is_busy(end) || !other.is_busy(end) {
            return one.run_until(end).and_then(|()| other.run_until(end));
        }
        self.offer.make((std::mem::take(other), end));
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

impl Helper {
    /// Takes turns until `step` says that the step is over; `None`: nobody is left to say so.
    pub(crate) fn help<T>(&self, step: &Receiver<T>) -> Option<T> {
        let mut looks = 0;
        loop {
            if let Some((mut region, end)) = self.offer.take() {
                let result = region.run_until(end);
                self.ran.send((region, result)).ok()?;
                looks = 0;
            }
            match step.try_recv() {
                Ok(stepped) => return Some(stepped),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            looks += 1;
            if looks < LOOKS {
                pause(looks);
                continue;
            }
            match step.recv_timeout(NAP) {
                Ok(stepped) => return Some(stepped),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// What comes next; `None`: nobody is left to send it.
pub(crate) fn take<T>(from: &Receiver<T>) -> Option<T> {
    for look in 0..LOOKS {
        match from.try_recv() {
            Ok(what) => return Some(what),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => pause(look),
        }
    }
    from.recv().ok()
}

fn pause(look: u32) {
    if look < LOOKS_AT_ONCE {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}
