//! What the live emulator refuses or cannot do, in words.

use std::{fmt, io};

use overlayd_netem::SettingsError;

use super::config::ConfigError;

/// Why the emulator did not do what it was asked.
#[derive(Debug)]
pub enum EmulatorError {
    /// The configuration was refused.
    Config(ConfigError),
    /// An interface could not be opened.
    Interface { interface: String, error: io::Error },
    /// No direction has this name.
    UnknownLink { name: String },
    /// Settings out of their bounds.
    Settings(SettingsError),
    /// The emulator runs no more.
    Stopped,
    /// The kernel refused something else.
    Io(io::Error),
}

impl fmt::Display for EmulatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Interface { interface, error } => write!(f, "interface {interface}: {error}"),
            Self::UnknownLink { name } => write!(f, "no link is named {name}"),
            Self::Settings(error) => error.fmt(f),
            Self::Stopped => write!(f, "the emulator has stopped"),
            Self::Io(error) => write!(f, "link emulator: {error}"),
        }
    }
}

impl std::error::Error for EmulatorError {}

impl From<ConfigError> for EmulatorError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
