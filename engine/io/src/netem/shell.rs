//! The handle on a running emulator: start it, give it orders, stop it.
//!
//! Orders go to the carrying thread through a channel; nothing here touches a packet. Called by the native module.

use super::carrier::{Carrier, LinkCounters, Order};
use super::config::Config;
use super::error::EmulatorError;
use crate::sys::Waker;
use overlayd_netem::Settings;
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Links that run until the emulator is stopped or dropped.
#[derive(Debug)]
pub struct Emulator {
    names: BTreeMap<String, usize>,
    orders: Sender<Order>,
    waker: Arc<Waker>,
    thread: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Emulator {
    /// Opens the interfaces in the calling thread's network namespace and starts to carry packets.
    ///
    /// # Errors
    /// An interface that is missing, or a lack of CAP_NET_RAW.
    pub fn start(config: &Config) -> Result<Self, EmulatorError> {
        let carrier = Carrier::open(config)?;
        let names = config
            .directions
            .iter()
            .map(|d| d.name.clone())
            .zip(0..)
            .collect();
        let (orders, inbox) = channel();
        let waker = carrier.waker();
        let thread = std::thread::Builder::new()
            .name("netem".into())
            .spawn(move || carrier.run(&inbox))
            .map_err(EmulatorError::Io)?;
        Ok(Self {
            names,
            orders,
            waker,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Changes the settings of one direction while it runs; its queue stays.
    ///
    /// # Errors
    /// An unknown name or settings out of bounds; the link goes on as it was.
    pub fn set(&self, name: &str, settings: Settings) -> Result<(), EmulatorError> {
        let link = *self
            .names
            .get(name)
            .ok_or_else(|| EmulatorError::UnknownLink {
                name: name.to_owned(),
            })?;
        self.ask(|answer| Order::Set {
            link,
            settings,
            answer,
        })?
        .map_err(EmulatorError::Settings)
    }

    /// What every direction did so far, by name.
    ///
    /// # Errors
    /// The emulator has stopped.
    pub fn counters(&self) -> Result<Vec<(&str, LinkCounters)>, EmulatorError> {
        let counters = self.ask(|answer| Order::Counters { answer })?;
        let mut named: Vec<_> = self
            .names
            .iter()
            .map(|(name, link)| (name.as_str(), counters[*link]))
            .collect();
        named.sort_by_key(|(name, _)| *name);
        Ok(named)
    }

    /// Stops carrying packets; what is on its way is lost. A second call does nothing.
    ///
    /// # Errors
    /// What ended the thread before, if it did not end by this call.
    pub fn stop(&self) -> Result<(), EmulatorError> {
        // A thread that has ended takes no orders, and needs none.
        let _ = self.orders.send(Order::Stop);
        self.waker.wake();
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        match thread.map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(EmulatorError::Io(error)),
            Some(Err(_)) => Err(EmulatorError::Stopped),
        }
    }

    fn ask<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> Result<T, EmulatorError> {
        let (answer, inbox) = channel();
        self.orders
            .send(order(answer))
            .map_err(|_| EmulatorError::Stopped)?;
        self.waker.wake();
        inbox.recv().map_err(|_| EmulatorError::Stopped)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.stop();
    }
}
