//! What a world was asked to do and cannot.

use std::fmt;
use std::net::SocketAddr;

use overlayd_netem::SettingsError;
use overlayd_node::{Nanos, SnapshotError};

use crate::NodeIndex;

#[derive(Debug)]
pub enum WorldError {
    NoSuchNode(NodeIndex),
    NodeStopped(NodeIndex),
    NoSuchStream(usize),
    EndpointTaken(SocketAddr),
    NoSuchWire(SocketAddr, SocketAddr),
    Settings(SettingsError),
    Snapshot(SnapshotError),
    /// The node at this index asks to be called again and again without time moving on.
    Spinning(NodeIndex, Nanos),
    Encoding(serde_json::Error),
    /// A thread that ran a region panicked.
    Panicked,
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchNode(index) => write!(f, "there is no node {index} in this world"),
            Self::NodeStopped(index) => write!(f, "node {index} is stopped; start it first"),
            Self::NoSuchStream(index) => write!(f, "there is no stream {index} in this world"),
            Self::EndpointTaken(endpoint) => {
                write!(f, "{endpoint} already belongs to another node")
            }
            Self::NoSuchWire(from, to) => write!(f, "there is no wire from {from} to {to}"),
            Self::Settings(error) => error.fmt(f),
            Self::Snapshot(error) => write!(f, "{}: {}", error.field, error.problem),
            Self::Spinning(index, at) => write!(
                f,
                "node {index} asks to be called again and again at {at} ns without time moving on"
            ),
            Self::Encoding(error) => error.fmt(f),
            Self::Panicked => write!(f, "the world panicked"),
        }
    }
}

impl std::error::Error for WorldError {}
