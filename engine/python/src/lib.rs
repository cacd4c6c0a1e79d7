//! The native module `overlayd._engine`: a thin PyO3 layer over the engine's crates.
//!
//! What lives here: conversions between Python and the crates, and nothing else. No protocol, no policy, no I/O of its own.
//! Called by `overlayd.daemon` and `sim`. The typed stub is `overlayd/_engine.pyi`; `make check` compares the two.

mod engine;
mod netem;
mod paths;
mod worker;
mod world;

use pyo3::prelude::*;

/// The version of the engine, the same as the distribution's.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(version, module)?)?;
    engine::register(module)?;
    netem::register(module)?;
    paths::register(module)?;
    world::register(module)
}
