//! Signatures and the time window.

use super::error::ApiError;
use crate::types::Nanos;
use ring::hmac;

/// Lower-case hex of the HMAC-SHA256 of `text`.
#[cfg(test)]
pub(super) fn sign(secret: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares without telling by its duration where two signatures differ.
pub(super) fn verify(secret: &str, text: &str, signature: &str) -> bool {
    let hex = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        (pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit)).then(|| u8::from_str_radix(text, 16).ok())?
    };
    let Some(tag) = signature.as_bytes().chunks(2).map(hex).collect::<Option<Vec<u8>>>() else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, text.as_bytes(), &tag).is_ok()
}

/// Checks `server_time - recv_window <= timestamp < server_time + 1000`.
pub(super) fn check_time(timestamp: &str, recv_window: Option<&str>, now: Nanos) -> Result<(), ApiError> {
    let Ok(at) = timestamp.parse::<u64>() else {
        return Err(ApiError::param("X-BAPI-TIMESTAMP"));
    };
    let window = match recv_window {
        None | Some("") => RECV_WINDOW_MS,
        Some(text) => text.parse().map_err(|_| ApiError::param("X-BAPI-RECV-WINDOW"))?,
    };
    let server = now.as_millis();
    if server.saturating_sub(window) <= at && at < server.saturating_add(1_000) {
        return Ok(());
    }
    Err(ApiError::new(
        10002,
        format!(
            "invalid request, please check your server timestamp or recv_window param. req_timestamp[{at}],server_timestamp[{server}],recv_window[{window}]"
        ),
    ))
}

const RECV_WINDOW_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_match_the_vectors() {
        let vectors = [
            ("GET/realtime1711010121452", "4d47919ccdbd7704876a1afe5e2f16a4e66c8e74ab1c3f71d8077bed84919266"),
            (
                "1711001595207testkey5000category=linear&symbol=BTCUSDT",
                "4294be6c4609bc80f6c541006a93e043d3983e198d3721afd5223a48d3d95024",
            ),
            (
                r#"1711001595207testkey5000{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"10000","timeInForce":"GTC"}"#,
                "c2fc79ff63db9371632ed8dd7b886f551b7c73873383ec7342ac4400fcdbe3a0",
            ),
        ];
        for (text, signature) in vectors {
            assert_eq!(sign("testsecret", text), signature);
            assert!(verify("testsecret", text, signature));
            assert!(!verify("testsecret", text, &signature.replace('4', "5")));
            assert!(!verify("other", text, signature));
        }
        for bad in ["", "zz", "4d4", "é"] {
            assert!(!verify("testsecret", vectors[0].0, bad));
        }
    }

    #[test]
    fn the_time_window_is_the_documented_one() {
        let now = Nanos::from_millis(1_000_000);
        for (at, window, fits) in [
            ("995000", None, true),
            ("994999", None, false),
            ("1000999", None, true),
            ("1001000", None, false),
            ("990000", Some("10000"), true),
        ] {
            assert_eq!(check_time(at, window, now).is_ok(), fits, "{at}");
        }
        assert_eq!(check_time("x", None, now).unwrap_err().code, 10001);
    }
}
