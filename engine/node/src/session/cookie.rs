//! Cookies: proof that an initiator receives what is sent to its address, without keeping state for it. Pure.

use overlayd_wire::CookieReply;
use overlayd_wire::handshake::{MAC_LEN, Macs};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::crypto::{self, Key, PublicKeys};
use super::{Random, Via};
use crate::Nanos;

/// A secret makes cookies for this long, and is understood for as long again.
pub(super) const SECRET_LIFE: Nanos = 120_000_000_000;

pub(super) type Cookie = [u8; MAC_LEN];

/// The responder's side.
pub(super) struct Cookies {
    random: Random,
    /// With the time from which it is used.
    secret: (Key, Nanos),
    previous: Option<Key>,
}

impl Cookies {
    pub(super) fn new(mut random: Random, now: Nanos) -> Self {
        let secret = (random.bytes(), now);
        Self {
            random,
            secret,
            previous: None,
        }
    }

    /// Whether the message bears the mac of a cookie that was made for its source.
    pub(super) fn is_shown(&mut self, now: Nanos, via: Via, macs: &Macs<'_>) -> bool {
        self.rotate(now);
        let shows = |secret: &Key| {
            let cookie = cookie(secret, via);
            crypto::equal(&mac2(&cookie, macs.before_mac2), macs.mac2)
        };
        macs.has_mac2() && (shows(&self.secret.0) || self.previous.as_ref().is_some_and(shows))
    }

    /// The message that asks the sender of `macs` to come again with a cookie. `receiver`: its sender index.
    pub(super) fn reply(
        &mut self,
        now: Nanos,
        via: Via,
        ours: &PublicKeys,
        macs: &Macs<'_>,
        receiver: u32,
    ) -> Option<Vec<u8>> {
        self.rotate(now);
        let [nonce, _] = halves(self.random.bytes());
        let mut text = cookie(&self.secret.0, via);
        let tag = key(&ours.cookie_key(&nonce))?
            .seal_in_place_separate_tag(zero_nonce(), Aad::from(macs.mac1), &mut text)
            .ok()?;
        let mut sealed = [0; 2 * MAC_LEN];
        sealed[..MAC_LEN].copy_from_slice(&text);
        sealed[MAC_LEN..].copy_from_slice(tag.as_ref());
        let mut message = Vec::new();
        CookieReply {
            receiver,
            nonce: &nonce,
            sealed: &sealed,
        }
        .emit(&mut message);
        Some(message)
    }

    fn rotate(&mut self, now: Nanos) {
        let age = now.saturating_sub(self.secret.1);
        if age >= SECRET_LIFE {
            let old = std::mem::replace(&mut self.secret, (self.random.bytes(), now));
            self.previous = (age < 2 * SECRET_LIFE).then_some(old.0);
        }
    }
}

/// The initiator's side: the cookie in a reply to the message with this mac1.
pub(super) fn open_reply(
    theirs: &PublicKeys,
    mac1: &[u8; MAC_LEN],
    reply: &CookieReply<'_>,
) -> Option<Cookie> {
    let mut sealed = *reply.sealed;
    let opened = key(&theirs.cookie_key(reply.nonce))?
        .open_in_place(zero_nonce(), Aad::from(mac1), &mut sealed)
        .ok()?;
    Cookie::try_from(&*opened).ok()
}

/// mac2 of a message, over all before it.
pub(super) fn mac2(cookie: &Cookie, before_mac2: &[u8]) -> [u8; MAC_LEN] {
    crypto::mac128(cookie, &[before_mac2])
}

fn cookie(secret: &Key, via: Via) -> Cookie {
    match via {
        Via::Underlay { remote, .. } => {
            let address = match remote.ip() {
                std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
                std::net::IpAddr::V6(address) => address,
            };
            crypto::mac128(secret, &[&address.octets(), &remote.port().to_be_bytes()])
        }
        Via::Route { peer } => crypto::mac128(secret, &[&peer.to_be_bytes()]),
    }
}

fn key(key: &Key) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key)
        .ok()
        .map(LessSafeKey::new)
}

/// Every key is used for one message: its own nonce went into the key.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn halves(bytes: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    for (half, chunk) in halves.iter_mut().zip(bytes.as_chunks().0) {
        *half = *chunk;
    }
    halves
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use overlayd_wire::Init;

    use super::*;

    fn via(address: &str) -> Via {
        Via::Underlay {
            uplink: 0,
            remote: address.parse().unwrap(),
        }
    }

    fn init(mac2_of: Option<&Cookie>) -> Vec<u8> {
        let mut message = Init::header(0, 1, 2).to_vec();
        message.resize(144, 5);
        let mac2 = mac2_of.map_or([0; 16], |cookie| mac2(cookie, &message));
        message.extend(mac2);
        message
    }

    /// Asks for a cookie from `from` at `now`; returns it.
    fn ask(cookies: &mut Cookies, now: Nanos, from: Via, ours: &PublicKeys) -> Cookie {
        let message = init(None);
        let macs = Init::parse(&message).unwrap().macs;
        let reply = cookies.reply(now, from, ours, &macs, 2).unwrap();
        open_reply(ours, macs.mac1, &CookieReply::parse(&reply).unwrap()).unwrap()
    }

    fn is_shown(cookies: &mut Cookies, now: Nanos, from: Via, cookie: &Cookie) -> bool {
        let message = init(Some(cookie));
        cookies.is_shown(now, from, &Init::parse(&message).unwrap().macs)
    }

    fn fixture() -> (Cookies, PublicKeys) {
        (
            Cookies::new(Random::new([1; 32]), 0),
            PublicKeys::new([2; 32]),
        )
    }

    #[test]
    fn a_cookie_opens_the_door_for_its_address_and_port_only() {
        let (mut cookies, ours) = fixture();
        let cookie = ask(&mut cookies, 0, via("192.0.2.1:1000"), &ours);
        assert!(is_shown(&mut cookies, 0, via("192.0.2.1:1000"), &cookie));
        assert!(!is_shown(&mut cookies, 0, via("192.0.2.1:1001"), &cookie));
        assert!(!is_shown(&mut cookies, 0, via("192.0.2.2:1000"), &cookie));
        assert!(!is_shown(&mut cookies, 0, Via::Route { peer: 1 }, &cookie));
        assert!(!is_shown(&mut cookies, 0, via("192.0.2.1:1000"), &[0; 16]));
    }

    #[test]
    fn no_mac2_is_no_cookie() {
        let (mut cookies, _) = fixture();
        let message = init(None);
        assert!(!cookies.is_shown(0, via("192.0.2.1:1"), &Init::parse(&message).unwrap().macs));
    }

    #[test]
    fn a_cookie_outlives_one_change_of_the_secret_but_not_two() {
        let (mut cookies, ours) = fixture();
        let from = via("[2001:db8::1]:9");
        let cookie = ask(&mut cookies, SECRET_LIFE - 1, from, &ours);
        assert!(is_shown(&mut cookies, SECRET_LIFE, from, &cookie));
        assert!(is_shown(&mut cookies, 2 * SECRET_LIFE - 1, from, &cookie));
        assert!(!is_shown(&mut cookies, 2 * SECRET_LIFE, from, &cookie));
        let cookie = ask(&mut cookies, 2 * SECRET_LIFE, from, &ours);
        assert!(!is_shown(&mut cookies, 5 * SECRET_LIFE, from, &cookie));
    }

    #[test]
    fn only_the_asker_with_the_right_mac1_can_open_the_reply() {
        let (mut cookies, ours) = fixture();
        let message = init(None);
        let macs = Init::parse(&message).unwrap().macs;
        let reply = cookies
            .reply(0, via("192.0.2.1:1"), &ours, &macs, 2)
            .unwrap();
        let reply = CookieReply::parse(&reply).unwrap();
        assert!(open_reply(&ours, macs.mac1, &reply).is_some());
        assert!(open_reply(&ours, &[0; 16], &reply).is_none());
        assert!(open_reply(&PublicKeys::new([3; 32]), macs.mac1, &reply).is_none());
    }
}
