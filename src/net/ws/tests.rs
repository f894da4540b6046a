//! The codec against an independent, naive one, split at every byte.

use super::*;
use proptest::prelude::*;

/// A message as the tests write it down.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(bytes) => Self::Text(bytes.to_vec()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Message::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

/// Writes one frame the way RFC 6455, section 5.2 draws it, byte by byte.
fn naive_frame(fin: bool, opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = vec![opcode | if fin { 128 } else { 0 }];
    let mask_bit = if mask.is_some() { 128 } else { 0 };
    if payload.len() < 126 {
        frame.push(mask_bit + payload.len() as u8);
    } else if payload.len() < 65_536 {
        frame.push(mask_bit + 126);
        frame.extend((payload.len() as u16).to_be_bytes());
    } else {
        frame.push(mask_bit + 127);
        frame.extend((payload.len() as u64).to_be_bytes());
    }
    if let Some(key) = mask {
        frame.extend(key);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    } else {
        frame.extend(payload);
    }
    frame
}

/// Reads whole frames, trusting its input.
fn naive_frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (mut at, len) = match bytes[1] & 127 {
            126 => (4, u16::from_be_bytes([bytes[2], bytes[3]]) as usize),
            127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
            len => (2, len as usize),
        };
        let mut key = [0; 4];
        if bytes[1] & 128 != 0 {
            key.copy_from_slice(&bytes[at..at + 4]);
            at += 4;
        }
        let payload = (0..len).map(|idx| bytes[at + idx] ^ key[idx % 4]).collect();
        frames.push((bytes[0], payload));
        bytes = &bytes[at + len..];
    }
    frames
}

fn limits(message_bytes_max: usize) -> WsLimits {
    WsLimits { recv_bytes: message_bytes_max + FRAME_HEADER_BYTES_MAX, send_bytes: 1 << 20, message_bytes_max }
}

fn mask_for(role: Role) -> Option<[u8; 4]> {
    (role == Role::Server).then_some([0xA1, 0x02, 0xF3, 0x44])
}

fn drain(codec: &mut WsCodec, into: &mut Vec<Owned>) {
    while let Some(message) = codec.next_message().unwrap() {
        into.push(message.into());
    }
}

fn feed<'a>(codec: &mut WsCodec, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
    let mut messages = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let taken = codec.push(piece);
            assert!(taken > 0, "there is space once messages are drained");
            piece = &piece[taken..];
            drain(codec, &mut messages);
        }
    }
    messages
}

/// Every kind of frame, with `long` bytes in the long ones.
fn conversation(role: Role, lens: &[usize]) -> (Vec<u8>, Vec<Owned>) {
    let mask = mask_for(role);
    let mut bytes = Vec::new();
    let mut messages = Vec::new();
    for (idx, &len) in lens.iter().enumerate() {
        let payload: Vec<u8> = (0..len).map(|at| (at * 7 + idx) as u8).collect();
        bytes.extend(naive_frame(true, 1, &payload, mask));
        messages.push(Owned::Text(payload.clone()));
        let (front, back) = payload.split_at(len / 2);
        bytes.extend(naive_frame(false, 2, front, mask));
        bytes.extend(naive_frame(true, 9, b"between", mask));
        bytes.extend(naive_frame(false, 0, b"", mask));
        bytes.extend(naive_frame(true, 10, b"", mask));
        bytes.extend(naive_frame(true, 0, back, mask));
        messages.extend([Owned::Ping(b"between".to_vec()), Owned::Pong(Vec::new()), Owned::Binary(payload)]);
    }
    bytes.extend(naive_frame(true, 8, b"\x03\xe8bye", mask));
    messages.push(Owned::Close(Some(1000), "bye".into()));
    (bytes, messages)
}

#[test]
fn every_split_gives_the_same_messages() {
    for role in [Role::Client, Role::Server] {
        let (bytes, expected) = conversation(role, &[0, 1, 125, 126, 127]);
        for cut in 0..=bytes.len() {
            let mut codec = WsCodec::new(role, limits(127), 1);
            assert_eq!(feed(&mut codec, [&bytes[..cut], &bytes[cut..]]), expected, "{role:?} cut at {cut}");
        }
        let mut codec = WsCodec::new(role, limits(127), 1);
        assert_eq!(feed(&mut codec, bytes.chunks(1)), expected, "{role:?} byte by byte");
    }
}

#[test]
fn long_frames_split_around_every_header_give_the_same_messages() {
    for role in [Role::Client, Role::Server] {
        let (bytes, expected) = conversation(role, &[65_535, 65_536]);
        let mut codec = WsCodec::new(role, limits(65_536), 1);
        assert_eq!(feed(&mut codec, bytes.chunks(1)), expected, "{role:?} byte by byte");
        for piece_bytes in [13, 4096, 65_535, 65_536, 65_537, 65_550, 1 << 20] {
            let mut codec = WsCodec::new(role, limits(65_536), 1);
            assert_eq!(feed(&mut codec, bytes.chunks(piece_bytes)), expected, "{role:?} in {piece_bytes}");
        }
    }
}

#[test]
fn sent_frames_read_back_and_partial_writes_keep_the_rest() {
    for role in [Role::Client, Role::Server] {
        let texts: Vec<Vec<u8>> = [0usize, 125, 126, 300].iter().map(|&len| vec![b'q'; len]).collect();
        let queue = |codec: &mut WsCodec| {
            for text in &texts {
                codec.send_text(text).unwrap();
                codec
                    .send_with(400, |space| {
                        space[..text.len()].copy_from_slice(text);
                        text.len()
                    })
                    .unwrap();
            }
        };
        let mut whole = WsCodec::new(role, limits(1000), 9);
        queue(&mut whole);
        let bytes = whole.pending().to_vec();
        let expected: Vec<_> = texts.iter().flat_map(|text| [(0x81, text.clone()), (0x81, text.clone())]).collect();
        assert_eq!(naive_frames(&bytes), expected);
        assert_eq!(bytes[1] & 128 != 0, role == Role::Client, "only clients mask");
        for cut in 0..=bytes.len() {
            let mut codec = WsCodec::new(role, WsLimits { send_bytes: bytes.len() + 110, ..limits(1000) }, 9);
            queue(&mut codec);
            codec.sent(cut);
            let header = frame::header_bytes(110, role == Role::Client);
            if cut < header {
                assert!(matches!(codec.send_text(&[b'm'; 110]), Err(SendError::Full { .. })));
                continue;
            }
            codec.send_text(&[b'm'; 110]).unwrap(); // moves the unsent rest to the front, since the end is too short
            assert!(codec.pending().starts_with(&bytes[cut..]));
            let mut sent = bytes[..cut].to_vec();
            sent.extend(codec.pending());
            assert_eq!(naive_frames(&sent).last().unwrap().1, [b'm'; 110]);
        }
    }
}

#[test]
fn client_and_server_codecs_understand_each_other() {
    let mut client = WsCodec::new(Role::Client, limits(70_000), 3);
    let mut server = WsCodec::new(Role::Server, limits(70_000), 0);
    client.send_text(&vec![b'z'; 70_000]).unwrap();
    client.send_binary(b"b").unwrap();
    client.send_ping(b"p").unwrap();
    client.close(1000, "enough").unwrap();
    let bytes = client.pending().to_vec();
    let messages = feed(&mut server, [&bytes[..]]);
    assert_eq!(messages.len(), 4);
    assert_eq!(messages[3], Owned::Close(Some(1000), "enough".into()));
    let answer = server.pending().to_vec();
    assert_eq!(naive_frames(&answer), [(0x8A, b"p".to_vec()), (0x88, vec![3, 0xE8])]);
    assert_eq!(feed(&mut client, [&answer[..]]), [Owned::Pong(b"p".to_vec()), Owned::Close(Some(1000), String::new())]);
    assert!(client.is_finished() && server.is_finished());
    assert_eq!(client.send_text(b"late"), Err(SendError::Closing));
}

#[test]
fn full_declines_the_whole_message_and_owes_the_pong() {
    let mut codec = WsCodec::new(Role::Client, WsLimits { send_bytes: 256, ..limits(1000) }, 3);
    codec.send_text(&[b'a'; 200]).unwrap();
    let before = codec.pending().to_vec();
    assert_eq!(codec.send_text(&[b'b'; 50]), Err(SendError::Full { needed: 56, free: 48 }));
    assert_eq!(codec.pending(), before);
    feed(&mut codec, [&naive_frame(true, 9, &[b'1'; 100], None)[..], &naive_frame(true, 9, &[b'2'; 100], None)[..]]);
    assert_eq!(codec.pending(), before);
    codec.sent(before.len());
    assert_eq!(naive_frames(codec.pending()), [(0x8A, vec![b'2'; 100])], "the newest ping is answered");
}

#[test]
fn what_breaks_the_protocol_is_named_and_closed() {
    let refused = |bytes: &[u8]| {
        let mut codec = WsCodec::new(Role::Client, limits(1000), 3);
        codec.push(bytes);
        let error = loop {
            match codec.next_message() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => break error,
            }
        };
        assert_eq!(codec.next_message(), Err(error));
        assert_eq!(naive_frames(codec.pending()), [(0x88, error.close_code().to_be_bytes().to_vec())]);
        assert!(codec.is_finished());
        Some(error)
    };
    assert_eq!(refused(&[0xC1, 0]), Some(WsError::ReservedBits { bits: 4 }));
    assert_eq!(refused(&[0x83, 0]), Some(WsError::BadOpcode { opcode: 3 }));
    assert_eq!(refused(&[0x81, 0x80, 1, 2, 3, 4]), Some(WsError::Masked));
    assert_eq!(refused(&[0x09, 0]), Some(WsError::FragmentedControl { opcode: Opcode::Ping }));
    assert_eq!(refused(&[0x89, 126]), Some(WsError::LongControl { opcode: Opcode::Ping }));
    assert_eq!(refused(&[0x81, 126, 0, 125]), Some(WsError::WastefulLength { len: 125 }));
    assert_eq!(refused(&[0x81, 127, 0, 0, 0, 0, 0, 0, 255, 255]), Some(WsError::WastefulLength { len: 65_535 }));
    assert_eq!(refused(&[0x80, 0]), Some(WsError::UnexpectedContinuation));
    assert_eq!(refused(&[0x01, 0, 0x82, 0]), Some(WsError::InterruptedFragments { opcode: Opcode::Binary }));
    assert_eq!(refused(&[0x82, 126, 3, 233]), Some(WsError::MessageTooLong { len: 1001, max: 1000 }));
    assert_eq!(
        refused(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]),
        Some(WsError::MessageTooLong { len: u64::MAX, max: 1000 })
    );
    let parts = [naive_frame(false, 1, &[0; 600], None), naive_frame(true, 0, &[0; 401], None)].concat();
    assert_eq!(refused(&parts), Some(WsError::MessageTooLong { len: 1001, max: 1000 }));
    assert_eq!(refused(&[0x88, 1, 3]), Some(WsError::HalfCloseCode));
    assert_eq!(refused(&[0x88, 2, 3, 0xED]), Some(WsError::BadCloseCode { code: 1005 }));
    assert_eq!(refused(&[0x88, 4, 3, 0xE8, b'a', 0xFF]), Some(WsError::CloseReasonNotUtf8 { valid_bytes: 1 }));

    let mut server = WsCodec::new(Role::Server, limits(1000), 0);
    server.push(&[0x81, 0]);
    assert_eq!(server.next_message(), Err(WsError::Unmasked));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz_frames(&data);
    }

    #[test]
    fn damaged_conversations_never_panic(at in 0usize..2000, bits in 1u8.., split in any::<u8>(), server in any::<bool>()) {
        let role = if server { Role::Server } else { Role::Client };
        let (mut bytes, _) = conversation(role, &[0, 125, 126, 300]);
        let at = at % bytes.len();
        bytes[at] ^= bits;
        bytes.insert(0, split);
        fuzz_frames(&bytes);
    }

    #[test]
    fn random_messages_split_at_random_survive(
        lens in proptest::collection::vec(0usize..3000, 1..6),
        cuts in proptest::collection::vec(1usize..1500, 1..20),
    ) {
        let (bytes, expected) = conversation(Role::Server, &lens);
        let mut codec = WsCodec::new(Role::Server, limits(3000), 0);
        let mut rest = &bytes[..];
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        prop_assert_eq!(feed(&mut codec, pieces), expected);
    }
}
