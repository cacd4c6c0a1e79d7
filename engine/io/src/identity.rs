//! The public half of a node's key, which the node's shell tells to others. Pure.

use std::fmt;

/// Not a private key of X25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a private key of X25519 has 32 bytes")
    }
}

impl std::error::Error for KeyError {}

/// The X25519 public key that belongs to `private` (RFC 7748).
pub fn public_key(private: &[u8]) -> Result<[u8; 32], KeyError> {
    let private = private.try_into().map_err(|_| KeyError)?;
    Ok(overlayd_node::session::public_key(private))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_is_that_of_the_rfc() {
        // Section 5.2, one iteration: the base point is 9, and so is the first key.
        let mut private = [0; 32];
        private[0] = 9;
        let public = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
        let hex: String = public_key(&private)
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, public);
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert_eq!(public_key(&[1; 31]), Err(KeyError));
    }
}
