//! A program of the operator's judges a zone: it gets the text on its standard input, and says no with
//! its exit code.

use std::{
    io::{self, BufWriter, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
};

use domain::{
    base::{ParsedName, Rtype, rdata::ParseRecordData},
    dep::octseq::Parser,
    rdata::ZoneRecordData,
};

use super::{Check, Subject, records, zone_name};
use crate::zone::{name, serial::serial_of};

/// How much of what the program complains about is kept, in octets.
const COMPLAINT: u64 = 4096;

/// Runs the program over a zone.
///
/// # Errors
/// It says no, takes too long, or cannot be run: one line.
pub fn run(check: &Check, subject: &Subject<'_>) -> Result<(), String> {
    let told = |what: String| format!("check-command {}: {what}", check.program.display());
    let mut child =
        start(check, subject).map_err(|error| told(format!("cannot be run: {error}")))?;
    let (Some(input), Some(mut errors)) = (child.stdin.take(), child.stderr.take()) else {
        return Err(told("has no standard input".to_owned()));
    };
    let listener = thread::spawn(move || {
        let mut complaint = Vec::new();
        let _ = errors.by_ref().take(COMPLAINT).read_to_end(&mut complaint);
        // The rest is read too: a program that cannot write does not end.
        let _ = io::copy(&mut errors, &mut io::sink());
        String::from_utf8_lossy(&complaint).trim().replace('\n', "; ")
    });
    // Whoever writes may have to wait for the program: another thread ends it in time.
    let (done, waiting) = mpsc::channel::<()>();
    let (group, time) = (child.id() as i32, check.time);
    let killer = thread::spawn(move || {
        let late = waiting.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        if late {
            // SAFETY: no memory is involved. The child was made the leader of this group and has not been
            // waited for, so the group is its own.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        late
    });
    let written = write(subject, input);
    let status = loop {
        // Not waited for before the other thread is done: its number would be free.
        match exited(&child) {
            Ok(true) => break Ok(()),
            Ok(false) => thread::sleep(std::time::Duration::from_millis(5)),
            Err(error) => break Err(error),
        }
    };
    drop(done);
    let late = killer.join().unwrap_or(false);
    let status = status.and_then(|()| child.wait());
    let complaint = listener.join().unwrap_or_default();
    written.map_err(told)?;
    if late {
        return Err(told(format!("was killed after check-time = {}s", check.time.as_secs())));
    }
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) if complaint.is_empty() => Err(told(format!("says no ({status})"))),
        Ok(status) => Err(told(format!("says no ({status}): {complaint}"))),
        Err(error) => Err(told(format!("cannot be waited for: {error}"))),
    }
}

fn start(check: &Check, subject: &Subject<'_>) -> io::Result<Child> {
    let mut owners = (subject.owners)();
    let apex = owners.next().and_then(Result::ok);
    let soa = apex.as_ref().and_then(|apex| apex.rrset(responder_common::wire::rtype::SOA));
    let serial = soa.and_then(|soa| serial_of(soa.rdata.first()?)).unwrap_or(0);
    Command::new(&check.program)
        .args(&check.arguments)
        .env("ZONE", zone_name(subject))
        .env("SERIAL", serial.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Whether a child has ended; it is not waited for.
fn exited(child: &Child) -> io::Result<bool> {
    // SAFETY: zeros are a valid value of this plain structure, and it is valid for the call.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is valid for the call.
    let result = unsafe { libc::waitid(libc::P_PID, child.id(), &raw mut info, options) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid filled it in, or left it zero where nothing has happened.
    Ok(unsafe { info.si_pid() } != 0)
}

/// Writes the zone in the form of zone files, one record a line. A program need not read all of it.
fn write(subject: &Subject<'_>, input: ChildStdin) -> Result<(), String> {
    let mut input = BufWriter::with_capacity(1 << 16, input);
    for owner in (subject.owners)() {
        let owner = owner?;
        let wire = name::to_text(owner.wire);
        for set in &owner.rrsets {
            for (rtype, data) in records(set) {
                let line = format!("{wire}\t{}\tIN\t{}\n", set.ttl, text(rtype, data));
                if input.write_all(line.as_bytes()).is_err() {
                    return Ok(());
                }
            }
        }
    }
    let _ = input.flush();
    Ok(())
}

/// Type and data as text; data of types that are not known in the form of RFC 3597.
fn text(rtype: u16, data: &[u8]) -> String {
    let (rtype, mut parser) = (Rtype::from_int(rtype), Parser::from_ref(data));
    match ZoneRecordData::<&[u8], ParsedName<&[u8]>>::parse_rdata(rtype, &mut parser) {
        Ok(Some(data)) => format!("{rtype}\t{data}"),
        _ => {
            let hexadecimal: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("TYPE{}\t\\# {} {hexadecimal}", rtype.to_int(), data.len())
        }
    }
}
