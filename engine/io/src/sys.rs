//! The few system calls that every shell needs, behind safe functions: options, waiting, waking, clock, randomness.
//!
//! Called by all shells. I/O; `unsafe` stands here and where descriptors of one kind are read and written.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use overlayd_node::Nanos;

/// The monotonic clock.
pub(crate) fn monotonic_ns() -> Nanos {
    clock_ns(libc::CLOCK_MONOTONIC)
}

pub(crate) fn clock_ns(clock: libc::clockid_t) -> Nanos {
    let mut time = to_timespec(0);
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    to_ns(&time)
}

pub(crate) fn to_timespec(ns: Nanos) -> libc::timespec {
    libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    }
}

pub(crate) fn to_ns(time: &libc::timespec) -> Nanos {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Fills `bytes` from the system's source of randomness.
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    // SAFETY: the pointer and length are of a live slice. Up to 256 bytes are never given in part.
    let given = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    check_len(given).map(drop)
}

/// A descriptor of one's own for what a number that came from outside stands for.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a number that is no descriptor is answered with an error, and a valid answer is nobody else's.
    unsafe {
        Ok(OwnedFd::from_raw_fd(check(libc::fcntl(
            fd,
            libc::F_DUPFD_CLOEXEC,
            0,
        ))?))
    }
}

/// Lets others run that wait for this thread's core.
pub(crate) fn yield_now() {
    // SAFETY: no pointers, and it does not fail.
    unsafe { libc::sched_yield() };
}

/// No slack on the thread's timers: pacing and liveness count in fractions of a millisecond.
pub(crate) fn make_timers_prompt() {
    // SAFETY: no pointers. A refusal costs accuracy only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}

pub(crate) fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer is to a live int of the length given.
    let done = unsafe {
        let len = mem::size_of_val(&value) as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len)
    };
    check(done).map(drop)
}

pub(crate) fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

pub(crate) fn check_len(answer: isize) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// Waits for many descriptors at once.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

/// What a descriptor is watched for or ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; `check` lets only a fresh, valid descriptor pass.
        let epoll =
            unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { epoll })
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN, token)
    }

    /// Also reports when the descriptor can be written to, or no longer does.
    pub(crate) fn watch_write(
        &self,
        fd: BorrowedFd<'_>,
        token: u64,
        write: bool,
    ) -> io::Result<()> {
        let events = if write {
            libc::EPOLLIN | libc::EPOLLOUT
        } else {
            libc::EPOLLIN
        };
        self.control(libc::EPOLL_CTL_MOD, fd, events, token)
    }

    fn control(
        &self,
        verb: libc::c_int,
        fd: BorrowedFd<'_>,
        events: libc::c_int,
        token: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: the pointer is to a live event; the kernel copies it.
        check(unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), verb, fd.as_raw_fd(), &raw mut event)
        })
        .map(drop)
    }

    /// Waits until something is ready or `timeout` ns are over (the most there is: without end).
    pub(crate) fn wait(&self, timeout: Nanos, ready: &mut Vec<Ready>) -> io::Result<()> {
        let time = to_timespec(timeout);
        self.collect(ready, |epoll, events, most| {
            // SAFETY: the pointers are to a live array of the length given and to a live timespec; no signal mask.
            unsafe { libc::epoll_pwait2(epoll, events, most, &raw const time, ptr::null()) }
        })
    }

    /// What is ready now: half the price of a wait of no time.
    pub(crate) fn look(&self, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.collect(ready, |epoll, events, most| {
            // SAFETY: the pointer is to a live array of the length given.
            unsafe { libc::epoll_wait(epoll, events, most, 0) }
        })
    }

    /// `call`: gets the poller, an array for events and its length, and answers how many it has written.
    fn collect(
        &self,
        ready: &mut Vec<Ready>,
        call: impl FnOnce(RawFd, *mut libc::epoll_event, libc::c_int) -> libc::c_int,
    ) -> io::Result<()> {
        // A few, as the array is made anew for each look; what finds no room comes with the next.
        const MOST: usize = 16;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST];
        let epoll = self.epoll.as_raw_fd();
        let count = call(epoll, events.as_mut_ptr(), MOST as libc::c_int);
        ready.clear();
        let count = match check(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        ready.extend(events.iter().take(count as usize).map(|event| {
            let flags = event.events as libc::c_int;
            let failed = flags & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
            Ready {
                token: event.u64,
                read: failed || flags & libc::EPOLLIN != 0,
                write: flags & libc::EPOLLOUT != 0,
            }
        }));
        Ok(())
    }
}

/// Wakes whoever polls its descriptor; many wakes before a clear are one.
#[derive(Debug)]
pub(crate) struct Waker {
    fd: OwnedFd,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; `check` lets only a fresh, valid descriptor pass.
        let fd = unsafe {
            OwnedFd::from_raw_fd(check(libc::eventfd(
                0,
                libc::EFD_CLOEXEC | libc::EFD_NONBLOCK,
            ))?)
        };
        Ok(Self { fd })
    }

    pub(crate) fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes are read from a live array. A full counter is awake already.
        let _ = unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: at most eight bytes are written to a live array. An empty counter is clear already.
        let _ = unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_wake_ends_a_wait_and_a_clear_ends_the_wake() {
        let (poller, waker, mut ready) =
            (Poller::new().unwrap(), Waker::new().unwrap(), Vec::new());
        poller.add(waker.as_fd(), 7).unwrap();
        waker.wake();
        waker.wake();
        poller.wait(5_000_000_000, &mut ready).unwrap();
        assert_eq!(
            ready,
            [Ready {
                token: 7,
                read: true,
                write: false
            }]
        );
        poller.look(&mut ready).unwrap();
        assert_eq!(ready.len(), 1);
        waker.clear();
        poller.wait(0, &mut ready).unwrap();
        assert!(ready.is_empty());
        poller.look(&mut ready).unwrap();
        assert!(ready.is_empty());
    }

    #[test]
    fn a_wait_ends_at_its_time() {
        let (poller, mut ready) = (Poller::new().unwrap(), Vec::new());
        let before = monotonic_ns();
        poller.wait(2_000_000, &mut ready).unwrap();
        assert!(monotonic_ns() - before >= 2_000_000);
    }

    #[test]
    fn a_number_that_is_no_descriptor_is_refused() {
        assert_eq!(duplicate(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
