use std::sync::Arc;

use super::{Algorithm, Fault, Key, Session, refuse};

const NOW: u64 = 1_800_000_000;
const QUERY: [u8; 17] = [0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
const ALGORITHMS: [&str; 5] =
    ["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"];

fn key(algorithm: &str, secret: &[u8]) -> Arc<Key> {
    let algorithm = Algorithm::from_text(algorithm).unwrap();
    Arc::new(Key { name: b"\x03key\x00".to_vec(), algorithm, secret: secret.to_vec().into() })
}

/// A message of an answer: recognisable, and no request.
fn answer(number: u8) -> Vec<u8> {
    let mut message = QUERY.to_vec();
    message[2] = 0x80;
    message[3] = number;
    message
}

/// A checked request: the client's side, and the server's.
fn begin(key: &Arc<Key>) -> (Session, Session) {
    let mut message = QUERY.to_vec();
    let client = Session::request(key, &mut message, NOW);
    assert!(message.len() > QUERY.len());
    let keys = [Arc::clone(key)];
    let server = Session::requested(&keys, &mut message, NOW).unwrap().unwrap();
    assert_eq!(message, QUERY, "the signature was taken away");
    (client, server)
}

#[test]
fn rfc8945_a_stream_is_signed_and_checked_with_every_algorithm() {
    for algorithm in ALGORITHMS {
        let (mut client, mut server) = begin(&key(algorithm, b"secret"));
        for number in 0..3 {
            let mut message = answer(number);
            server.sign(&mut message, NOW + 1);
            client.check(&mut message, NOW + 2).unwrap();
            assert_eq!(message, answer(number));
        }
        client.finish().unwrap();
    }
}

#[test]
fn rfc8945_any_changed_octet_breaks_the_signature() {
    let key = key("hmac-sha256", b"secret");
    let mut signed = QUERY.to_vec();
    Session::request(&key, &mut signed, NOW);
    for at in 0..signed.len() {
        let mut message = signed.clone();
        message[at] ^= 1;
        let result = Session::requested(&[Arc::clone(&key)], &mut message, NOW);
        // The ID is not covered: the one that was signed stands in the record.
        let accepted = matches!(result, Ok(Some(_)));
        assert_eq!(accepted, at < 2, "octet {at}: {:?}", result.err());
    }
}

#[test]
fn rfc8945_another_secret_key_or_algorithm_is_told() {
    let signed = |key: &Arc<Key>| {
        let mut message = QUERY.to_vec();
        Session::request(key, &mut message, NOW);
        message
    };
    let keys = [key("hmac-sha256", b"secret")];
    let fault = |mut message: Vec<u8>, now| Session::requested(&keys, &mut message, now).err();
    assert_eq!(fault(signed(&key("hmac-sha256", b"other")), NOW), Some(Fault::Signature));
    assert_eq!(fault(signed(&key("hmac-sha512", b"secret")), NOW), Some(Fault::Key));
    assert_eq!(fault(signed(&keys[0]), NOW + 300), None);
    assert_eq!(fault(signed(&keys[0]), NOW + 301), Some(Fault::Time(301)));
    assert_eq!(fault(signed(&keys[0]), NOW - 301), Some(Fault::Time(301)));
    assert!(Session::requested(&keys, &mut QUERY.to_vec(), NOW).unwrap().is_none());
}

#[test]
fn rfc8945_ninety_nine_messages_may_go_unsigned_and_are_covered_all_the_same() {
    let key = key("hmac-sha256", b"secret");
    for (unsigned, tampered) in [(99, false), (99, true), (100, false)] {
        let (mut client, mut server) = begin(&key);
        let mut first = answer(0);
        server.sign(&mut first, NOW);
        client.check(&mut first, NOW).unwrap();
        // What the server's digest covers.
        let mut digest = server.take_running();
        let mut result = Ok(());
        for number in 0..unsigned {
            let mut message = answer(number);
            digest.update(&message);
            if tampered && number == 50 {
                message[5] ^= 2;
            }
            result = client.check(&mut message, NOW);
        }
        if unsigned > 99 {
            assert_eq!(result, Err(Fault::TooManyUnsigned));
            continue;
        }
        assert_eq!(result, Ok(()));
        assert_eq!(client.finish(), Err(Fault::TooManyUnsigned), "the last must be signed");
        server.running = Some(digest);
        let mut last = answer(7);
        server.sign(&mut last, NOW);
        let wanted = if tampered { Err(Fault::Signature) } else { Ok(()) };
        assert_eq!(client.check(&mut last, NOW), wanted);
    }
}

#[test]
fn rfc8945_the_first_answer_must_be_signed_and_none_may_be_left_out() {
    let key = key("hmac-sha224", b"secret");
    let (mut client, mut server) = begin(&key);
    assert_eq!(client.check(&mut answer(0), NOW), Err(Fault::Unsigned));
    let (mut one, mut two, mut three) = (answer(1), answer(2), answer(3));
    server.sign(&mut one, NOW);
    server.sign(&mut two, NOW);
    server.sign(&mut three, NOW);
    client.check(&mut one, NOW).unwrap();
    assert_eq!(client.check(&mut three, NOW), Err(Fault::Signature));
}

#[test]
fn rfc8945_what_is_wrong_with_a_request_is_told_to_who_made_it() {
    let keys = [key("hmac-sha256", b"secret")];
    let cases = [
        (key("hmac-sha256", b"other"), NOW, Fault::PeerSignature),
        (key("hmac-sha1", b"secret"), NOW, Fault::PeerKey),
        (key("hmac-sha256", b"secret"), NOW + 1000, Fault::PeerTime),
    ];
    for (key, now, told) in cases {
        let mut request = QUERY.to_vec();
        let mut client = Session::request(&key, &mut request, NOW);
        let fault = Session::requested(&keys, &mut request.clone(), now).err().unwrap();
        let mut reply = answer(9);
        refuse(&request, &fault, &keys, &mut reply, now);
        assert_eq!(client.check(&mut reply, NOW), Err(told));
    }
}
