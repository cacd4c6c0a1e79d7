//! The offload header before each packet of a TUN with IFF_VNET_HDR and each frame of a socket with PACKET_VNET_HDR.
//!
//! Source: `struct virtio_net_hdr` in Linux' `virtio_net.h`; ten bytes in the machine's own byte order. Pure.

/// Bytes of the header.
pub(crate) const LEN: usize = 10;

/// The checksum from `csum_start` on is still to be computed and stored at `csum_offset` behind it.
pub(crate) const NEEDS_CSUM: u8 = 1;
pub(crate) const GSO_NONE: u8 = 0;
pub(crate) const GSO_TCPV4: u8 = 1;
pub(crate) const GSO_TCPV6: u8 = 4;
pub(crate) const GSO_UDP_L4: u8 = 5;
/// Added to a TCP type whose first packet carries CWR.
pub(crate) const GSO_ECN: u8 = 0x80;

/// What a frame's checksum and segmentation still need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VnetHeader {
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    pub(crate) hdr_len: u16,
    pub(crate) gso_size: u16,
    pub(crate) csum_start: u16,
    pub(crate) csum_offset: u16,
}

impl VnetHeader {
    pub(crate) fn parse(b: &[u8; LEN]) -> Self {
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

    pub(crate) fn to_bytes(self) -> [u8; LEN] {
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
