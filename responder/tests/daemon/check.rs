//! `responder check`.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use serde_json::Value;

use crate::harness::{Node, small_zone, zones};

#[test]
fn a_good_configuration_is_summed_up() {
    let node = Node::new(&zones(&[("a.example.", "a.zone")]));
    node.write("a.zone", &small_zone(7));
    let ran = node.run(&["check", "--config", "r.toml"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.starts_with("zone \"a.example.\": serial 7, 4 records, 3 names, "), "{ran:?}");
}

#[test]
fn every_fault_of_configuration_and_zones_is_told_at_once() {
    let node = Node::new(&format!(
        "[limits]\nudpsize = 1232\n{}",
        zones(&[("a.example.", "a.zone"), ("b.example.", "b.zone"), ("c.example.", "c.zone")])
    ));
    node.write("a.zone", &small_zone(7));
    node.write("b.zone", &format!("{}oops A not-an-address\n", small_zone(7)));
    let ran = node.run(&["check", "--config", "r.toml"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.err, "error: r.toml: 3 errors\n");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[0].starts_with("zone \"a.example.\": serial 7"), "{ran:?}");
    assert_eq!(
        lines[1],
        "r.toml:10:1: unknown key \"udpsize\" in [limits]: did you mean \"udp-size\"?"
    );
    assert!(lines[2].starts_with("b.zone:6: zone \"b.example.\": "), "{ran:?}");
    assert!(lines[3].starts_with("c.zone: zone \"c.example.\": "), "{ran:?}");
    assert_eq!(lines.len(), 4);
}

#[test]
fn the_same_as_json() {
    let node = Node::new(&format!("[limits]\nudpsize = 1\n{}", zones(&[("a.example.", "a.zone")])));
    node.write("a.zone", &small_zone(7));
    let ran = node.run(&["check", "--config", "r.toml", "--json"]);
    assert_eq!(ran.code, Some(1));
    let findings: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(findings["errors"][0]["line"], 10);
    assert_eq!(findings["errors"][0]["file"], "r.toml");
    assert_eq!(findings["zones"][0]["serial"], 7);
}

#[test]
fn secrets_must_be_there_and_private() {
    let node = Node::new(
        "[[key]]\nname = \"k1.\"\nsecret-file = \"k1\"\n[[key]]\nname = \"k2.\"\nsecret-file = \
         \"k2\"\n",
    );
    node.write("k1", "c2VjcmV0\n");
    fs::set_permissions(node.path("k1"), Permissions::from_mode(0o644)).unwrap();
    let ran = node.run(&["check", "--config", "r.toml"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.out,
        "k1: the secret of key \"k1.\": its mode is 644, so that others have the secret: chmod 600 \
         k1\nk2: the secret of key \"k2.\": No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_zone_of_primaries_needs_none_of_them_to_be_checked() {
    let node = Node::new("[[zone]]\nname = \"sv.\"\nprimaries = [{ address = \"192.0.2.1\" }]\n");
    let ran = node.run(&["check", "--config", "r.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
}
