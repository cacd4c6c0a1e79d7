//! What the emulator is told at its start: directions between interfaces, each with its settings. Pure.

use overlayd_netem::{Settings, SettingsError};
use serde::Deserialize;
use std::collections::HashSet;
use std::fmt;

/// All links of one emulator.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// All that happens by chance follows from it.
    pub seed: u64,
    /// Dense traffic is carried in groups this far apart: less work against up to this much lateness.
    #[serde(default = "quantum_ns")]
    pub quantum_ns: u64,
    pub directions: Vec<Direction>,
}

/// One way from an interface to another.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Direction {
    /// What the direction is called in [`super::Emulator::set`]; its random streams follow from it and the seed.
    pub name: String,
    /// The interface whose received frames enter the link.
    pub from: String,
    /// The interface that sends them when they have arrived.
    pub to: String,
    #[serde(default)]
    pub settings: Settings,
}

/// See the ADR on the live link emulator for what it saves.
fn quantum_ns() -> u64 {
    250_000
}

impl Config {
    /// Reads and checks a JSON document.
    ///
    /// # Errors
    /// Text that is not such a document, settings out of bounds, a name or an entry used twice.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(text).map_err(ConfigError::Json)?;
        let (mut names, mut entries) = (HashSet::new(), HashSet::new());
        for direction in &config.directions {
            direction
                .settings
                .validate()
                .map_err(|error| ConfigError::Settings {
                    name: direction.name.clone(),
                    error,
                })?;
            if !names.insert(&direction.name) {
                return Err(ConfigError::NameTwice {
                    name: direction.name.clone(),
                });
            }
            if !entries.insert(&direction.from) {
                return Err(ConfigError::EntryTwice {
                    interface: direction.from.clone(),
                });
            }
        }
        Ok(config)
    }

    /// The seed of one direction: its name's hash (FNV-1a) on the common seed, so that a link added
    /// elsewhere changes nothing here.
    pub(super) fn seed_of(&self, direction: &Direction) -> u64 {
        direction
            .name
            .bytes()
            .fold(self.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
    }
}

/// Why a configuration was refused.
#[derive(Debug)]
pub enum ConfigError {
    /// Not JSON, or not of this shape.
    Json(serde_json::Error),
    /// Settings out of their bounds.
    Settings { name: String, error: SettingsError },
    /// Two directions of one name.
    NameTwice { name: String },
    /// Two directions that start from one interface.
    EntryTwice { interface: String },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "emulator configuration: {error}"),
            Self::Settings { name, error } => write!(f, "link {name}: {error}"),
            Self::NameTwice { name } => write!(f, "link {name} is given twice"),
            Self::EntryTwice { interface } => {
                write!(f, "two links start from interface {interface}")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn document(first: &str, second: &str, settings: &str) -> String {
        format!(
            r#"{{"seed": 1, "directions": [
                {{"name": "a->b", "from": "a1", "to": "b1", "settings": {settings}}},
                {{"name": "{first}", "from": "{second}", "to": "a1"}}]}}"#
        )
    }

    #[test]
    fn a_sound_document_is_read_and_its_directions_have_seeds_of_their_own() {
        let config = Config::from_json(&document("b->a", "b1", r#"{"delay_ns": 7}"#)).unwrap();
        let [there, back] = config.directions.as_slice() else {
            unreachable!()
        };
        assert_eq!(
            (there.settings.delay_ns, back.settings),
            (7, Settings::default())
        );
        assert_ne!(config.seed_of(there), config.seed_of(back));
    }

    #[test]
    fn faults_are_named() {
        let cases = [
            (document("a->b", "b1", "{}"), "a->b is given twice"),
            (document("b->a", "a1", "{}"), "interface a1"),
            (
                document("b->a", "b1", r#"{"jitter_ns": 5}"#),
                "link a->b: jitter",
            ),
            (document("b->a", "b1", r#"{"dealy_ns": 5}"#), "dealy_ns"),
        ];
        for (text, part) in cases {
            let error = Config::from_json(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
