//! A full disk: what cannot be kept is not served, and what was served goes on being served.
//!
//! The zones' folder of the daemon is a small file system of its own, in a mount namespace that ends with
//! the daemon. Needs root.

use std::{ffi::CString, fs, io, os::unix::process::CommandExt as _, path::PathBuf};

use crate::{
    harness::{Daemon, query, serial},
    primaries::{is_served, node, secondary},
    script::{Differences, Say, Script, Scripted},
};
use hickory_proto::rr::RecordType;

/// A folder of the daemon, as it sees it.
fn inside(daemon: &Daemon<'_>, name: &str) -> PathBuf {
    let path = daemon.node.path(name);
    PathBuf::from(format!("/proc/{}/root", daemon.pid())).join(path.strip_prefix("/").unwrap())
}

/// Mounts a file system of 1 MiB over a folder, for the calling process alone.
fn mount(folder: &std::ffi::CStr) -> io::Result<()> {
    let check = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    let nothing = std::ptr::null();
    let private = libc::MS_REC | libc::MS_PRIVATE;
    let size = c"size=1m".as_ptr().cast();
    // SAFETY: plain system calls with strings that end in zero octets.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        check(libc::mount(nothing, c"/".as_ptr(), nothing, private, nothing.cast()))?;
        check(libc::mount(c"none".as_ptr(), folder.as_ptr(), c"tmpfs".as_ptr(), 0, size))
    }
}

/// From serial 1 to what `script` gives while the disk is full, and again when it is not.
fn full(script: &Script, form: &str) {
    let primary = Scripted::start(Script::good(1));
    let node = node(&secondary(&[primary.port], None, ""));
    fs::create_dir_all(node.path("state/zones")).unwrap();
    let folder = CString::new(node.path("state/zones").into_os_string().into_encoded_bytes());
    let folder = folder.unwrap();
    let daemon = node.serve_with(|command| {
        // SAFETY: between fork and exec only system calls are made.
        unsafe { command.pre_exec(move || mount(&folder)) };
    });
    daemon.until("the zone", || is_served(&daemon, 1));
    // All that is left goes into one file.
    let filler = inside(&daemon, "state/zones/filler");
    let mut file = fs::File::create(&filler).unwrap();
    while let Ok(1..) = io::Write::write(&mut file, &[0; 512]) {}
    drop(file);

    primary.set(Some(script.clone()));
    let ran = node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    assert!(ran.err.contains("No space left on device"), "{form}: {ran:?}\n{}", daemon.log());
    assert!(is_served(&daemon, 1), "{form}");
    let soa = query(5, "tld.test.", RecordType::SOA);
    assert_eq!(serial(&daemon.ask(&soa)), 1, "{form}");
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("no transfer")).expect(&log);
    for part in ["tld.test.", &primary.port.to_string(), "No space left on device"] {
        assert!(line.contains(part), "{line}");
    }

    fs::remove_file(&filler).unwrap();
    let ran = node.run(&["zone", "refresh", "tld.test.", "--config", "r.toml"]);
    assert_eq!(ran.out, "zone \"tld.test.\" is fresh: serial 2\n", "{form}: {ran:?}");
    assert_eq!(serial(&daemon.ask(&soa)), 2, "{form}");
}

#[test]
fn a_full_disk_refuses_the_next_version_and_serves_the_last() {
    // Enough that it does not fit into what a file system rounds up.
    let many = |script: &mut Script| {
        let owners = ["a.tld.test.", "b.tld.test.", "c.tld.test."];
        let address = |number: u16| {
            let [high, low] = number.to_be_bytes();
            Say::A(owners[usize::from(number % 3)], [10, 1, high, low])
        };
        script
            .messages
            .splice(1..1, (0..8).map(|part| (part * 500..part * 500 + 500).map(address).collect()));
    };
    let mut whole = Script::good(2);
    many(&mut whole);
    full(&whole, "axfr");
    let mut changes = whole.clone();
    let mut messages = whole.messages.clone();
    messages.pop();
    messages[0] = vec![Say::Soa(2), Say::Soa(1), Say::Soa(2)];
    // What is there already does not come.
    messages.pop();
    messages.push(vec![Say::Soa(2)]);
    changes.differences = Differences::Say(messages);
    full(&changes, "ixfr");
}
