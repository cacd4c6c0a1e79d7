//! For tests: an offload of the kernel that works for a while and then fails, as some kernels' have. Pure.

use std::io;

/// Which offloads fail, and after how many uses; 0: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Writes of super-packets to the TUN (EINVAL).
    pub tun_segmentation: u64,
    /// Sends of runs (EIO).
    pub udp_gso: u64,
}

/// Of one offload.
#[derive(Debug)]
pub(crate) struct Fault {
    uses_left: Option<u64>,
}

impl Fault {
    pub(crate) fn after(uses: u64) -> Self {
        Self {
            uses_left: (uses > 0).then_some(uses),
        }
    }

    /// To be asked before each use: whether it fails, with `code`.
    pub(crate) fn strike(&mut self, code: libc::c_int) -> io::Result<()> {
        match &mut self.uses_left {
            Some(0) => Err(io::Error::from_raw_os_error(code)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn it_strikes_after_so_many_uses_and_then_always() {
        let mut fault = Fault::after(2);
        let struck: Vec<bool> = (0..4).map(|_| fault.strike(libc::EIO).is_err()).collect();
        assert_eq!(struck, [false, false, true, true]);
        let mut none = Fault::after(0);
        assert!((0..4).all(|_| none.strike(libc::EIO).is_ok()));
    }
}
