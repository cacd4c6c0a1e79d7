//! The handshake against published vectors, and what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use super::*;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// From the vectors of Cacophony (Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s).
#[test]
fn noise_messages_and_keys_are_those_of_the_published_vector() {
    let psk: Key = hex("54686973206973206d7920417573747269616e20706572737065637469766521");
    let prologue = hex::<9>("4a6f686e2047616c74");
    let init_static = Zeroizing::new(hex(
        "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
    ));
    let resp_static = Zeroizing::new(hex(
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
    ));
    let resp_public = hex::<32>("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62");
    assert_eq!(super::super::crypto::public_key(&resp_static), resp_public);
    let init_ephemeral = hex("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a");
    let resp_ephemeral = hex("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b");

    let mut initiator = builder(&prologue, &init_static, init_ephemeral)
        .unwrap()
        .remote_public_key(&resp_public)
        .unwrap()
        .build_initiator()
        .unwrap();
    let mut responder = builder(&prologue, &resp_static, resp_ephemeral)
        .unwrap()
        .build_responder()
        .unwrap();

    initiator.set_psk(2, &psk).unwrap();
    responder.set_psk(2, &psk).unwrap();
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    let length = initiator
        .write_message(&hex::<16>("4c756477696720766f6e204d69736573"), &mut message)
        .unwrap();
    assert_eq!(
        hex_of(&message[..length]),
        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944001e21de9f98ddd8e2ad57527207feb5\
         6253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab5000980c84831215f2441eba616548e832985\
         464cf17e51ee93109008399a21f7e13f"
    );
    responder
        .read_message(&message[..length], &mut payload)
        .unwrap();
    let length = responder
        .write_message(&hex::<15>("4d757272617920526f746862617264"), &mut message)
        .unwrap();
    assert_eq!(
        hex_of(&message[..length]),
        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843cb765f2caef0751b8f007572dab03222\
         17755c0632f365717edbf34d33e87a"
    );
    initiator
        .read_message(&message[..length], &mut payload)
        .unwrap();
    assert_eq!(
        hex_of(initiator.get_handshake_hash()),
        "f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5"
    );
    let (send, receive) = initiator.dangerously_get_raw_split();
    assert_eq!((send, receive), responder.dangerously_get_raw_split());

    // The vector's transport messages, sealed with the raw keys: the first two of the session, one in each direction.
    let sealed = |key: &Key, plaintext: &[u8]| {
        let mut cipher = DefaultResolver
            .resolve_cipher(&CipherChoice::ChaChaPoly)
            .unwrap();
        cipher.set(key);
        let mut out = [0; 64];
        let length = cipher.encrypt(0, &[], plaintext, &mut out);
        hex_of(&out[..length])
    };
    assert_eq!(
        sealed(&send, &hex::<11>("462e20412e20486179656b")),
        "8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"
    );
    assert_eq!(
        sealed(&receive, &hex::<11>("4361726c204d656e676572")),
        "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"
    );
}

struct End {
    identity: Identity,
    agreement: Agreement,
}

fn end(private: u8) -> End {
    let agreement = Agreement {
        network: 7,
        suite: Suite::Aes256Gcm,
        psk: Zeroizing::new([9; 32]),
    };
    End {
        identity: Identity::new([private; 32]),
        agreement,
    }
}

const HELLO: InitPayload = InitPayload {
    node: 1,
    lane: 2,
    boot: 3,
    stamp: 4,
};
const ANSWER: ResponsePayload = ResponsePayload {
    node: 5,
    lane: 2,
    boot: 6,
    observed_port: 7,
};

fn initiate(a: &End, b: &End, layer: Layer) -> Initiator {
    Initiator::new(
        &a.identity,
        &a.agreement,
        layer,
        &b.identity.public,
        0xaa,
        HELLO,
        [0x11; 32],
    )
    .unwrap()
}

fn receive(b: &End, message: &[u8], layer: Layer) -> Result<Responder, DropReason> {
    let init = Init::parse(message).unwrap();
    Responder::new(&b.identity, &b.agreement, layer, &init, [0x22; 32])
}

#[test]
fn both_ends_learn_the_same_keys_and_each_other() {
    let (a, b) = (end(1), end(2));
    let mut initiator = initiate(&a, &b, Layer::Hop);
    let responder = receive(&b, &initiator.message, Layer::Hop).unwrap();
    assert_eq!(
        (responder.payload, responder.peer),
        (HELLO, a.identity.public.key)
    );
    let (message, keys_b) = responder
        .respond(&b.agreement, &a.identity.public, 0xbb, 0xaa, ANSWER)
        .unwrap();
    let response = Response::parse(&message).unwrap();
    assert_eq!((response.sender, response.receiver), (0xbb, 0xaa));
    let (payload, keys_a) = initiator.read(&a.agreement, &response).unwrap();
    assert_eq!(payload, ANSWER);
    assert_eq!(
        (&keys_a.send, &keys_a.receive),
        (&keys_b.receive, &keys_b.send)
    );
    assert_ne!(keys_a.send, keys_a.receive);
}

#[test]
fn macs_prove_knowledge_of_the_receivers_key() {
    let (a, b) = (end(1), end(2));
    let initiator = initiate(&a, &b, Layer::Hop);
    let init = Init::parse(&initiator.message).unwrap();
    assert_eq!(
        *init.macs.mac1,
        b.identity.public.mac1(init.macs.before_mac1)
    );
    assert_eq!(*init.macs.mac1, initiator.mac1());
    assert_ne!(
        *init.macs.mac1,
        a.identity.public.mac1(init.macs.before_mac1)
    );
    assert!(!init.macs.has_mac2());
}

#[test]
fn another_network_suite_scope_or_receiver_is_refused() {
    let (a, b) = (end(1), end(2));
    let message = initiate(&a, &b, Layer::Hop).message;
    assert!(receive(&b, &message, Layer::EndToEnd).is_err());
    assert!(receive(&end(3), &message, Layer::Hop).is_err());
    let mut other = end(2);
    other.agreement.network = 8;
    assert!(receive(&other, &message, Layer::Hop).is_err());
    let mut other = end(2);
    other.agreement.suite = Suite::Chacha20Poly1305;
    assert!(receive(&other, &message, Layer::Hop).is_err());
    assert!(receive(&b, &message, Layer::Hop).is_ok());
}

#[test]
fn another_pre_shared_key_is_found_by_the_initiator() {
    let (a, mut b) = (end(1), end(2));
    b.agreement.psk = Zeroizing::new([8; 32]);
    let mut initiator = initiate(&a, &b, Layer::Hop);
    let responder = receive(&b, &initiator.message, Layer::Hop).unwrap();
    let (message, _) = responder
        .respond(&b.agreement, &a.identity.public, 1, 2, ANSWER)
        .unwrap();
    assert_eq!(
        initiator
            .read(&a.agreement, &Response::parse(&message).unwrap())
            .err(),
        Some(REFUSED)
    );
}

#[test]
fn a_forged_answer_does_not_spoil_the_true_one() {
    let (a, b) = (end(1), end(2));
    let mut initiator = initiate(&a, &b, Layer::Hop);
    let responder = receive(&b, &initiator.message, Layer::Hop).unwrap();
    let (message, keys) = responder
        .respond(&b.agreement, &a.identity.public, 1, 2, ANSWER)
        .unwrap();
    for at in [2, 4, 7, 8, 11, 12, 43, 44, 75] {
        let mut forged = message;
        forged[at] ^= 1;
        assert_eq!(
            initiator
                .read(&a.agreement, &Response::parse(&forged).unwrap())
                .err(),
            Some(REFUSED)
        );
    }
    let (_, read) = initiator
        .read(&a.agreement, &Response::parse(&message).unwrap())
        .unwrap();
    assert_eq!(read.send, keys.receive);
}
