//! TLS for transfers (RFC 9103): version 1.3 and nothing older, ALPN `dot`, both directions.
//!
//! A client recognises a server by an authority and its name, or by a pin of its public key; a server
//! recognises clients by an authority where it is told to. Certificates and keys stand in files, which are
//! read again with each configuration.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::Path,
    sync::{Arc, RwLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::{ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::{Cause, Failure};
use crate::{
    config::{Identity, TlsListen, TlsProfile, Trust},
    locks,
    privilege::read_secret,
};

/// The protocol's name in the handshake (RFC 9103, section 7.1).
const ALPN: &[u8] = b"dot";

/// How servers are spoken with, by the names of the profiles; one that cannot be used says why.
#[derive(Default)]
pub struct Profiles(BTreeMap<String, Result<Arc<Profile>, String>>);

/// How some servers are spoken with.
pub struct Profile {
    config: Arc<ClientConfig>,
    /// The name of their certificate; their address where there is none.
    name: Option<ServerName<'static>>,
}

impl Profiles {
    /// Reads the files of all profiles.
    pub fn load(profiles: &[TlsProfile]) -> Self {
        let load = |profile: &TlsProfile| {
            let told = |message| format!("tls \"{}\": {message}", profile.name);
            (profile.name.clone(), Profile::load(profile).map(Arc::new).map_err(told))
        };
        Self(profiles.iter().map(load).collect())
    }

    /// The profile that a part of the configuration names, if it names one.
    pub fn named(&self, name: Option<&String>) -> Option<Result<Arc<Profile>, String>> {
        name.map(|name| {
            let missing = || Err(format!("no [[tls]] \"{name}\" is configured"));
            self.0.get(name).cloned().unwrap_or_else(missing)
        })
    }
}

impl Profile {
    fn load(profile: &TlsProfile) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| error.to_string())?;
        let builder = match &profile.trust {
            Trust::Authorities(file) => builder.with_root_certificates(authorities(file)?),
            Trust::Pins(pins) => {
                let verifier = Pinned { pins: pins.clone(), provider: provider() };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let mut config = match &profile.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = read(identity)?;
                let wrong = |error| format!("{}: {error}", identity.certificate.display());
                builder.with_client_auth_cert(chain, key).map_err(wrong)?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = profile.server_name.clone().map(ServerName::try_from).transpose();
        let name = name.map_err(|error| error.to_string())?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Shakes hands with the server at an address.
    ///
    /// # Errors
    /// It is not the one that it should be, or speaks something else.
    pub async fn connect(
        &self,
        address: IpAddr,
        stream: TcpStream,
    ) -> Result<client::TlsStream<TcpStream>, Failure> {
        let name = self.name.clone().unwrap_or_else(|| ServerName::from(address));
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let failed = |error: io::Error| Failure::new(Cause::Tls, format!("TLS: {error}"));
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            let message = "TLS: it does not speak DNS there (no ALPN \"dot\")";
            return Err(Failure::new(Cause::Tls, message));
        }
        Ok(stream)
    }
}

/// Our side where others connect.
pub struct Listener {
    files: TlsListen,
    config: RwLock<Arc<ServerConfig>>,
}

impl Listener {
    /// Reads the files.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn load(files: &TlsListen) -> Result<Self, String> {
        Ok(Self { files: files.clone(), config: RwLock::new(server_config(files)?) })
    }

    /// Reads the files again, for a certificate that was renewed.
    ///
    /// # Errors
    /// One line that names the file; what was read before goes on being used.
    pub fn reload(&self) -> Result<(), String> {
        let config = server_config(&self.files)?;
        *locks::write(&self.config) = config;
        Ok(())
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// It is not let in, or speaks something else.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let config = Arc::clone(&locks::read(&self.config));
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(ALPN) => Ok(stream),
            _ => Err(io::Error::other("the client does not say that it speaks DNS")),
        }
    }
}

fn server_config(files: &TlsListen) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(authorities(file)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|error| format!("{}: {error}", file.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key) = read(&files.identity)?;
    let wrong = |error| format!("{}: {error}", files.identity.certificate.display());
    let mut config = builder.with_single_cert(chain, key).map_err(wrong)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A certificate, those that lead to its authority, and its key.
fn read(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = certificates(&identity.certificate)?;
    let file = &identity.key;
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = read_secret(file).map_err(|error| told(&error))?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| told(&error))?;
    Ok((chain, key))
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        let wrong = |error| format!("{}: {error}", file.display());
        store.add(certificate).map_err(wrong)?;
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| told(&error))?;
    match certificates.is_empty() {
        true => Err(told(&"it holds no certificate in PEM")),
        false => Ok(certificates),
    }
}

/// Takes whoever has the private key of a pinned public key, whatever else the certificate says.
#[derive(Debug)]
struct Pinned {
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let digest: [u8; 32] = Sha256::digest(&*key).into();
        match self.pins.contains(&digest) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General("its public key is none of the pinned".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
