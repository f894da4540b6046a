//! HMAC-SHA256 signatures with the key in memory that is wiped.

use ring::digest::{Context, SHA256};
use sha2::block_api::compress256;
use zeroize::{Zeroize, Zeroizing};

use super::encode::hex_8;

/// Bytes of a signature: lower-case hex of a SHA-256.
pub const SIGNATURE_BYTES: usize = 64;

/// A secret text: it prints as `Secret`, and its memory is wiped when it goes away.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes a secret. The caller's copy should be wiped by the caller.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself, for a few eyes only.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Signs with one key.
///
/// Kept, and wiped at the end, is the state of SHA-256 after the key's padded block, once for the inner and once for the outer
/// hash: a signature then costs the blocks of its text and one more, and the key itself is nowhere.
pub struct Signer {
    inner: Zeroizing<[u32; 8]>,
    outer: Zeroizing<[u32; 8]>,
}

const BLOCK: usize = 64;

/// The initial state of SHA-256 (FIPS 180-4, section 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Blocks that are gathered before they are hashed together; most of what is signed fits.
const GATHERED: usize = 4 * BLOCK;

/// SHA-256 that goes on from a state reached after one block.
struct Hash {
    state: [u32; 8],
    blocks: [u8; GATHERED],
    /// Bytes of `blocks` that are filled.
    filled: usize,
    /// Bytes hashed in all, the first block included.
    len: u64,
}

impl Hash {
    #[inline(always)]
    fn after_block(state: &[u32; 8]) -> Self {
        Self { state: *state, blocks: [0; GATHERED], filled: 0, len: BLOCK as u64 }
    }

    #[inline(always)]
    fn update(&mut self, mut text: &[u8]) {
        self.len += text.len() as u64;
        while !text.is_empty() {
            let (now, rest) = text.split_at(text.len().min(GATHERED - self.filled));
            self.blocks[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            text = rest;
            if self.filled == GATHERED {
                compress256(&mut self.state, self.blocks.as_chunks().0);
                self.blocks = [0; GATHERED];
                self.filled = 0;
            }
        }
    }

    /// Pads (FIPS 180-4, section 5.1.1) and returns the digest.
    #[inline(always)]
    fn finish(mut self) -> [u8; 32] {
        // Behind what is filled there are zeros.
        self.blocks[self.filled] = 0x80;
        if self.filled + 9 > GATHERED {
            compress256(&mut self.state, self.blocks.as_chunks().0);
            self.blocks = [0; GATHERED];
            self.filled = 0;
        }
        let end = (self.filled + 9).next_multiple_of(BLOCK);
        self.blocks[end - 8..end].copy_from_slice(&(self.len * 8).to_be_bytes());
        compress256(&mut self.state, self.blocks[..end].as_chunks().0);
        let mut out = [0; 32];
        for (bytes, word) in out.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

impl Signer {
    /// Prepares the key.
    pub fn new(secret: &Secret) -> Self {
        let mut block = Zeroizing::new([0u8; BLOCK]);
        let key = secret.expose();
        if key.len() > block.len() {
            // Longer keys are hashed first, as the construction demands.
            let mut context = Context::new(&SHA256);
            context.update(key);
            block[..32].copy_from_slice(context.finish().as_ref());
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let after = |pad: u8| {
            let padded = Zeroizing::new(block.map(|byte| byte ^ pad));
            let mut state = Zeroizing::new(START);
            compress256(&mut state, std::slice::from_ref(&*padded));
            state
        };
        Self { inner: after(0x36), outer: after(0x5c) }
    }

    /// Signs the parts as one text, in lower-case hex (RFC 2104). No allocation.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        let mut inner = Hash::after_block(&self.inner);
        for part in parts {
            inner.update(part);
        }
        let mut outer = Hash::after_block(&self.outer);
        outer.update(&inner.finish());
        let digest = outer.finish();
        let mut out = [0; SIGNATURE_BYTES];
        let (words, _) = digest.as_chunks::<4>();
        for (text, word) in out.chunks_exact_mut(8).zip(words) {
            text.copy_from_slice(&hex_8(u32::from_be_bytes(*word)));
        }
        out
    }

    /// The login message of the private and the order-entry connection, valid until `expires_ms`: a second to ten ahead of
    /// the venue's time.
    pub fn auth_message(&self, api_key: &str, expires_ms: u64) -> Zeroizing<String> {
        let mut text = format!("GET/realtime{expires_ms}");
        let signature = self.sign(&[text.as_bytes()]);
        text.zeroize();
        let signature = std::str::from_utf8(&signature).unwrap_or_default();
        Zeroizing::new(format!(r#"{{"req_id":"auth","op":"auth","args":["{api_key}",{expires_ms},"{signature}"]}}"#))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(secret: &str, text: &str) -> String {
        String::from_utf8(Signer::new(&Secret::new(secret)).sign(&[text.as_bytes()]).to_vec()).unwrap()
    }

    #[test]
    fn signatures_equal_the_vectors() {
        for (secret, text, want) in [
            // Bybit, computed.
            (
                "testsecret",
                "GET/realtime1711010121452",
                "4d47919ccdbd7704876a1afe5e2f16a4e66c8e74ab1c3f71d8077bed84919266",
            ),
            (
                "testsecret",
                "1711001595207testkey5000category=linear&symbol=BTCUSDT",
                "4294be6c4609bc80f6c541006a93e043d3983e198d3721afd5223a48d3d95024",
            ),
            (
                "testsecret",
                r#"1711001595207testkey5000{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"10000","timeInForce":"GTC"}"#,
                "c2fc79ff63db9371632ed8dd7b886f551b7c73873383ec7342ac4400fcdbe3a0",
            ),
            // Binance futures, published.
            (
                "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
                "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
                "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
            ),
            // Binance spot, published.
            (
                "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
                "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
                "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
            ),
        ] {
            assert_eq!(sign(secret, text), want);
        }
    }

    #[test]
    fn long_keys_and_parts_equal_ring_s_own() {
        for len in [0usize, 1, 63, 64, 65, 200] {
            let secret = "k".repeat(len);
            for text_len in (0..200).chain(500..520).chain(1000..1040) {
                let text = "x".repeat(text_len);
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
                let want: String =
                    ring::hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
                assert_eq!(sign(&secret, &text), want, "key of {len} bytes, text of {text_len}");
            }
            let signer = Signer::new(&Secret::new(secret.as_str()));
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
            let want: String =
                ring::hmac::sign(&key, b"ab").as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(signer.sign(&[b"a", b"b"]), want.as_bytes());
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Signer::new(&secret)), "Secret Signer");
    }

    #[test]
    fn the_login_is_as_documented() {
        let message = Signer::new(&Secret::new("testsecret")).auth_message("testkey", 1_711_010_121_452);
        assert_eq!(
            *message,
            r#"{"req_id":"auth","op":"auth","args":["testkey",1711010121452,"4d47919ccdbd7704876a1afe5e2f16a4e66c8e74ab1c3f71d8077bed84919266"]}"#
        );
    }
}
