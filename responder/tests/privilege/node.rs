//! A node whose daemon becomes another user, with an interface and pins of its own.

use std::{
    ffi::CString,
    fs::{self, Permissions},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, fs::chown},
};

use nix::unistd::User;

use crate::{
    harness::{Daemon, Node, small_zone, zones},
    intruder::PROGRAMS,
    space::separate,
};

/// An address that a service may announce.
pub const SERVICE: &str = "192.0.2.53";
/// A user that every system has, and that owns nothing.
pub const USER: &str = "nobody";

pub fn user(name: &str) -> u32 {
    User::from_name(name).unwrap().expect("the user is there").uid.as_raw()
}

/// A node in a network namespace of its own: the calling thread's.
pub struct Confined {
    pub node: Node,
    addresses: &'static [&'static str],
    /// What gives the intruder a zone to check.
    primary: Option<Node>,
}

impl Confined {
    pub fn new(more: &str) -> Self {
        Self::with_addresses(&["127.0.0.1"], more)
    }

    /// One that answers at other addresses too.
    pub fn with_addresses(addresses: &'static [&'static str], more: &str) -> Self {
        separate();
        let node = Node::new("");
        let confined = Self { node, addresses, primary: None };
        confined.configure(more);
        confined
    }

    /// A node with a zone that the intruder is to judge: this program once more, of which the daemon runs
    /// one test.
    pub fn with_intruder(test: &str) -> Self {
        // As long as this thread's root is the one under which the program was started.
        let this = std::env::current_exe().unwrap();
        let mut confined = Self::new("");
        let primary = Node::new(&format!(
            "{}transfer-to = [{{ address = \"127.0.0.0/8\" }}]\n",
            zones(&[("b.example.", "b.zone")])
        ));
        primary.write("b.zone", &small_zone(3));
        let port = primary.port;
        confined.primary = Some(primary);
        let folder = confined.node.path(PROGRAMS);
        fs::create_dir(&folder).unwrap();
        let program = folder.join("intruder");
        fs::copy(this, &program).unwrap();
        fs::create_dir(confined.node.path("keys")).unwrap();
        confined.node.write("keys/ours", "c2VjcmV0\n");
        confined.give_away("keys/ours");
        // Of somebody else, in the same folder.
        confined.node.write("keys/theirs", "c2VjcmV0\n");
        fs::set_permissions(confined.node.path("keys/theirs"), Permissions::from_mode(0o600))
            .unwrap();
        confined.configure(&format!(
            "[[key]]\nname = \"k.\"\nsecret-file = \"keys/ours\"\n[[zone]]\nname = \
             \"b.example.\"\nprimaries = [{{ address = \"127.0.0.1\", port = {port} }}]\ncheck-command \
             = [\"{}\", \"--exact\", \"{test}\", \"--nocapture\"]\n",
            program.display()
        ));
        confined
    }

    fn configure(&self, more: &str) {
        let node = &self.node;
        fs::set_permissions(node.path("."), Permissions::from_mode(0o755)).unwrap();
        let state = node.path("state");
        fs::create_dir_all(&state).unwrap();
        chown(&state, Some(user(USER)), None).unwrap();
        node.write(
            "r.toml",
            &format!(
                "[node]\nid = \"test-node\"\nstate = \"state\"\nuser = \"{USER}\"\n[listen]\naddresses = \
                 {:?}\nport = {}\n[xdp]\nmode = \"native\"\ninterfaces = [\"v0\"]\npins = \
                 \"bpf\"\n{}{more}",
                self.addresses, node.port,
                zones(&[("a.example.", "a.zone")])
            ),
        );
        node.write("a.zone", &small_zone(7));
        self.give_away("r.toml");
        self.give_away("a.zone");
    }

    /// Lets the daemon's user read a file.
    pub fn give_away(&self, name: &str) {
        chown(self.node.path(name), Some(user(USER)), None).unwrap();
    }

    pub fn serve(&self) -> Running<'_> {
        let primary = self.primary.as_ref().map(Node::serve);
        let daemon = self.node.serve_with(|command| {
            command.args(["--on-stop", "detach"]);
        });
        Running { daemon, _primary: primary }
    }

    /// The helper of a daemon.
    pub fn helper(&self, daemon: &Daemon<'_>) -> u32 {
        let path = format!("/proc/{0}/task/{0}/children", daemon.pid());
        let children = fs::read_to_string(path).unwrap();
        let [helper] = children.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
            panic!("one child: {children}")
        };
        helper.parse().unwrap()
    }

    /// The names of what is pinned.
    pub fn pins(&self) -> Vec<String> {
        let entries = fs::read_dir(self.node.path("bpf")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // bpffs itself has two files.
        names.filter(|name| !name.ends_with(".debug")).collect()
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        let pins = CString::new(self.node.path("bpf").as_os_str().as_bytes()).unwrap();
        // SAFETY: the string ends with a zero and outlives the call. Where nothing is mounted, nothing is
        // done.
        unsafe { libc::umount2(pins.as_ptr(), libc::MNT_DETACH) };
    }
}

/// The daemon, and whoever it has its zones from.
pub struct Running<'a> {
    daemon: Daemon<'a>,
    _primary: Option<Daemon<'a>>,
}

impl<'a> std::ops::Deref for Running<'a> {
    type Target = Daemon<'a>;

    fn deref(&self) -> &Daemon<'a> {
        &self.daemon
    }
}

impl std::ops::DerefMut for Running<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.daemon
    }
}
