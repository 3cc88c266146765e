//! Zones over TLS (RFC 9103): between two of ours, and with BIND and NSD.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use crate::{
    ask::{axfr, zone},
    harness::{Daemon, Node, free_port},
    servers::{Kind, Server},
};

/// An authority, and the certificates of a server and of a client by it, in files.
struct Certificates {
    folder: tempfile::TempDir,
    /// The pin of the server's public key.
    pin: String,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority.test");
        let authority = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let mut pin = String::new();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![format!("{name}.test")]).unwrap();
            params.distinguished_name.push(DnType::CommonName, format!("{name}.test"));
            let certificate = params.signed_by(&key, &issuer).unwrap();
            fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            let file = folder.path().join(format!("{name}.key"));
            fs::write(&file, key.serialize_pem()).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            if name == "server" {
                let certificate: &CertificateDer<'_> = certificate.der();
                let parsed = rustls::server::ParsedCertificate::try_from(certificate).unwrap();
                let digest = Sha256::digest(&*parsed.subject_public_key_info());
                pin = domain::utils::base64::encode_string(&digest);
            }
        }
        Self { folder, pin }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Our listener.
    fn listener(&self, port: u16, more: &str) -> String {
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        format!(
            "[transfer]\ntls-listen = [\"127.0.0.1\"]\ntls-port = {port}\ntls-certificate = \
             \"{certificate}\"\ntls-key = \"{key}\"\n{more}"
        )
    }

    /// What clients trust.
    fn authority(&self) -> String {
        format!("server-name = \"server.test\"\nca-file = \"{}\"\n", self.path("ca.pem"))
    }
}

/// A node that gives `tld.test.` over TLS alone.
fn distributor(certificates: &Certificates, port: u16, more: &str) -> Node {
    let listener = certificates.listener(port, more);
    let node = Node::new(&format!(
        "{listener}[[zone]]\nname = \"tld.test.\"\nfile = \"zone\"\ntransfer-to = [{{ address = \
         \"127.0.0.0/8\", tls = true }}]\n"
    ));
    node.write("zone", &zone(5, 3000));
    node
}

/// A node that follows a primary on a port of 127.0.0.1 over TLS.
fn follower(port: u16, profile: &str) -> Node {
    Node::new(&format!(
        "[transfer]\nretry-min = \"1s\"\nretry-max = \"1s\"\n[[tls]]\nname = \"up\"\n{profile}[[zone]]\n\
         name = \"tld.test.\"\nprimaries = [{{ address = \"127.0.0.1\", port = {port}, tls = \"up\" \
         }}]\ntransfer-to = [{{ address = \"127.0.0.0/8\" }}]\n"
    ))
}

fn is_served(daemon: &Daemon<'_>, serial: u32) -> bool {
    let zone = daemon.zone("tld.test.");
    zone["state"] == "serving" && zone["serial"] == serial
}

/// Why the zone did not come.
fn fault(daemon: &Daemon<'_>) -> String {
    daemon.until("the fault", || daemon.zone("tld.test.")["state"] == "failed");
    daemon.zone("tld.test.")["last-error"].as_str().unwrap().to_owned()
}

#[test]
fn rfc9103_a_zone_goes_over_tls_alone_recognised_by_authority_or_by_pin() {
    let certificates = Certificates::new();
    let port = free_port();
    let node = distributor(&certificates, port, "");
    let primary = node.serve();
    assert_eq!(axfr(node.port, "tld.test", None).1, 0, "over TCP it is not given");
    let pin = format!("pins = [\"{}\"]\n", certificates.pin);
    for profile in [certificates.authority(), pin] {
        let node = follower(port, &profile);
        let daemon = node.serve();
        daemon.until("the zone", || is_served(&daemon, 5));
        assert_eq!(axfr(node.port, "tld.test", None).1, 6012);
    }
    let given = primary.log().matches("zone given").count();
    let over_tls = primary.log().matches("tls=true").count();
    assert_eq!((given, over_tls), (2, 2), "{}", primary.log());
}

#[test]
fn rfc9103_a_server_that_is_not_the_right_one_gets_no_question() {
    let certificates = Certificates::new();
    let port = free_port();
    let node = distributor(&certificates, port, "");
    let primary = node.serve();
    let other = Certificates::new();
    let name =
        format!("server-name = \"other.test\"\nca-file = \"{}\"\n", certificates.path("ca.pem"));
    for (profile, why) in [
        (other.authority(), "certificate"),
        (name, "not valid for name"),
        (format!("pins = [\"{}\"]\n", other.pin), "none of the pinned"),
    ] {
        let node = follower(port, &profile);
        let daemon = node.serve();
        let fault = fault(&daemon);
        assert!(fault.contains("TLS: ") && fault.contains(why), "{fault}");
    }
    primary.until("the count", || {
        primary.status()["sockets"]["tcp"]["connection-handshake"].as_u64() >= Some(3)
    });
    // TLS against a port that speaks plain DNS.
    let node = follower(node.port, &certificates.authority());
    let daemon = node.serve();
    let fault = fault(&daemon);
    assert!(fault.contains("TLS: "), "{fault}");
}

#[test]
fn rfc9103_where_clients_must_be_known_they_show_their_certificate() {
    let certificates = Certificates::new();
    let port = free_port();
    let known = format!("tls-client-ca = \"{}\"\n", certificates.path("ca.pem"));
    let node = distributor(&certificates, port, &known);
    let _primary = node.serve();
    let stranger = follower(port, &certificates.authority());
    let daemon = stranger.serve();
    fault(&daemon);
    let identity = format!(
        "{}certificate = \"{}\"\nkey = \"{}\"\n",
        certificates.authority(),
        certificates.path("client.pem"),
        certificates.path("client.key")
    );
    let node = follower(port, &identity);
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 5));
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    let certificates = Certificates::new();
    let key = certificates.path("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let node = distributor(&certificates, free_port(), "");
    let ran = node.run(&["serve", "--config", "r.toml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let told = format!("{key}: its mode is 644, so that others have the secret: chmod 600 {key}");
    assert!(ran.err.contains(&told) || ran.out.contains(&told), "{ran:?}");
}

fn bind_base(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "directory \"{folder}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
         pid-file \"{folder}/pid\"; session-keyfile \"{folder}/session\"; recursion no; notify no; \
         dnssec-validation no; allow-transfer {{ any; }};"
    )
}

#[test]
fn rfc9103_bind_follows_us_over_tls() {
    let certificates = Certificates::new();
    let (tls, port) = (free_port(), free_port());
    let node = distributor(&certificates, tls, "");
    let daemon = node.serve();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "options {{ {} }};\ncontrols {{ }};\ntls up {{ ca-file \"{}\"; remote-hostname \
         \"server.test\"; protocols {{ TLSv1.3; }}; }};\nzone \"tld.test.\" {{ type secondary; file \
         \"zone\"; primaries {{ 127.0.0.1 port {tls} tls up; }}; }};\n",
        bind_base(folder.path(), port),
        certificates.path("ca.pem")
    );
    let mut server = Server::start(Kind::Bind, port, folder, &config);
    server.until_up("tld.test.");
    assert_eq!(axfr(port, "tld.test", None).1, 6012, "{}", server.log());
    assert!(daemon.log().contains("tls=true"), "{}", daemon.log());
}

#[test]
fn rfc9103_bind_gives_us_its_zone_over_tls() {
    let certificates = Certificates::new();
    let (tls, port) = (free_port(), free_port());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("zone"), zone(5, 3000)).unwrap();
    let config = format!(
        "tls here {{ cert-file \"{}\"; key-file \"{}\"; protocols {{ TLSv1.3; }}; }};\noptions {{ {} \
         listen-on port {tls} tls here {{ 127.0.0.1; }}; }};\ncontrols {{ }};\nzone \"tld.test.\" {{ \
         type primary; file \"zone\"; allow-transfer port {tls} transport tls {{ any; }}; }};\n",
        certificates.path("server.pem"),
        certificates.path("server.key"),
        bind_base(folder.path(), port)
    );
    let mut server = Server::start(Kind::Bind, port, folder, &config);
    server.until_up("tld.test.");
    let node = follower(tls, &certificates.authority());
    let daemon = node.serve();
    daemon.until("the zone", || is_served(&daemon, 5));
    let (records, count) = axfr(node.port, "tld.test", None);
    assert_eq!(count, 6012);
    assert!(records.contains("MiXed.Tld.test. 3600 IN CNAME tArget.Elsewhere.example."));
}

#[test]
fn rfc9103_nsd_follows_us_over_tls() {
    let certificates = Certificates::new();
    let (tls, port) = (free_port(), free_port());
    let node = distributor(&certificates, tls, "");
    let daemon = node.serve();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let config = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  database: \"\"\n  zonesdir: \
         {here}\n  pidfile: {here}/pid\n  xfrdfile: {here}/xfrd\n  zonelistfile: {here}/list\n  xfrdir: \
         {here}\n  server-count: 1\n  verbosity: 2\n  tls-cert-bundle: \"{}\"\nremote-control:\n  \
         control-enable: no\ntls-auth:\n  name: up\n  auth-domain-name: server.test\nzone:\n  name: \
         tld.test.\n  zonefile: {here}/zone\n  request-xfr: AXFR 127.0.0.1@{tls} NOKEY up\n  provide-xfr: \
         127.0.0.0/8 NOKEY\n",
        certificates.path("ca.pem")
    );
    let mut server = Server::start(Kind::Nsd, port, folder, &config);
    server.until_up("tld.test.");
    assert_eq!(axfr(port, "tld.test", None).1, 6012, "{}", server.log());
    assert!(daemon.log().contains("tls=true"), "{}", daemon.log());
}
