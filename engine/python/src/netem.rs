//! The live link emulator as a Python class.
//!
//! What lives here: conversions between JSON text and `overlayd_io::netem`. Called by `sim.emulator`, which owns the
//! process, and by nobody else. The carrying thread never takes the GIL.

use overlayd_io::netem::{Config, Emulator, EmulatorError};
use overlayd_netem::Settings;
use pyo3::exceptions::{PyKeyError, PyOSError, PyValueError};
use pyo3::prelude::*;

/// Adds this file's classes to the native module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<LinkEmulator>()
}

/// Links between interfaces of the calling thread's network namespace, running until `stop`.
///
/// `config` is JSON: `{"seed": int, "directions": [{"name", "from", "to", "settings": {…}}]}`, with the settings of
/// `overlayd_netem::Settings`. Raises ValueError where it is faulty, OSError where an interface cannot be opened.
#[pyclass(frozen, module = "overlayd._engine")]
struct LinkEmulator {
    emulator: Emulator,
}

#[pymethods]
impl LinkEmulator {
    #[new]
    fn new(py: Python<'_>, config: &str) -> PyResult<Self> {
        let emulator = py
            .detach(|| Emulator::start(&Config::from_json(config)?))
            .map_err(to_exception)?;
        Ok(Self { emulator })
    }

    /// Changes one direction while it runs; raises KeyError for an unknown name, ValueError for faulty settings.
    fn set(&self, py: Python<'_>, name: &str, settings: &str) -> PyResult<()> {
        let settings: Settings = serde_json::from_str(settings)
            .map_err(|error| PyValueError::new_err(format!("link {name}: {error}")))?;
        py.detach(|| self.emulator.set(name, settings))
            .map_err(to_exception)
    }

    /// Counters of every direction as JSON, an object by name.
    fn counters(&self, py: Python<'_>) -> PyResult<String> {
        let counters = py
            .detach(|| self.emulator.counters())
            .map_err(to_exception)?;
        let object: serde_json::Map<_, _> = counters
            .into_iter()
            .filter_map(|(name, counters)| {
                Some((name.to_owned(), serde_json::to_value(counters).ok()?))
            })
            .collect();
        Ok(serde_json::Value::Object(object).to_string())
    }

    /// Stops carrying packets; raises OSError with what had ended the thread before, if anything had.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.emulator.stop()).map_err(to_exception)
    }
}

fn to_exception(error: EmulatorError) -> PyErr {
    let text = error.to_string();
    match error {
        EmulatorError::Config(_) | EmulatorError::Settings(_) => PyValueError::new_err(text),
        EmulatorError::UnknownLink { name } => PyKeyError::new_err(name),
        EmulatorError::Interface { .. } | EmulatorError::Stopped | EmulatorError::Io(_) => {
            PyOSError::new_err(text)
        }
    }
}
