//! The engine of a host as a Python class, and what is needed to make one.
//!
//! What lives here: conversions between Python, JSON and `overlayd_io::Engine`. Called by `overlayd.daemon.engine`. The packet threads
//! never take the GIL.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use overlayd_io::{
    ApplyError, Descriptors, Engine as Running, EngineConfig, Faults, TunOffloads, UdpOffloads,
};
use overlayd_node::{Nanos, Snapshot};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(
    _engine,
    SnapshotRefused,
    PyValueError,
    "A snapshot was wrong: (field, problem)."
);

/// Adds this file's classes and functions to the native module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Engine>()?;
    module.add("SnapshotRefused", module.py().get_type::<SnapshotRefused>())?;
    module.add_function(wrap_pyfunction!(open_tun, module)?)?;
    module.add_function(wrap_pyfunction!(open_udp, module)?)?;
    module.add_function(wrap_pyfunction!(public_key, module)?)
}

/// Opens a queue of a TUN interface, which is made if it is not there.
#[pyfunction]
fn open_tun(name: &str) -> PyResult<RawFd> {
    overlayd_io::open_tun(name)
        .map(IntoRawFd::into_raw_fd)
        .map_err(os_error)
}

/// Opens and binds the UDP socket of an uplink.
#[pyfunction]
fn open_udp(address: &str, port: u16) -> PyResult<RawFd> {
    let ip: IpAddr = address
        .parse()
        .map_err(|_| PyValueError::new_err(format!("{address:?} is not an IP address")))?;
    overlayd_io::open_udp(SocketAddr::new(ip, port))
        .map(IntoRawFd::into_raw_fd)
        .map_err(os_error)
}

/// The X25519 public key of a private one.
#[pyfunction]
fn public_key(private_key: &[u8]) -> PyResult<[u8; 32]> {
    overlayd_io::public_key(private_key).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// A running engine. Descriptors stay the caller's: the engine works on duplicates and closes those at `stop`.
#[pyclass(frozen, module = "overlayd._engine")]
struct Engine {
    running: Running,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (
        shards, private_key, boot, *, key_log = false,
        tun_checksum = true, tun_segmentation = true, udp_gso = true, udp_gro = true,
        tun_udp_segmentation = true, spin_us = 0, fault_tun_segmentation = 0, fault_udp_gso = 0
    ))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        shards: Vec<(RawFd, Vec<RawFd>)>,
        private_key: [u8; 32],
        boot: u64,
        key_log: bool,
        tun_checksum: bool,
        tun_segmentation: bool,
        udp_gso: bool,
        udp_gro: bool,
        tun_udp_segmentation: bool,
        spin_us: u32,
        fault_tun_segmentation: u64,
        fault_udp_gso: u64,
    ) -> PyResult<Self> {
        let config = EngineConfig {
            shards: shards
                .into_iter()
                .map(|(tun, uplinks)| Descriptors { tun, uplinks })
                .collect(),
            tun_offloads: TunOffloads {
                checksum: tun_checksum,
                segmentation: tun_segmentation,
                udp_segmentation: tun_udp_segmentation,
            },
            udp_offloads: UdpOffloads {
                gso: udp_gso,
                gro: udp_gro,
            },
            faults: Faults {
                tun_segmentation: fault_tun_segmentation,
                udp_gso: fault_udp_gso,
            },
            spin: Nanos::from(spin_us) * 1000,
            private_key,
            boot,
            key_log,
        };
        Ok(Self {
            running: py.detach(|| Running::start(config)).map_err(os_error)?,
        })
    }

    /// Puts a snapshot (JSON) in force, whole or not at all.
    fn apply(&self, py: Python<'_>, snapshot: &[u8]) -> PyResult<()> {
        let result = py.detach(|| {
            let snapshot: Snapshot = serde_json::from_slice(snapshot).map_err(Failure::Json)?;
            self.running.apply(snapshot).map_err(Failure::Apply)
        });
        result.map_err(|failure| match failure {
            Failure::Json(error) => SnapshotRefused::new_err(("snapshot", error.to_string())),
            Failure::Apply(ApplyError::Refused(error)) => {
                SnapshotRefused::new_err((error.field, error.problem))
            }
            Failure::Apply(error @ ApplyError::Stopped) => {
                PyRuntimeError::new_err(error.to_string())
            }
        })
    }

    /// A descriptor that is readable while events wait. It is the engine's own: poll it, and do not close it.
    fn event_fd(&self) -> RawFd {
        self.running.event_fd().as_raw_fd()
    }

    /// What has happened since the last call, oldest first: JSON each.
    fn events(&self, py: Python<'_>) -> PyResult<Vec<Vec<u8>>> {
        let events = py.detach(|| {
            self.running
                .events()
                .iter()
                .map(serde_json::to_vec)
                .collect::<Result<_, _>>()
        });
        events.map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// Totals since the start as JSON: for each shard those of the node and of its shell.
    fn counters(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let totals = py
            .detach(|| self.running.counters())
            .ok_or_else(|| PyRuntimeError::new_err("the engine was stopped"))?;
        serde_json::to_vec(&totals).map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// Of each shard: grows at least once a second while its thread is well.
    fn ticks(&self) -> Vec<u64> {
        self.running.ticks()
    }

    /// Ends the packet threads. Again: nothing.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.running.stop());
    }
}

enum Failure {
    Json(serde_json::Error),
    Apply(ApplyError),
}

/// With its number, so that Python makes the right subclass of OSError of it.
fn os_error(error: io::Error) -> PyErr {
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let text = text
                .split(" (os error")
                .next()
                .unwrap_or_default()
                .to_owned();
            PyOSError::new_err((code, text))
        }
        None => PyValueError::new_err(error.to_string()),
    }
}
