//! The path search as a Python class.
//!
//! What lives here: conversions between buffers and `overlayd_paths`. Called by `controller.planner` from any thread;
//! searches run without the GIL, and one at a time for each object.

use std::sync::{Mutex, MutexGuard, PoisonError};

use overlayd_paths::{Cap, Change, Costs, Malformed, Network, Paths, Relays, Tracker};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Adds this file's class to the native module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PathSearch>()
}

/// One class's links, laid out for searches; see `overlayd_paths` for what is found. Matrices are C-contiguous buffers
/// of `float32`, node indices `int16`.
#[pyclass(frozen, module = "overlayd._engine")]
struct PathSearch {
    state: Mutex<State>,
    /// Room for answers that are copied at once: made and given back for each, it would cost more than the search.
    found: Mutex<Paths>,
    threads: usize,
}

enum State {
    /// Nothing but the network: answers come and go.
    Plain(Box<Network>),
    /// With candidates at hand, for more than one question.
    Tracked(Box<Tracker>),
    /// Between the two.
    Nothing,
}

#[pymethods]
impl PathSearch {
    #[new]
    #[pyo3(signature = (direct, relays, passage, to_relay, from_relay, *, rtt=None, limit=None, per_relay=0.0, penalty=0.0, second=64, threads=2))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments of a Python class"
    )]
    fn new(
        py: Python<'_>,
        direct: &Bound<'_, PyAny>,
        relays: &Bound<'_, PyAny>,
        passage: &Bound<'_, PyAny>,
        to_relay: &Bound<'_, PyAny>,
        from_relay: &Bound<'_, PyAny>,
        rtt: Option<&Bound<'_, PyAny>>,
        limit: Option<&Bound<'_, PyAny>>,
        per_relay: f32,
        penalty: f32,
        second: usize,
        threads: usize,
    ) -> PyResult<Self> {
        let relays = elements::<i16>(relays)?
            .into_iter()
            .map(|relay| u16::try_from(relay).map_err(|_| refused("relays: below zero")))
            .collect::<PyResult<_>>()?;
        let cap = match (rtt, limit) {
            (Some(rtt), Some(limit)) => Some(Cap {
                rtt: elements(rtt)?,
                limit: elements(limit)?,
                per_relay,
                penalty,
            }),
            (None, None) => None,
            _ => return Err(refused("rtt, limit: only one of them")),
        };
        let costs = Costs {
            direct: elements(direct)?,
            relays,
            passage: elements(passage)?,
            to_relay: elements(to_relay)?,
            from_relay: elements(from_relay)?,
            cap,
        };
        let network = py
            .detach(|| Network::new(costs, second, threads))
            .map_err(to_exception)?;
        Ok(Self {
            state: Mutex::new(State::Plain(Box::new(network))),
            found: Mutex::new(Paths::default()),
            threads,
        })
    }

    /// The nodes that may be second relays, most useful first.
    fn second_relays(&self, py: Python<'_>) -> Vec<u16> {
        py.detach(|| match &*self.locked() {
            State::Plain(network) => network.second_relays(),
            State::Tracked(tracker) => tracker.network().second_relays(),
            State::Nothing => Vec::new(),
        })
    }

    /// Of each pair the cheapest path that shares nothing with its paths in `avoid` [from, to, path, 2]: costs [from,
    /// to] as bytes of float32, relays [from, to, 2] of int16.
    #[pyo3(signature = (avoid=None))]
    fn best<'py>(
        &self,
        py: Python<'py>,
        avoid: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let avoid = avoid.map_or_else(|| Ok(Vec::new()), elements::<i16>)?;
        let (avoid, odd) = avoid.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(refused("avoid: not [n, n, paths, 2]"));
        }
        let paths = py
            .detach(|| {
                tracked(&mut self.locked(), self.threads, |tracker| {
                    tracker.best(avoid)
                })
            })
            .map_err(to_exception)?;
        to_bytes(py, &paths)
    }

    /// Puts the cheapest `count` disjoint paths of each pair from sources `start` to `stop` into buffers: costs [from, to,
    /// path] of float32, relays [from, to, path, 2] of int16.
    fn disjoint(
        &self,
        py: Python<'_>,
        start: usize,
        stop: usize,
        costs: &Bound<'_, PyAny>,
        relays: &Bound<'_, PyAny>,
        count: usize,
    ) -> PyResult<()> {
        let costs = PyBuffer::<f32>::get(costs)?;
        let relays = PyBuffer::<i16>::get(relays)?;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = &mut *found;
        py.detach(|| {
            let state = self.locked();
            let network = match &*state {
                State::Plain(network) => network,
                State::Tracked(tracker) => tracker.network(),
                State::Nothing => return Err(Malformed("search: broken by an earlier failure")),
            };
            network.disjoint_into(start..stop, count, self.threads, found)
        })
        .map_err(to_exception)?;
        costs.copy_from_slice(py, &found.costs)?;
        relays.copy_from_slice(py, found.relays.as_flattened())
    }

    /// A primary and two disjoint back-ups of all pairs, as `disjoint` gives them; kept up to date by `update`.
    fn paths<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let paths = py
            .detach(|| {
                tracked(&mut self.locked(), self.threads, |tracker| {
                    Ok(tracker.paths().clone())
                })
            })
            .map_err(to_exception)?;
        to_bytes(py, &paths)
    }

    /// Changes one link's costs, and its RTT where there is a cap; the pairs whose `paths` changed, once these were
    /// asked for.
    #[pyo3(signature = (start, end, direct, link, rtt=0.0))]
    fn update(
        &self,
        py: Python<'_>,
        start: usize,
        end: usize,
        direct: f32,
        link: f32,
        rtt: f32,
    ) -> PyResult<Vec<(u16, u16)>> {
        let change = Change {
            from: start,
            to: end,
            direct,
            link,
            rtt,
        };
        py.detach(|| {
            tracked(&mut self.locked(), self.threads, |tracker| {
                tracker.update(change)
            })
        })
        .map_err(to_exception)
    }

    /// Whether, after updates, a search made anew would have the same second relays, and so the same answers.
    fn is_current(&self, py: Python<'_>) -> bool {
        py.detach(|| match &*self.locked() {
            State::Plain(_) => true,
            State::Tracked(tracker) => tracker.is_current(),
            State::Nothing => false,
        })
    }

    /// Changes the limits of pairs (from, to, limit) under a cap; the pairs whose `paths` changed.
    fn limit(&self, py: Python<'_>, limits: Vec<(u16, u16, f32)>) -> PyResult<Vec<(u16, u16)>> {
        py.detach(|| {
            tracked(&mut self.locked(), self.threads, |tracker| {
                tracker.limit(&limits)
            })
        })
        .map_err(to_exception)
    }
}

impl PathSearch {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the tracker, which is made now if there is none yet.
fn tracked<R>(
    state: &mut State,
    threads: usize,
    ask: impl FnOnce(&mut Tracker) -> Result<R, Malformed>,
) -> Result<R, Malformed> {
    *state = match std::mem::replace(state, State::Nothing) {
        State::Plain(network) => State::Tracked(Box::new(Tracker::new(*network, threads))),
        other => other,
    };
    match state {
        State::Tracked(tracker) => ask(tracker),
        _ => Err(Malformed("search: broken by an earlier failure")),
    }
}

fn elements<T: Element>(buffer: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    let py = buffer.py();
    let buffer = PyBuffer::<T>::get(buffer)?;
    if !buffer.is_c_contiguous() {
        return Err(refused("buffer: not C-contiguous"));
    }
    buffer.to_vec(py)
}

fn to_bytes<'py>(
    py: Python<'py>,
    paths: &Paths,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let costs = PyBytes::new_with(py, paths.costs.len() * size_of::<f32>(), |bytes| {
        for (to, cost) in bytes.as_chunks_mut().0.iter_mut().zip(&paths.costs) {
            *to = cost.to_ne_bytes();
        }
        Ok(())
    })?;
    let relays = PyBytes::new_with(py, paths.relays.len() * size_of::<Relays>(), |bytes| {
        let flat = paths.relays.as_flattened();
        for (to, relay) in bytes.as_chunks_mut().0.iter_mut().zip(flat) {
            *to = relay.to_ne_bytes();
        }
        Ok(())
    })?;
    Ok((costs, relays))
}

fn refused(problem: &'static str) -> PyErr {
    PyValueError::new_err(problem)
}

fn to_exception(error: Malformed) -> PyErr {
    PyValueError::new_err(error.0)
}
