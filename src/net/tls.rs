//! TLS configurations: clients by system roots or an own CA, servers by PEM, and throw-away certificates for tests.
//!
//! Runs at start-up only. The crypto provider is named explicitly, so that no feature of another crate can change it.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// Which certificate authorities a client trusts.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// Those of the operating system.
    System,
    /// Only those in this PEM file.
    CaFile(&'a Path),
    /// Only those in this PEM text.
    CaPem(&'a str),
}

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The operating system offered no usable root certificate.
    #[error("no usable root certificate on this system ({problems} problems while looking)")]
    NoSystemRoots {
        /// How many errors the search met.
        problems: usize,
    },
    /// PEM text or file could not be read.
    #[error("cannot read pem: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// PEM held no certificate.
    #[error("pem holds no certificate")]
    NoCertificate,
    /// rustls refused the configuration.
    #[error("tls refused: {0}")]
    Rustls(#[from] rustls::Error),
    /// rcgen could not make a certificate.
    #[error("cannot generate certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

/// Makes a client configuration that trusts `roots`.
///
/// # Errors
/// When no root certificate can be found or read.
pub fn client_config(roots: Roots<'_>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _ignored) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                return Err(TlsError::NoSystemRoots { problems: found.errors.len() });
            }
        }
        Roots::CaFile(path) => add_all(&mut store, CertificateDer::pem_file_iter(path)?)?,
        Roots::CaPem(pem) => add_all(&mut store, CertificateDer::pem_slice_iter(pem.as_bytes()))?,
    }
    if store.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Makes a server configuration from a PEM certificate chain and its PEM key.
///
/// # Errors
/// When either is unreadable or they do not belong together.
pub fn server_config(cert_pem: &str, key_pem: &str) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(cert_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// A throw-away authority and a server certificate signed by it, all as PEM.
pub struct GeneratedCerts {
    /// What clients trust, see [`Roots::CaPem`].
    pub ca_pem: String,
    /// The server's certificate.
    pub cert_pem: String,
    /// The server's private key.
    pub key_pem: String,
}

/// Generates an authority and a certificate for `names` (host names or IP addresses), for simulated venues and tests.
///
/// # Errors
/// When a name is not valid in a certificate.
pub fn generate(names: &[&str]) -> Result<GeneratedCerts, TlsError> {
    let mut ca_params = CertificateParams::new(Vec::new())?;
    ca_params.distinguished_name.push(DnType::CommonName, "tercel simulated authority");
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_cert = ca_params.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca_params, ca_key);

    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "tercel simulated venue");
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, &issuer)?;
    Ok(GeneratedCerts { ca_pem: ca_cert.pem(), cert_pem: cert.pem(), key_pem: key.serialize_pem() })
}

fn add_all(
    store: &mut RootCertStore,
    certs: impl Iterator<Item = Result<CertificateDer<'static>, rustls::pki_types::pem::Error>>,
) -> Result<(), TlsError> {
    for cert in certs {
        store.add(cert?)?;
    }
    Ok(())
}
