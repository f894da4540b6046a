//! Where the venue is that a configuration names, and the key with which to trade there.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::Failure;
use crate::config::{Config, Environment, OrderEntry};
use crate::net::{WsLimits, WsUrl, tls};
use crate::runtime::{BAN_PAUSE_NS, Dial, LinkConfig};
use crate::venue::bybit::Secret;
use crate::venue::bybit::rest::RestConfig;

/// Where a venue is.
#[derive(Clone)]
pub struct Address {
    /// Base of the public WebSockets; the path is appended.
    pub ws_public: String,
    /// Base of the private WebSocket.
    pub ws_private: String,
    /// Base of the order-entry WebSocket; none where orders go over REST.
    pub ws_trade: Option<String>,
    /// Base of the REST interface.
    pub rest: String,
    /// For `wss`.
    pub tls: Option<Arc<ClientConfig>>,
    /// Certificates to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Pause after a ban, in nanoseconds.
    pub ban_pause_ns: u64,
}

/// Where to trade, and as whom.
pub struct Access {
    /// Where.
    pub address: Address,
    /// Public part of the key.
    pub api_key: String,
    /// Its secret part.
    pub secret: Secret,
}

impl Address {
    /// One host for everything, as a simulated venue has it.
    pub fn single(ws: String, rest: String, order_entry: OrderEntry) -> Self {
        let ws_trade = (order_entry == OrderEntry::Websocket).then(|| ws.clone());
        Self {
            ws_public: ws.clone(),
            ws_private: ws,
            ws_trade,
            rest,
            tls: None,
            ca_pem: None,
            ban_pause_ns: BAN_PAUSE_NS,
        }
    }

    /// The first host that is not this machine; none: nothing real can be reached.
    ///
    /// # Errors
    /// An address that is none.
    pub fn real_host(&self) -> Result<Option<&str>, Failure> {
        let sockets = [Some(&self.ws_public), Some(&self.ws_private), self.ws_trade.as_ref()];
        for url in sockets.into_iter().flatten() {
            let host = WsUrl::parse(url).map_err(|e| Failure::usage(format!("venue: `{url}`: {e}")))?.host;
            if !is_loopback(&host) {
                return Ok(Some(url));
            }
        }
        // Encrypted or on this machine is all that a REST client accepts; so plain http is local.
        let host = self.rest.strip_prefix("https://").map(|rest| rest.split(['/', ':']).next().unwrap_or(""));
        Ok(host.filter(|host| !is_loopback(host)).map(|_| self.rest.as_str()))
    }

    /// A connection to `path` of `base`.
    ///
    /// # Errors
    /// An address that is none.
    pub fn link(&self, base: &str, path: &str, limits: WsLimits) -> Result<LinkConfig, Failure> {
        let url = format!("{base}{path}");
        let url = WsUrl::parse(&url).map_err(|e| Failure::usage(format!("`{url}`: {e}")))?;
        Ok(LinkConfig { url, tls: self.tls.clone(), limits, dial: Dial::Socket, ban_pause_ns: self.ban_pause_ns })
    }
}

impl Access {
    /// What a REST client of this account needs.
    pub fn rest_config(&self, recv_window_ms: u32) -> RestConfig {
        RestConfig {
            api_key: self.api_key.clone(),
            secret: Some(self.secret.clone()),
            recv_window_ms,
            extra_ca_pem: self.address.ca_pem.clone(),
            ..RestConfig::new(&self.address.rest)
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Where the venue is that the configuration names, if it is not embedded.
///
/// # Errors
/// Certificates that cannot be read.
pub fn address(config: &Config) -> Result<Address, Failure> {
    let venue = &config.venue;
    let own = venue.ws.clone().unwrap_or_default();
    // Demo accounts have no market of their own: they see the real one.
    let [public, private, trade, rest] = match venue.environment {
        Environment::Mainnet => [MAIN_WS, MAIN_WS, MAIN_WS, "https://api.bybit.com"],
        Environment::Testnet => [TEST_WS, TEST_WS, TEST_WS, "https://api-testnet.bybit.com"],
        Environment::Demo => [MAIN_WS, "wss://stream-demo.bybit.com", "", "https://api-demo.bybit.com"],
        Environment::Embedded | Environment::Custom => [own.as_str(), &own, &own, ""],
    };
    let base = |given: &Option<String>, usual: &str| given.as_deref().unwrap_or(usual).trim_end_matches('/').to_owned();
    let ws_public = base(&venue.ws_public, public);
    let ws_private = base(&venue.ws_private, private);
    let is_socket = venue.order_entry() == OrderEntry::Websocket;
    let ws_trade = is_socket.then(|| base(&venue.ws_trade, trade));
    let rest = base(&venue.rest, rest);
    let ca_pem = match &venue.ca_file {
        Some(file) => Some(std::fs::read(file).map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?),
        None => None,
    };
    let is_encrypted = [Some(&ws_public), Some(&ws_private), ws_trade.as_ref()]
        .into_iter()
        .flatten()
        .any(|url| url.starts_with("wss:"));
    let tls = match (&venue.ca_file, is_encrypted) {
        (_, false) => None,
        (Some(file), true) => Some(tls::client_config(tls::Roots::CaFile(file))?),
        (None, true) => Some(tls::client_config(tls::Roots::System)?),
    };
    Ok(Address { ws_public, ws_private, ws_trade, rest, tls, ca_pem, ban_pause_ns: BAN_PAUSE_NS })
}

/// The way to the venue that the configuration names, if it is not embedded; a real one only with `--live`.
///
/// # Errors
/// No `--live`, no key, or a file that others can read.
pub fn access(config: &Config, is_live: bool) -> Result<Access, Failure> {
    let address = address(config)?;
    if !is_live && let Some(host) = address.real_host()? {
        return Err(Failure::usage(format!(
            "{host} is a real venue: this needs --live, and TERCEL_API_KEY and TERCEL_API_SECRET in the environment or venue.secret-file"
        )));
    }
    let (api_key, secret) = match &config.venue.secret_file {
        Some(file) => key_file(file)?,
        None => (from_env(KEY_NAME)?.as_str().to_owned(), Secret::new(from_env(SECRET_NAME)?.as_bytes())),
    };
    Ok(Access { address, api_key, secret })
}

fn from_env(name: &str) -> Result<Zeroizing<String>, Failure> {
    let text = std::env::var(name).map_err(|_| {
        Failure::usage(format!("{name} is not set; keys come from the environment, or from venue.secret-file"))
    })?;
    Ok(Zeroizing::new(text))
}

/// Reads the lines `TERCEL_API_KEY=…` and `TERCEL_API_SECRET=…` of a file that nobody else can read.
fn key_file(path: &Path) -> Result<(String, Secret), Failure> {
    let failed = |text: String| Failure::usage(format!("{}: {text}", path.display()));
    let mut file = File::open(path).map_err(|e| failed(e.to_string()))?;
    // Of the file that is open, so that nobody can exchange it in between.
    let found = file.metadata().map_err(|e| failed(e.to_string()))?;
    check_owner(found.mode(), found.uid(), rustix::process::geteuid().as_raw()).map_err(failed)?;
    if found.len() > KEY_FILE_BYTES_MAX {
        return Err(failed(format!("{} bytes, allowed are {KEY_FILE_BYTES_MAX}", found.len())));
    }
    // Its whole room at once: a buffer that grows would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX as usize + 1));
    file.by_ref().take(KEY_FILE_BYTES_MAX).read_to_end(&mut text).map_err(|e| failed(e.to_string()))?;
    let value = |name: &str| {
        let of = |line: &[u8]| {
            let line = line.trim_ascii();
            let value = line.strip_prefix(name.as_bytes())?.trim_ascii_start().strip_prefix(b"=")?;
            let value = value.trim_ascii();
            let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            Some((bare.unwrap_or(value).as_ptr() as usize - text.as_ptr() as usize, bare.unwrap_or(value).len()))
        };
        let place = text.split(|&byte| byte == b'\n').find_map(of).filter(|(_, len)| *len > 0);
        let (start, len) = place.ok_or_else(|| failed(format!("has no line {name}=…")))?;
        Ok::<&[u8], Failure>(text.get(start..start + len).unwrap_or_default())
    };
    let api_key = std::str::from_utf8(value(KEY_NAME)?).map_err(|_| failed(format!("{KEY_NAME} is no text")))?;
    Ok((api_key.to_owned(), Secret::new(value(SECRET_NAME)?)))
}

/// Whether only `me` can read or change it.
fn check_owner(mode: u32, owner: u32, me: u32) -> Result<(), String> {
    let found = mode & 0o7777;
    if found & !0o600 != 0 {
        return Err(format!("mode {found:04o}: others can read it; allowed is 0600 (chmod 600)"));
    }
    if owner != me {
        return Err(format!("belongs to user {owner}, not to user {me} who runs this"));
    }
    Ok(())
}

/// The file's own description of a place that a person would type, for error texts.
pub fn describe(address: &Address) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let all = [Some(&address.ws_public), Some(&address.ws_private), address.ws_trade.as_ref(), Some(&address.rest)];
    for url in all.into_iter().flatten() {
        if !seen.contains(&url.as_str()) {
            seen.push(url);
        }
    }
    seen.join(", ")
}

const MAIN_WS: &str = "wss://stream.bybit.com";
const TEST_WS: &str = "wss://stream-testnet.bybit.com";
const KEY_NAME: &str = "TERCEL_API_KEY";
const SECRET_NAME: &str = "TERCEL_API_SECRET";

/// Two lines of less than a hundred bytes each, and comments.
const KEY_FILE_BYTES_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn written(name: &str, text: &str, mode: u32) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tercel-access-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("my.toml")).unwrap()
    }

    #[test]
    fn a_key_file_is_read_only_if_nobody_else_can() {
        let text = "# ours\nTERCEL_API_KEY=abc\n TERCEL_API_SECRET = \"hunter2\" \n";
        for (mode, is_good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o700, false)] {
            let path = written("mode", text, mode);
            let found = key_file(&path);
            std::fs::remove_file(&path).unwrap();
            match found {
                Ok((key, secret)) => assert!(is_good && key == "abc" && secret.expose() == b"hunter2", "{mode:o}"),
                Err(failure) => {
                    assert!(!is_good && failure.text.contains(&format!("{mode:04o}")), "{}", failure.text);
                    assert!(!failure.text.contains("hunter2"));
                }
            }
        }
        assert!(check_owner(0o100_600, 1000, 1000).is_ok());
        let error = check_owner(0o100_600, 0, 1000).unwrap_err();
        assert!(error.contains("user 0") && error.contains("user 1000"), "{error}");
    }

    #[test]
    fn a_key_file_names_what_it_lacks() {
        for (text, word) in [
            ("TERCEL_API_KEY=abc\n", "TERCEL_API_SECRET"),
            ("TERCEL_API_SECRET=abc\nTERCEL_API_KEY=\n", "TERCEL_API_KEY"),
            ("", "TERCEL_API_KEY"),
        ] {
            let path = written("lacks", text, 0o600);
            let failure = key_file(&path).err().unwrap();
            std::fs::remove_file(&path).unwrap();
            assert!(failure.text.contains(word), "{}", failure.text);
        }
    }

    #[test]
    fn environments_have_their_documented_hosts_and_each_can_be_replaced() {
        let of = |text: &str| {
            let found = address(&config(text)).unwrap();
            (found.ws_public, found.ws_private, found.ws_trade, found.rest)
        };
        let main = "wss://stream.bybit.com".to_owned();
        let test = "wss://stream-testnet.bybit.com".to_owned();
        assert_eq!(
            of("[venue]\nenvironment = \"mainnet\"\n"),
            (main.clone(), main.clone(), Some(main.clone()), "https://api.bybit.com".into())
        );
        assert_eq!(
            of("[venue]\nenvironment = \"testnet\"\n"),
            (test.clone(), test.clone(), Some(test), "https://api-testnet.bybit.com".into())
        );
        assert_eq!(
            of("[venue]\nenvironment = \"demo\"\n"),
            (main.clone(), "wss://stream-demo.bybit.com".into(), None, "https://api-demo.bybit.com".into())
        );
        assert_eq!(
            of(
                "[venue]\nenvironment = \"mainnet\"\nrest = \"https://api.bybit.eu/\"\nws-private = \"wss://stream.bybit.eu\"\n"
            ),
            (main.clone(), "wss://stream.bybit.eu".into(), Some(main), "https://api.bybit.eu".into())
        );
    }

    #[test]
    fn one_real_host_is_enough_to_need_the_word() {
        let local = "[venue]\nenvironment = \"custom\"\nws = \"ws://127.0.0.1:1\"\nrest = \"http://127.0.0.1:1\"\n";
        assert!(address(&config(local)).unwrap().real_host().unwrap().is_none());
        for (key, url) in [
            ("ws-public", "wss://stream.bybit.com"),
            ("ws-private", "wss://stream.bybit.com"),
            ("ws-trade", "wss://stream.bybit.com"),
        ] {
            let text = format!("{local}{key} = \"{url}\"\n");
            assert_eq!(address(&config(&text)).unwrap().real_host().unwrap(), Some(url), "{key}");
        }
        let rest = local.replace("http://127.0.0.1:1", "https://api.bybit.com");
        assert_eq!(address(&config(&rest)).unwrap().real_host().unwrap(), Some("https://api.bybit.com"));
        assert!(access(&config(&rest), false).err().unwrap().text.contains("--live"));
    }
}
