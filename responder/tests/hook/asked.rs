//! A node on `v0` whose addresses frames can be sent to.

#[path = "../everywhere/packet.rs"]
pub mod packet;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    process::Command,
};

use packet::{Headers, query};

use crate::{
    harness::{Node, run, small_zone, zones},
    space::separate,
};

/// The node, in a namespace of this thread's.
pub struct Served {
    pub node: Node,
}

impl Served {
    /// With more in `[xdp]`.
    pub fn new(mode: &str, xdp: &str) -> Self {
        separate();
        for address in ["192.0.2.2/32", "2001:db8::2/128"] {
            let mut add = Command::new("ip");
            add.args(["address", "add", address, "dev", "lo"]);
            // Usable at once.
            let add = run(add.args(address.contains(':').then_some("nodad")));
            assert_eq!(add.code, Some(0), "{add:?}");
        }
        let node = Node::new("");
        let (port, zones) = (node.port, zones(&[("a.example.", "a.zone")]));
        node.write(
            "r.toml",
            &format!(
                "[node]\nid = \"test-node\"\nstate = \"state\"\n[listen]\naddresses = [\"192.0.2.2\", \
                 \"2001:db8::2\"]\nport = {port}\n[xdp]\nmode = \"{mode}\"\ninterfaces = [\"v0\"]\npins = \
                 \"bpf\"\n{xdp}\n{zones}"
            ),
        );
        node.write("a.zone", &small_zone(7));
        Self { node }
    }

    /// Has the daemon become somebody who owns nothing, and a helper keep the privileges.
    pub fn of_nobody(self) -> Self {
        let file = self.node.path("r.toml");
        let text = fs::read_to_string(&file).unwrap();
        self.node.write("r.toml", &text.replace("[node]\n", "[node]\nuser = \"nobody\"\n"));
        fs::set_permissions(self.node.path("."), Permissions::from_mode(0o777)).unwrap();
        for name in ["r.toml", "a.zone"] {
            fs::set_permissions(self.node.path(name), Permissions::from_mode(0o644)).unwrap();
        }
        self
    }

    /// What stands in front of a query to it, in both families.
    pub fn headers(&self) -> [Headers; 2] {
        [Headers::v4(), Headers::v6()].map(|headers| Headers { port: self.node.port, ..headers })
    }

    /// A query for the address of `www.a.example`.
    pub fn query(&self, id: u16) -> Vec<u8> {
        query(id, b"\x03www\x01a\x07example\0", 1, None)
    }
}
