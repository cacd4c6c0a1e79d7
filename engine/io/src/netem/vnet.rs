//! The offload header that goes before each frame of a socket with PACKET_VNET_HDR.
//!
//! Source: `struct virtio_net_hdr` in Linux' `virtio_net.h`; ten bytes in the machine's own byte order. Pure.

/// Bytes of the header.
pub(super) const LEN: usize = 10;

/// The checksum from `csum_start` on is still to be computed and stored at `csum_offset` behind it.
pub(super) const NEEDS_CSUM: u8 = 1;
pub(super) const GSO_NONE: u8 = 0;
pub(super) const GSO_TCPV4: u8 = 1;
pub(super) const GSO_TCPV6: u8 = 4;
pub(super) const GSO_UDP_L4: u8 = 5;
/// Added to a TCP type whose first packet carries CWR.
pub(super) const GSO_ECN: u8 = 0x80;

/// What a frame's checksum and segmentation still need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct VnetHeader {
    pub(super) flags: u8,
    pub(super) gso_type: u8,
    pub(super) hdr_len: u16,
    pub(super) gso_size: u16,
    pub(super) csum_start: u16,
    pub(super) csum_offset: u16,
}

impl VnetHeader {
    pub(super) fn parse(b: &[u8; LEN]) -> Self {
        let word = |at: usize| u16::from_ne_bytes([b[at], b[at + 1]]);
        Self {
            flags: b[0],
            gso_type: b[1],
            hdr_len: word(2),
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; LEN] {
        let mut b = [0; LEN];
        b[0] = self.flags;
        b[1] = self.gso_type;
        let words = [
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
        ];
        for (slot, word) in b[2..].chunks_exact_mut(2).zip(words) {
            slot.copy_from_slice(&word.to_ne_bytes());
        }
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_back() {
        let header = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: GSO_UDP_L4,
            hdr_len: 42,
            gso_size: 1_400,
            csum_start: 34,
            csum_offset: 6,
        };
        assert_eq!(VnetHeader::parse(&header.to_bytes()), header);
    }
}
