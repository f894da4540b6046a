//! HMAC-SHA256 signatures with the key in memory that is wiped.

use ring::digest::{Context, SHA256};
use zeroize::{Zeroize, Zeroizing};

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
/// The two padded forms of the key are kept, wiped at the end, rather than a prepared `ring` key, whose memory nobody wipes.
/// That costs two more blocks of SHA-256 a signature; signatures are made at login and for REST, never on the tick path.
pub struct Signer {
    inner_pad: Zeroizing<[u8; 64]>,
    outer_pad: Zeroizing<[u8; 64]>,
}

impl Signer {
    /// Prepares the key.
    pub fn new(secret: &Secret) -> Self {
        let mut block = Zeroizing::new([0u8; 64]);
        let key = secret.expose();
        if key.len() > block.len() {
            // Longer keys are hashed first, as the construction demands.
            let mut context = Context::new(&SHA256);
            context.update(key);
            block[..32].copy_from_slice(context.finish().as_ref());
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |pad: u8| Zeroizing::new(block.map(|byte| byte ^ pad));
        Self { inner_pad: padded(0x36), outer_pad: padded(0x5c) }
    }

    /// Signs the parts as one text, in lower-case hex.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        let mut inner = Context::new(&SHA256);
        inner.update(&*self.inner_pad);
        for part in parts {
            inner.update(part);
        }
        let mut outer = Context::new(&SHA256);
        outer.update(&*self.outer_pad);
        outer.update(inner.finish().as_ref());
        let digest = outer.finish();
        let mut out = [0; SIGNATURE_BYTES];
        for (pair, byte) in out.chunks_exact_mut(2).zip(digest.as_ref()) {
            pair[0] = b"0123456789abcdef"[(byte >> 4) as usize];
            pair[1] = b"0123456789abcdef"[(byte & 15) as usize];
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
