//! Socket addresses as the kernel writes them. Pure.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{
    AF_INET, AF_INET6, in_addr, in6_addr, sa_family_t, sockaddr_in, sockaddr_in6, socklen_t,
};

/// Either family; the larger of the two decides the size.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union Name {
    v4: sockaddr_in,
    v6: sockaddr_in6,
}

/// Length of [`Name`], as a receiving call wants it.
pub(super) const NAME_LEN: socklen_t = size_of::<Name>() as socklen_t;

pub(super) fn empty() -> Name {
    encode(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)).0
}

pub(super) fn encode(address: SocketAddr) -> (Name, socklen_t) {
    match address {
        SocketAddr::V4(v4) => {
            let name = sockaddr_in {
                sin_family: AF_INET as sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            (Name { v4: name }, size_of::<sockaddr_in>() as socklen_t)
        }
        SocketAddr::V6(v6) => {
            let name = sockaddr_in6 {
                sin6_family: AF_INET6 as sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            (Name { v6: name }, NAME_LEN)
        }
    }
}

/// `None`: neither IPv4 nor IPv6.
pub(super) fn decode(name: &Name) -> Option<SocketAddr> {
    // SAFETY: both fields are plain numbers, every bit pattern is valid, and every `Name` was made whole by `encode` before the kernel
    // wrote into it. The family is at the same place in both.
    unsafe {
        match libc::c_int::from(name.v4.sin_family) {
            AF_INET => {
                let ip = Ipv4Addr::from(name.v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(name.v4.sin_port)).into())
            }
            AF_INET6 => {
                let (ip, port) = (
                    Ipv6Addr::from(name.v6.sin6_addr.s6_addr),
                    u16::from_be(name.v6.sin6_port),
                );
                Some(SocketAddrV6::new(ip, port, 0, name.v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_was() {
        for text in ["198.51.100.7:51900", "[2001:db8::7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(decode(&encode(address).0), Some(address));
        }
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, 3).into();
        assert_eq!(decode(&encode(scoped).0), Some(scoped));
    }
}
