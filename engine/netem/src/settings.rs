//! What a link direction does to packets, as plain data with its bounds.
//!
//! Units are nanoseconds, bits per second, bytes and ratios 0..1; the words of a lab file ("20ms", "3%")
//! are read elsewhere (`sim/lab`). Pure; called by whoever makes or changes a [`Link`](crate::Link).

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest delay that is accepted: ten minutes, a guard against a wrong unit.
pub const DELAY_MAX_NS: u64 = 600_000_000_000;

/// Impairments of one link direction. The default is a perfect wire.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Mean one-way delay, after the rate queue.
    pub delay_ns: u64,
    /// Largest deviation from the mean delay, to either side; not above `delay_ns`.
    pub jitter_ns: u64,
    /// Whether jitter may reorder: each packet then draws its own delay; else delay varies continuously.
    pub reorder: bool,
    /// How packets are lost on the way.
    pub loss: Loss,
    /// Rate of the bottleneck in bits of layer-3 packets per second; `None` for no limit.
    pub rate_bps: Option<u64>,
    /// Room of the queue before the bottleneck in bytes; what finds no room is dropped (tail drop).
    pub queue_bytes: u64,
    /// Longest layer-3 packet that passes, in bytes; `None` for no limit. Longer ones vanish without a word.
    pub mtu: Option<u32>,
    /// Share of delivered packets that arrive twice.
    pub duplicate_ratio: f64,
    /// Share of delivered packets that arrive with one bit flipped.
    pub corrupt_ratio: f64,
    /// Whether every packet vanishes.
    pub blackhole: bool,
}

/// How a link direction loses packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Nothing is lost.
    #[default]
    None,
    /// Each packet is lost by itself.
    Independent {
        /// Probability of losing a packet.
        ratio: f64,
    },
    /// Two states that alternate in time, whatever the traffic (Gilbert 1960, Elliott 1963), with
    /// exponentially distributed stays. Continuous time: a burst has a duration, not a number of packets,
    /// so faster traffic loses more packets in a row.
    GilbertElliott {
        /// Mean stay in the good state.
        mean_good_ns: u64,
        /// Mean stay in the bad state.
        mean_bad_ns: u64,
        /// Probability of losing a packet in the good state.
        loss_good: f64,
        /// Probability of losing a packet in the bad state.
        loss_bad: f64,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delay_ns: 0,
            jitter_ns: 0,
            reorder: false,
            loss: Loss::None,
            rate_bps: None,
            queue_bytes: 256 * 1024,
            mtu: None,
            duplicate_ratio: 0.0,
            corrupt_ratio: 0.0,
            blackhole: false,
        }
    }
}

impl Settings {
    /// No packet arrives sooner after it was offered.
    pub fn least_delay_ns(&self) -> u64 {
        self.delay_ns - self.jitter_ns.min(self.delay_ns)
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first value found out of its bounds.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self.delay_ns > DELAY_MAX_NS {
            return Err(SettingsError::DelayTooLong {
                delay_ns: self.delay_ns,
            });
        }
        if self.jitter_ns > self.delay_ns {
            return Err(SettingsError::JitterAboveDelay {
                jitter_ns: self.jitter_ns,
                delay_ns: self.delay_ns,
            });
        }
        ratio("duplicate_ratio", self.duplicate_ratio)?;
        ratio("corrupt_ratio", self.corrupt_ratio)?;
        positive("rate_bps", self.rate_bps.unwrap_or(1))?;
        positive("queue_bytes", self.queue_bytes)?;
        positive("mtu", u64::from(self.mtu.unwrap_or(1)))?;
        match self.loss {
            Loss::None => Ok(()),
            Loss::Independent { ratio: value } => ratio("loss.ratio", value),
            Loss::GilbertElliott {
                mean_good_ns,
                mean_bad_ns,
                loss_good,
                loss_bad,
            } => {
                positive("loss.mean_good_ns", mean_good_ns)?;
                positive("loss.mean_bad_ns", mean_bad_ns)?;
                ratio("loss.loss_good", loss_good)?;
                ratio("loss.loss_bad", loss_bad)
            }
        }
    }
}

impl Loss {
    /// The share of packets lost in the long run.
    pub fn mean_ratio(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Independent { ratio } => ratio,
            Self::GilbertElliott {
                mean_good_ns,
                mean_bad_ns,
                loss_good,
                loss_bad,
            } => {
                let (good, bad) = (mean_good_ns as f64, mean_bad_ns as f64);
                (good * loss_good + bad * loss_bad) / (good + bad)
            }
        }
    }
}

/// A value of [`Settings`] that is out of its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingsError {
    /// Longer than [`DELAY_MAX_NS`].
    DelayTooLong { delay_ns: u64 },
    /// A packet would have to arrive before it was sent.
    JitterAboveDelay { jitter_ns: u64, delay_ns: u64 },
    /// Not a number in 0..=1.
    NotARatio { field: &'static str, value: f64 },
    /// Zero where only more makes sense.
    Zero { field: &'static str },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DelayTooLong { delay_ns } => {
                write!(
                    f,
                    "delay of {delay_ns} ns is above the longest, {DELAY_MAX_NS} ns"
                )
            }
            Self::JitterAboveDelay {
                jitter_ns,
                delay_ns,
            } => {
                write!(
                    f,
                    "jitter of {jitter_ns} ns is above the delay, {delay_ns} ns"
                )
            }
            Self::NotARatio { field, value } => {
                write!(f, "{field} is {value}, not a ratio from 0 to 1")
            }
            Self::Zero { field } => write!(f, "{field} must be above zero"),
        }
    }
}

impl std::error::Error for SettingsError {}

fn ratio(field: &'static str, value: f64) -> Result<(), SettingsError> {
    // NaN is in no range and so refused as well.
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(SettingsError::NotARatio { field, value })
    }
}

fn positive(field: &'static str, value: u64) -> Result<(), SettingsError> {
    if value > 0 {
        Ok(())
    } else {
        Err(SettingsError::Zero { field })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn default_is_valid_and_survives_json() {
        let settings = Settings {
            loss: Loss::GilbertElliott {
                mean_good_ns: 5,
                mean_bad_ns: 7,
                loss_good: 0.0,
                loss_bad: 1.0,
            },
            ..Settings::default()
        };
        settings.validate().unwrap();
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    }

    #[test]
    fn missing_fields_take_their_defaults_and_unknown_ones_are_refused() {
        let settings: Settings = serde_json::from_str(r#"{"delay_ns": 5}"#).unwrap();
        assert_eq!(
            settings,
            Settings {
                delay_ns: 5,
                ..Settings::default()
            }
        );
        assert!(serde_json::from_str::<Settings>(r#"{"delay": 5}"#).is_err());
    }

    #[test]
    fn values_out_of_bounds_are_refused_by_name() {
        let base = Settings {
            delay_ns: 10,
            ..Settings::default()
        };
        let cases = [
            (
                Settings {
                    jitter_ns: 11,
                    ..base
                },
                "jitter",
            ),
            (
                Settings {
                    delay_ns: DELAY_MAX_NS + 1,
                    ..base
                },
                "delay",
            ),
            (
                Settings {
                    duplicate_ratio: -0.1,
                    ..base
                },
                "duplicate_ratio",
            ),
            (
                Settings {
                    corrupt_ratio: f64::NAN,
                    ..base
                },
                "corrupt_ratio",
            ),
            (
                Settings {
                    rate_bps: Some(0),
                    ..base
                },
                "rate_bps",
            ),
            (
                Settings {
                    queue_bytes: 0,
                    ..base
                },
                "queue_bytes",
            ),
            (
                Settings {
                    mtu: Some(0),
                    ..base
                },
                "mtu",
            ),
            (
                Settings {
                    loss: Loss::Independent { ratio: 1.5 },
                    ..base
                },
                "loss.ratio",
            ),
        ];
        for (settings, word) in cases {
            let text = settings.validate().unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn mean_loss_weighs_the_states_by_their_stay() {
        let loss = Loss::GilbertElliott {
            mean_good_ns: 900,
            mean_bad_ns: 100,
            loss_good: 0.0,
            loss_bad: 0.5,
        };
        assert!((loss.mean_ratio() - 0.05).abs() < 1e-12);
    }
}
