//! The virtual-time world as a Python class.
//!
//! What lives here: conversions between JSON text and `overlayd_world`, and the thread that steps run in. Called by `sim`. A step crosses
//! into Python once, however many packets it moved, and Python goes on meanwhile.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use overlayd_node::{Nanos, NodeConfig, Snapshot, SnapshotError};
use overlayd_world::{NodeIndex, Report, World, WorldError};
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::worker::{Helper, pair, take};

/// Adds this file's classes to the native module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SimulatedWorld>()
}

/// Nodes, wires and streams in virtual time. Times are nanoseconds since the world's start; a run is a function of `seed` and of the calls.
///
/// Raises ValueError for faulty arguments (of a snapshot: `field: problem`), KeyError for a node, wire or stream that does not exist.
/// RuntimeError for whatever has to wait for the end of a step.
#[pyclass(module = "overlayd._engine")]
struct SimulatedWorld {
    /// `None`: a step has it.
    world: Option<Box<World>>,
    stepper: Stepper,
    /// Tables for the next step to begin with.
    tables: Vec<(NodeIndex, Snapshot)>,
}

/// A thread that runs steps, one at a time. One for all of them: a new thread begins on the core of its maker, which goes on, and a step is
/// over before anyone moves it to the idle one. It ends when its channels are gone.
struct Stepper {
    steps: Sender<Step>,
    stepped: Mutex<Receiver<Stepped>>,
    /// Whoever waits for a step helps it along.
    helper: Helper,
}

struct Step {
    world: Box<World>,
    tables: Vec<(NodeIndex, Snapshot)>,
    until: Nanos,
}

/// The world comes back from a step, and what happened in it.
type Stepped = (Box<World>, Result<Vec<Report>, WorldError>);

impl Stepper {
    fn new() -> Self {
        let (steps, todo) = channel::<Step>();
        let (done, stepped) = channel();
        let (mut helped, helper) = pair();
        std::thread::spawn(move || {
            while let Some(mut step) = take(&todo) {
                let ran = step
                    .tables
                    .into_iter()
                    .try_for_each(|(node, snapshot)| step.world.apply(node, snapshot))
                    .and_then(|()| step.world.run_until(step.until, &mut helped));
                if done.send((step.world, ran)).is_err() {
                    return;
                }
            }
        });
        Self {
            steps,
            stepped: Mutex::new(stepped),
            helper,
        }
    }
}

#[pymethods]
impl SimulatedWorld {
    #[new]
    fn new(seed: u64) -> Self {
        Self {
            world: Some(Box::new(World::new(seed))),
            stepper: Stepper::new(),
            tables: Vec::new(),
        }
    }

    /// Adds and starts a node with one UDP socket per endpoint (`"10.0.0.1:51900"`); returns its index.
    fn add_node(&mut self, private_key: [u8; 32], uplinks: Vec<String>) -> PyResult<usize> {
        let uplinks = uplinks
            .iter()
            .map(|text| endpoint(text))
            .collect::<PyResult<Vec<_>>>()?;
        let config = NodeConfig {
            private_key,
            boot: 1,
            seed: [0; 32],
            key_log: false,
        };
        self.world()?
            .add_node(config, uplinks)
            .map_err(to_exception)
    }

    /// Lays a wire in one direction, or changes it; `settings` is JSON of the emulator's settings.
    fn set_wire(&mut self, source: &str, destination: &str, settings: &str) -> PyResult<()> {
        let settings = serde_json::from_str(settings)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        self.world()?
            .set_wire(endpoint(source)?, endpoint(destination)?, settings)
            .map_err(to_exception)
    }

    /// Counters of one wire as JSON.
    fn wire_counters(&mut self, source: &str, destination: &str) -> PyResult<String> {
        json(
            self.world()?
                .wire_counters(endpoint(source)?, endpoint(destination)?)
                .map_err(to_exception)?,
        )
    }

    /// Hands a node its tables when the next step begins: JSON of `overlayd.protocol.engine.Snapshot`. At any time; that step ends with what the
    /// node says against them.
    fn apply(&mut self, py: Python<'_>, node: usize, snapshot: &str) -> PyResult<()> {
        let snapshot = py
            .detach(|| Snapshot::from_json(snapshot))
            .map_err(refused)?;
        self.tables.push((node, snapshot));
        Ok(())
    }

    /// The host dies.
    fn stop(&mut self, node: usize) -> PyResult<()> {
        self.world()?.stop(node).map_err(to_exception)?;
        self.tables.retain(|(of, _)| *of != node);
        Ok(())
    }

    /// The host comes back with an empty engine.
    fn start(&mut self, node: usize) -> PyResult<()> {
        self.world()?.start(node).map_err(to_exception)
    }

    /// Starts a stream described by JSON; returns its index.
    fn add_stream(&mut self, stream: &str) -> PyResult<usize> {
        let stream = serde_json::from_str(stream)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        self.world()?.add_stream(stream).map_err(to_exception)
    }

    /// The account of a stream's packets sent in `[from_ns, until_ns)`, as JSON.
    fn stream_report(&mut self, stream: usize, from_ns: u64, until_ns: u64) -> PyResult<String> {
        json(
            &self
                .world()?
                .stream_report(stream, from_ns, until_ns)
                .map_err(to_exception)?,
        )
    }

    /// Totals of a node's engine as JSON.
    fn counters(&mut self, node: usize) -> PyResult<String> {
        json(&self.world()?.counters(node).map_err(to_exception)?)
    }

    /// Lets time pass in a thread of its own, up to `until_ns`.
    fn begin_step(&mut self, until_ns: u64) -> PyResult<()> {
        self.world()?;
        let tables = std::mem::take(&mut self.tables);
        if let Some(world) = self.world.take() {
            let step = Step {
                world,
                tables,
                until: until_ns,
            };
            self.stepper.steps.send(step).map_err(|_| panicked())?;
        }
        Ok(())
    }

    /// Waits for the step to end; returns what nodes reported: (at_ns, node, JSON of an event).
    fn end_step<'py>(
        &mut self,
        py: Python<'py>,
    ) -> PyResult<Vec<(u64, usize, Bound<'py, PyBytes>)>> {
        if self.world.is_some() {
            return Err(PyRuntimeError::new_err("no step has begun"));
        }
        let Stepper {
            stepped, helper, ..
        } = &self.stepper;
        let (world, ran) = py
            .detach(|| helper.help(&*stepped.lock().ok()?))
            .ok_or_else(panicked)?;
        self.world = Some(world);
        Ok(ran
            .map_err(to_exception)?
            .into_iter()
            .map(|report| (report.at, report.node, PyBytes::new(py, &report.event)))
            .collect())
    }

    fn now_ns(&mut self) -> PyResult<u64> {
        Ok(self.world()?.now())
    }

    /// A hash of all deliveries and events so far, in hex.
    fn digest(&mut self) -> PyResult<String> {
        Ok(self.world()?.digest())
    }
}

impl SimulatedWorld {
    fn world(&mut self) -> PyResult<&mut World> {
        self.world
            .as_deref_mut()
            .ok_or_else(|| PyRuntimeError::new_err("a step is under way; end it first"))
    }
}

fn endpoint(text: &str) -> PyResult<SocketAddr> {
    text.parse().map_err(|_| {
        PyValueError::new_err(format!(
            "{text:?} is not an endpoint such as 10.0.0.1:51900 or [fd00::1]:51900"
        ))
    })
}

fn json<T: serde::Serialize>(value: &T) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn panicked() -> PyErr {
    PyRuntimeError::new_err("the world panicked")
}

fn refused(error: SnapshotError) -> PyErr {
    PyValueError::new_err(format!("{}: {}", error.field, error.problem))
}

fn to_exception(error: WorldError) -> PyErr {
    match error {
        WorldError::NoSuchNode(_)
        | WorldError::NodeStopped(_)
        | WorldError::NoSuchStream(_)
        | WorldError::NoSuchWire(..) => PyKeyError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}
