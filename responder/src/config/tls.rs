//! TLS: the listener of `[transfer]`, and `[[tls]]`, by which servers are recognised.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

use domain::utils::base64;

use super::{
    read::{parse_address, resolve},
    table::Table,
};

/// The `tls-...` keys of `[transfer]`: a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsListen {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its port, 853 by default.
    pub port: u16,
    /// Who we are.
    pub identity: Identity,
    /// The file of the authorities whose clients are let in; without one, any client is.
    pub client_ca: Option<PathBuf>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The file of the certificate and those that lead to its authority, in PEM.
    pub certificate: PathBuf,
    /// The file of its private key, in PEM.
    pub key: PathBuf,
}

/// `[[tls]]`: how servers are recognised over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsProfile {
    /// What zones call it.
    pub name: String,
    /// The name that the server's certificate must have; its address by default.
    pub server_name: Option<String>,
    /// Whom to trust.
    pub trust: Trust,
    /// Who we are, for servers that want to know.
    pub identity: Option<Identity>,
}

/// What makes a server's certificate good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// An authority of this file signed it, and it has the right name.
    Authorities(PathBuf),
    /// Its public key has one of these SHA-256 digests (RFC 7858, section 4.2).
    Pins(Vec<[u8; 32]>),
}

/// The port of DNS over TLS (RFC 7858, section 3.1).
pub(super) const PORT: u16 = 853;

/// The names of all `[[tls]]`, those at fault included, so that zones which name one are not accused too.
pub(super) type Names = BTreeSet<String>;

/// The `tls-...` keys of `[transfer]`.
pub(super) fn read_listener(table: &Table<'_>, directory: &Path) -> Option<TlsListen> {
    let addresses: Vec<_> =
        table.list("tls-listen", parse_address).into_iter().map(|(address, _)| address).collect();
    let port = table.integer("tls-port", 1..=65_535).unwrap_or(u64::from(PORT));
    let identity = read_identity(table, ["tls-certificate", "tls-key"], directory);
    let client_ca = read_path(table, "tls-client-ca", directory);
    if addresses.is_empty() {
        for key in ["tls-port", "tls-certificate", "tls-key", "tls-client-ca"] {
            if table.has(key) {
                let message = format!("{key} in [transfer] has no effect without tls-listen");
                table.reader().warn(&table.span_of(key), message);
            }
        }
        return None;
    }
    let Some(identity) = identity else {
        if !table.has("tls-certificate") && !table.has("tls-key") {
            let message = "tls-listen in [transfer]: name the files of the certificate and its key \
                           with tls-certificate and tls-key";
            table.reader().fault(&table.span_of("tls-listen"), message);
        }
        return None;
    };
    Some(TlsListen { addresses, port: u16::try_from(port).ok()?, identity, client_ca })
}

pub(super) fn read_profiles(tables: Vec<Table<'_>>, directory: &Path) -> (Vec<TlsProfile>, Names) {
    let mut lines = BTreeMap::new();
    let mut names = Names::new();
    let mut profiles = Vec::new();
    for mut table in tables {
        let any = |text: &str| Ok(text.to_owned());
        let Some(name) = table.unique_name("tls", &mut lines, any) else { continue };
        names.insert(name.clone());
        profiles.extend(read_profile(table, name, directory));
    }
    (profiles, names)
}

fn read_profile(table: Table<'_>, name: String, directory: &Path) -> Option<TlsProfile> {
    let server_name = table.parsed("server-name", |text| {
        rustls::pki_types::DnsName::try_from(text)
            .map(|_| text.to_owned())
            .map_err(|_| "not the name of a host".to_owned())
    });
    let authorities = read_path(&table, "ca-file", directory);
    let pins: Vec<[u8; 32]> =
        table.list("pins", parse_pin).into_iter().map(|(pin, _)| pin).collect();
    let identity = read_identity(&table, ["certificate", "key"], directory);
    let trust = match (authorities, pins.is_empty()) {
        (Some(file), true) => Some(Trust::Authorities(file)),
        (None, false) => Some(Trust::Pins(pins)),
        (Some(_), false) => {
            let message = format!("{} has both ca-file and pins: keep one", table.title);
            table.reader().fault(&table.span_of("pins"), message);
            None
        }
        (None, true) => {
            if !table.has("ca-file") && !table.has("pins") {
                let message = format!(
                    "{} trusts everybody: name a ca-file, or the pins of the servers' public keys",
                    table.title
                );
                table.reader().fault(&table.span, message);
            }
            None
        }
    };
    table.finish();
    Some(TlsProfile {
        name,
        server_name: server_name.map(|(name, _)| name),
        trust: trust?,
        identity,
    })
}

/// A certificate and its key: both or neither.
fn read_identity(
    table: &Table<'_>,
    [certificate, key]: [&'static str; 2],
    directory: &Path,
) -> Option<Identity> {
    let files = [certificate, key].map(|name| read_path(table, name, directory));
    let missing = match (table.has(certificate), table.has(key)) {
        (true, false) => Some((certificate, key)),
        (false, true) => Some((key, certificate)),
        _ => None,
    };
    if let Some((there, missing)) = missing {
        let message = format!("{there} in {}: {missing} is missing", table.title);
        table.reader().fault(&table.span_of(there), message);
    }
    let [certificate, key] = files;
    Some(Identity { certificate: certificate?, key: key? })
}

fn read_path(table: &Table<'_>, key: &'static str, directory: &Path) -> Option<PathBuf> {
    table.parsed(key, |path| resolve(directory, path)).map(|(path, _)| path)
}

/// A digest in base64, as `openssl dgst -sha256 -binary | base64` prints it.
fn parse_pin(text: &str) -> Result<[u8; 32], String> {
    let octets: Vec<u8> = base64::decode(text).map_err(|error| format!("not base64: {error}"))?;
    octets.try_into().map_err(|octets: Vec<u8>| {
        format!("a SHA-256 digest has 32 octets, and this has {}", octets.len())
    })
}
