//! Noise IKpsk2 and the messages around it: what an initiator and a responder say, and the keys that follow. Pure.
//!
//! Randomness: the ephemeral key is drawn by the caller. `snow` never sees a generator, only that one key.
//!
//! Noise does not cover what stands before its messages (version, capabilities, indices). The pre-shared key that is mixed in is therefore one
//! derived from both of these headers: who changes a bit of them on the way makes the handshake fail, and nothing worse.

use overlayd_wire::handshake::{
    HEADER_LEN, INIT_LEN, INIT_NOISE_LEN, MAC_LEN, RESPONSE_LEN, RESPONSE_NOISE_LEN,
};
use overlayd_wire::{Init, InitPayload, Response, ResponsePayload};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use super::Layer;
use super::crypto::{Identity, Key, PublicKeys, mac256};
use crate::DropReason;
use crate::snapshot::Suite;

const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// No capability has a meaning yet.
const CAPABILITIES: u16 = 0;
const REFUSED: DropReason = DropReason::BadHandshake;

/// What both ends have to agree on before they begin.
#[derive(PartialEq, Eq)]
pub(super) struct Agreement {
    pub(super) network: u32,
    pub(super) suite: Suite,
    pub(super) psk: Zeroizing<Key>,
}

impl Agreement {
    fn prologue(&self, layer: Layer) -> [u8; 16] {
        let mut prologue = *b"overlayd/1\0\0\0\0\0\0";
        prologue[10..14].copy_from_slice(&self.network.to_be_bytes());
        prologue[14] = match self.suite {
            Suite::Aes256Gcm => 1,
            Suite::Chacha20Poly1305 => 2,
        };
        prologue[15] = match layer {
            Layer::Hop => 0,
            Layer::EndToEnd => 1,
        };
        prologue
    }
}

/// The two keys of a new session, as this end uses them.
pub(super) struct Keys {
    pub(super) send: Zeroizing<Key>,
    pub(super) receive: Zeroizing<Key>,
}

impl Keys {
    fn new((send, receive): (Key, Key)) -> Self {
        Self {
            send: Zeroizing::new(send),
            receive: Zeroizing::new(receive),
        }
    }
}

/// An init that was sent and waits for its answer.
pub(super) struct Initiator {
    noise: HandshakeState,
    /// The message, with mac1 and as yet without mac2.
    pub(super) message: [u8; INIT_LEN],
}

impl Initiator {
    pub(super) fn new(
        identity: &Identity,
        agreement: &Agreement,
        layer: Layer,
        peer: &PublicKeys,
        index: u32,
        payload: InitPayload,
        ephemeral: Key,
    ) -> Result<Self, DropReason> {
        let prologue = agreement.prologue(layer);
        let mut noise = builder(&prologue, &identity.private, ephemeral)?
            .remote_public_key(&peer.key)
            .and_then(Builder::build_initiator)
            .map_err(|_| REFUSED)?;
        let mut message = [0; INIT_LEN];
        message[..HEADER_LEN].copy_from_slice(&Init::header(
            CAPABILITIES,
            agreement.network,
            index,
        ));
        noise
            .write_message(
                &payload.to_bytes(),
                &mut message[HEADER_LEN..HEADER_LEN + INIT_NOISE_LEN],
            )
            .map_err(|_| REFUSED)?;
        put_mac1(&mut message, peer);
        Ok(Self { noise, message })
    }

    /// mac1 of the message: what a cookie reply has to know.
    pub(super) fn mac1(&self) -> [u8; MAC_LEN] {
        Init::parse(&self.message).map_or([0; MAC_LEN], |view| *view.macs.mac1)
    }

    /// Reads an answer. One that does not fit changes nothing: a better one may follow.
    pub(super) fn read(
        &mut self,
        agreement: &Agreement,
        response: &Response<'_>,
    ) -> Result<(ResponsePayload, Keys), DropReason> {
        let init = self.message.first_chunk().ok_or(REFUSED)?;
        mix_psk(&mut self.noise, agreement, init, response.macs.header)?;
        let mut payload = [0; RESPONSE_NOISE_LEN];
        let length = self
            .noise
            .read_message(response.noise, &mut payload)
            .map_err(|_| REFUSED)?;
        let payload = ResponsePayload::parse(payload.get(..length).ok_or(REFUSED)?)?;
        Ok((payload, Keys::new(self.noise.dangerously_get_raw_split())))
    }
}

/// An init that was received and is authentic as far as Noise can tell: a replay is not yet ruled out.
pub(super) struct Responder {
    noise: HandshakeState,
    init: [u8; HEADER_LEN],
    pub(super) payload: InitPayload,
    /// Static public key of the initiator.
    pub(super) peer: Key,
}

impl Responder {
    pub(super) fn new(
        identity: &Identity,
        agreement: &Agreement,
        layer: Layer,
        init: &Init<'_>,
        ephemeral: Key,
    ) -> Result<Self, DropReason> {
        let prologue = agreement.prologue(layer);
        let mut noise = builder(&prologue, &identity.private, ephemeral)?
            .build_responder()
            .map_err(|_| REFUSED)?;
        let mut payload = [0; INIT_NOISE_LEN];
        let length = noise
            .read_message(init.noise, &mut payload)
            .map_err(|_| REFUSED)?;
        let payload = InitPayload::parse(payload.get(..length).ok_or(REFUSED)?)?;
        let peer = noise
            .get_remote_static()
            .and_then(|key| key.try_into().ok())
            .ok_or(REFUSED)?;
        Ok(Self {
            noise,
            init: *init.macs.header,
            payload,
            peer,
        })
    }

    pub(super) fn respond(
        mut self,
        agreement: &Agreement,
        peer: &PublicKeys,
        index: u32,
        receiver: u32,
        payload: ResponsePayload,
    ) -> Result<([u8; RESPONSE_LEN], Keys), DropReason> {
        let header = Response::header(CAPABILITIES, index, receiver);
        mix_psk(&mut self.noise, agreement, &self.init, &header)?;
        let mut message = [0; RESPONSE_LEN];
        message[..HEADER_LEN].copy_from_slice(&header);
        self.noise
            .write_message(
                &payload.to_bytes(),
                &mut message[HEADER_LEN..HEADER_LEN + RESPONSE_NOISE_LEN],
            )
            .map_err(|_| REFUSED)?;
        put_mac1(&mut message, peer);
        let (theirs, ours) = self.noise.dangerously_get_raw_split();
        Ok((message, Keys::new((ours, theirs))))
    }
}

/// Sets the pre-shared key of this one handshake.
fn mix_psk(
    noise: &mut HandshakeState,
    agreement: &Agreement,
    init: &[u8; HEADER_LEN],
    response: &[u8; HEADER_LEN],
) -> Result<(), DropReason> {
    let psk = Zeroizing::new(mac256(&agreement.psk, &[init, response]));
    noise.set_psk(2, &psk[..]).map_err(|_| REFUSED)
}

/// mac1 over all before it; the 16 bytes behind it are left for mac2.
fn put_mac1<const N: usize>(message: &mut [u8; N], receiver: &PublicKeys) {
    let (before, macs) = message.split_at_mut(N - 2 * MAC_LEN);
    macs[..MAC_LEN].copy_from_slice(&receiver.mac1(before));
}

fn builder<'a>(
    prologue: &'a [u8],
    private: &'a Zeroizing<Key>,
    ephemeral: Key,
) -> Result<Builder<'a>, DropReason> {
    let pattern = PATTERN.parse().map_err(|_| REFUSED)?;
    Builder::with_resolver(
        pattern,
        Box::new(Resolver(Ephemeral(Some(Zeroizing::new(ephemeral))))),
    )
    .prologue(prologue)
    .and_then(|builder| builder.local_private_key(&private[..]))
    .map_err(|_| REFUSED)
}

/// The primitives of `snow`, with one ephemeral key in the place of its generator.
struct Resolver(Ephemeral);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn snow::types::Random>> {
        Some(Box::new(self.0.clone()))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Gives its key once; a handshake that asked twice would use it twice.
#[derive(Clone)]
struct Ephemeral(Option<Zeroizing<Key>>);

impl snow::types::Random for Ephemeral {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
        let key = self
            .0
            .take()
            .filter(|key| key.len() == out.len())
            .ok_or(snow::Error::Rng)?;
        out.copy_from_slice(&key[..]);
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/handshake.rs"]
mod tests;
