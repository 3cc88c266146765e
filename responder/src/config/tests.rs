//! The messages are the interface: they are compared as exact text.

use std::{net::SocketAddr, path::Path, time::Duration};

use super::{Config, Reading, ZoneSource};
use crate::dataplane::{Mode, ReceiveScaling, watch::Watch};

/// The sample of the design, word for word.
const SAMPLE: &str = r#"
[node]
id = "scl1"                        # NSID, CHAOS id.server / hostname.bind, metrics label
state = "/var/lib/responder"       # persisted secondaries, journals, lock

[listen]
addresses = ["192.0.2.53", "2001:db8::53"]
port = 53

[xdp]
mode = "auto"                      # native (XDP, with tc behind it) | tc | off | auto
interfaces = ["eth0"]

[telemetry]
listen = "127.0.0.1:9153"          # /metrics, /healthz, /readyz, status page

[limits]
udp-size = 1232                    # replies are never larger over UDP

[transfer]
source = ["198.51.100.9"]          # unicast address of this node for SOA, XFR and NOTIFY

[[key]]
name = "client-sv."
algorithm = "hmac-sha256"
secret-file = "/etc/responder/keys/client-sv"

[[zone]]
name = "lac."
file = "zones/lac.zone"            # served from a file

[[zone]]
name = "sv."
primaries = [{ address = "203.0.113.7", port = 53, key = "client-sv." }]
notify-from = ["203.0.113.0/24"]
transfer-to = [{ address = "198.51.100.0/24", key = "client-sv." }]
"#;

fn parse(text: &str) -> Reading {
    Config::parse(Path::new("/etc/responder/r.toml"), text)
}

/// The faults of a text, without the file's name.
fn faults(text: &str) -> Vec<String> {
    let faults = parse(text).faults;
    faults.iter().map(|fault| fault.to_string().replace("/etc/responder/r.toml:", "")).collect()
}

/// The faults of one section beside a valid `[listen]`, which is the first line.
fn faults_beside_listen(text: &str) -> Vec<String> {
    faults(&format!("listen = {{ addresses = [\"192.0.2.53\"] }}\n{text}"))
}

#[test]
fn the_sample_of_the_design_works_as_it_stands() {
    let reading = parse(SAMPLE);
    assert_eq!(reading.faults, []);
    assert_eq!(reading.warnings, []);
    let config = reading.config;
    assert_eq!(config.node.id, "scl1");
    assert_eq!(config.listen.addresses.len(), 2);
    assert_eq!(config.xdp.mode, Mode::Auto);
    assert_eq!(config.xdp.receive_scaling, ReceiveScaling::Auto);
    assert_eq!(config.pins(), Path::new("/sys/fs/bpf/responder/scl1"));
    assert_eq!(config.xdp.lease, Duration::from_secs(6 * 3600));
    assert_eq!(config.xdp.watch, Watch::default(), "the programs tell nothing");
    assert_eq!(config.keys[0].name, "client-sv.");
    let file = ZoneSource::File("/etc/responder/zones/lac.zone".into());
    assert_eq!(config.zones[0].source, file);
    let ZoneSource::Primaries(primaries) = &config.zones[1].source else { panic!("no primaries") };
    assert_eq!(primaries[0].address, SocketAddr::from(([203, 0, 113, 7], 53)));
    assert_eq!(primaries[0].key.as_deref(), Some("client-sv."));
    assert_eq!(config.zones[1].notify_from[0].to_string(), "203.0.113.0/24");
}

#[test]
fn every_other_key_has_a_default() {
    let reading = parse("[listen]\naddresses = [\"127.0.0.1\"]\n[xdp]\nmode = \"off\"\n");
    assert_eq!(reading.faults, []);
    assert_eq!(reading.warnings, []);
    let config = reading.config;
    assert!(!config.node.id.is_empty());
    assert_eq!(config.node.state, Path::new("/var/lib/responder"));
    assert_eq!(config.listen.port, 53);
    assert_eq!(config.telemetry.listen, None);
    assert_eq!(config.limits.udp_size, 1232);
    assert_eq!(config.limits.tcp_idle, Duration::from_secs(10));
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    let text = "[listen]\naddresses = [\"127.0.0.1\"]\nprot = 53\n[xpd]\n[limits]\nudp_size = 512\n\
                zzz = 1\n";
    assert_eq!(
        faults(text),
        [
            "3:1: unknown key \"prot\" in [listen]: did you mean \"port\"?",
            "4:2: unknown key \"xpd\" in the configuration: did you mean \"xdp\"?",
            "6:1: unknown key \"udp_size\" in [limits]: did you mean \"udp-size\"?",
            "7:1: unknown key \"zzz\" in [limits]: known here: udp-size, udp-threads, \
             tcp-connections, tcp-connections-per-source, tcp-idle, passed, passed-per-source, transfers, \
             transfers-per-primary, transfers-out, transfers-out-per-peer, transfer-idle, transfer-time, transfer-octets, transfer-records, store-octets",
        ]
    );
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"
[node]
id = ""
[listen]
addresses = ["localhost", "0.0.0.0", "192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1:53"]
port = 70000
[xdp]
mode = "nativ"
interfaces = ["a name too long for one"]
[telemetry]
listen = "9153"
[limits]
udp-size = 5000
tcp-idle = "10"
"#;
    assert_eq!(
        faults(text),
        [
            "3:6: id in [node]: \"\": the identity is empty: give the node a name, or leave the \
             key out",
            "5:14: addresses in [listen]: \"localhost\": not an IPv4 or IPv6 address",
            "5:27: addresses in [listen]: \"0.0.0.0\": a wildcard: name each address, since a \
             reply must leave from the address that was asked",
            "5:51: addresses in [listen] names 192.0.2.1 twice: remove one",
            "5:64: addresses in [listen]: \"::ffff:192.0.2.1\": an IPv4 address in IPv6 form: \
             write \"192.0.2.1\"",
            "5:84: addresses in [listen]: \"192.0.2.1:53\": the address stands alone here: give \
             the port in its own key",
            "6:8: port in [listen] is 70000: it must be from 1 to 65535",
            "8:8: mode in [xdp]: \"nativ\": the modes are \"native\", \"tc\", \"off\" and \"auto\"",
            "9:15: interfaces in [xdp]: \"a name too long for one\": not the name of an \
             interface: `ip link` lists them",
            "11:10: listen in [telemetry]: \"9153\": not an address and a port, such as \
             \"127.0.0.1:9153\"",
            "13:12: udp-size in [limits] is 5000: it must be from 512 to 4096",
            "14:12: tcp-idle in [limits]: \"10\": a time is a number and ms, s, m, h or d, such \
             as \"10s\"",
        ]
    );
}

#[test]
fn rfc5001_an_identity_fits_beside_the_longest_question() {
    assert_eq!(faults_beside_listen(&format!("[node]\nid = \"{}\"", "x".repeat(64))), [""; 0]);
    let text = format!("[node]\nid = \"{}\"", "x".repeat(65));
    let expected = format!(
        "3:6: id in [node]: \"{}\": the identity has 65 octets: NSID carries at most 64, shorten it",
        "x".repeat(65)
    );
    assert_eq!(faults_beside_listen(&text), [expected]);
}

#[test]
fn addresses_are_required() {
    let missing = "addresses in [listen] is missing: name the addresses that this node answers \
                   on, such as addresses = [\"192.0.2.53\"]";
    assert_eq!(faults("[xdp]\nmode = \"off\""), [format!("1:1: {missing}")]);
    assert_eq!(faults("[listen]\naddresses = []"), [format!("2:13: {missing}")]);
}

#[test]
fn receive_scaling_has_three_words() {
    assert_eq!(
        faults_beside_listen("[xdp]\nmode = \"off\"\nreceive-scaling = \"yes\""),
        ["4:19: receive-scaling in [xdp]: \"yes\": one of \"auto\", \"on\" and \"off\""]
    );
}

#[test]
fn what_the_programs_tell_is_a_number_and_a_word() {
    let text = "[listen]\naddresses = [\"192.0.2.53\"]\n[xdp]\nmode = \"off\"\nshadow = 1000\ndebug = true";
    assert_eq!(parse(text).config.xdp.watch, Watch { shadow: 1000, debug: true });
    let faults = faults_beside_listen("[xdp]\nmode = \"off\"\nshadow = true\ndebug = 1");
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("4:10: shadow in [xdp]"), "{faults:?}");
    assert!(faults[1].starts_with("5:9: debug in [xdp]"), "{faults:?}");
}

#[test]
fn kernel_modes_need_interfaces() {
    let remedy = "name the interfaces on which queries arrive, such as interfaces = [\"eth0\"], \
                  or set mode = \"off\"";
    assert_eq!(
        faults_beside_listen("[xdp]\nmode = \"native\""),
        [format!("2:1: interfaces in [xdp] is empty: {remedy}")]
    );
    let reading = parse("[listen]\naddresses = [\"192.0.2.53\"]\n[xdp]\ninterfaces = []");
    assert_eq!(reading.faults, []);
    assert_eq!(
        reading.warnings[0].to_string(),
        format!(
            "/etc/responder/r.toml:4:14: interfaces in [xdp] is empty, so only sockets answer: \
             {remedy}"
        )
    );
}

#[test]
fn zones_are_told_apart_by_their_names() {
    let text = r#"[[zone]]
name = "LAC"
file = "a"
[[zone]]
name = "lac."
file = "b"
[[zone]]
file = "c"
[[zone]]
name = "a..b"
file = "d"
"#;
    let faults = faults_beside_listen(text);
    assert_eq!(
        faults[..2],
        [
            "6:8: zone \"lac.\" stands twice, first in line 3: remove one",
            "8:1: [[zone]] has no name: give it one",
        ]
    );
    assert!(faults[2].starts_with("11:8: name in [[zone]]: \"a..b\": "), "{}", faults[2]);
    assert_eq!(faults.len(), 3);
}

#[test]
fn a_zone_has_one_source() {
    let text = r#"[[zone]]
name = "a."
[[zone]]
name = "b."
file = "b"
primaries = [{ address = "192.0.2.1" }]
[[zone]]
name = "c."
primaries = []
[[zone]]
name = "d."
primaries = [{ port = 53 }]
[[zone]]
name = "e."
file = ""
"#;
    assert_eq!(
        faults_beside_listen(text),
        [
            "2:1: zone \"a.\" has neither a file nor primaries: say where its data come from",
            "7:13: zone \"b.\" has both a file and primaries: keep the one that its data come from",
            "10:13: zone \"c.\" has an empty list of primaries: name one",
            "13:14: [[primaries]] has no address: give one, such as { address = \"203.0.113.7\" }",
            "16:8: file in zone \"e.\": \"\": the path is empty: name a file, or leave the key out",
        ]
    );
}

#[test]
fn secrets_come_from_files_and_keys_must_exist() {
    let text = r#"[[key]]
name = "k1."
secret = "c2VjcmV0"
[[key]]
name = "k2."
algorithm = "hmac-md5"
secret-file = "k2"
[[zone]]
name = "a."
primaries = [{ address = "192.0.2.1", key = "k3." }]
transfer-to = [{ address = "192.0.2.1/24", key = "k1." }]
"#;
    assert_eq!(
        faults_beside_listen(text),
        [
            "2:1: key \"k1.\" has no secret-file: name the file that holds its secret",
            "4:1: secret in key \"k1.\": secrets never stand in the configuration: put it into a \
             file of its own, readable by the daemon only, and name that with secret-file",
            "7:13: algorithm in key \"k2.\": \"hmac-md5\": the algorithms are hmac-sha1, \
             hmac-sha224, hmac-sha256, hmac-sha384, hmac-sha512",
            "11:45: key in [[primaries]]: \"k3.\": there is no such key: add a [[key]] with this \
             name, or use one of k1., k2.",
            "12:28: address in [[transfer-to]]: \"192.0.2.1/24\": bits are set beyond the prefix: \
             write \"192.0.2.0/24\"",
        ]
    );
}

#[test]
fn values_of_another_type_are_told() {
    assert_eq!(
        faults_beside_listen("node = 1\n[limits]\nudp-size = \"1232\"\n[xdp]\ninterfaces = \"e\""),
        [
            "2:8: node in the configuration is a section, headed [node], not an integer",
            "4:12: udp-size in [limits] is a whole number, not a string",
            "6:14: interfaces in [xdp] is a list of strings, such as [\"...\"], not a string",
        ]
    );
}

#[test]
fn every_line_that_is_not_toml_is_told() {
    let faults = faults("[listen]\naddresses = [\"192.0.2.53\"\nport 53\n[xdp\nmode = off\n");
    assert!(faults.len() >= 2, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.contains(": not TOML: ")), "{faults:?}");
}

#[test]
fn a_missing_file_is_one_line() {
    let reading = Config::read(Path::new("/nonexistent/r.toml"));
    let faults: Vec<String> = reading.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "/nonexistent/r.toml: cannot read the configuration: No such file or directory (os error \
          2)"
        ]
    );
}

#[test]
fn a_source_of_too_few_octets_a_second_is_told() {
    assert_eq!(
        faults_beside_listen("[rate-limit]\noctets = 999\noctets-wide = 0\n"),
        ["3:10: octets 999 is too little: 0 is no limit, else it is at least 1000"]
    );
}
