//! Somebody who has the daemon run what he likes: its check-command, which has all that the daemon has.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    ptr,
};

/// How many of his attempts the report has at least.
pub const ATTEMPTS: usize = 18;

/// What a system call came to.
fn outcome(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Tells what came of an attempt: refused is what it must be, for want of permission and nothing else.
fn tell(what: &str, result: io::Result<()>) {
    let word = match &result {
        Ok(()) => "DONE".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => "refused".to_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("tried {what}: {word}");
}

/// A `bpf` call with room for its arguments.
fn bpf(command: libc::c_int, words: &[u64]) -> io::Result<()> {
    let mut attributes = [0_u64; 16];
    attributes[..words.len()].copy_from_slice(words);
    // SAFETY: the attributes are valid for the call, and their pointers for as long.
    outcome(unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), 128) })
}

/// The folder of a node in which the program stands that it runs.
pub const PROGRAMS: &str = "programs";

/// The node whose check-command this process is, if it is one: this program then stands in NODE/programs.
pub fn node() -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent()?;
    folder.ends_with(PROGRAMS).then(|| folder.parent().map(Path::to_owned))?
}

/// Tries all that it should not get, and ends the process.
pub fn try_everything(node: &Path) -> ! {
    // SAFETY: no arguments.
    eprintln!("user {}", unsafe { libc::getuid() });
    files(node);
    kernel(node);
    processes();
    eprintln!("intruder: done");
    // The zone is not served, and why is told.
    std::process::exit(1);
}

fn files(node: &Path) {
    let read = |path: PathBuf| fs::read(path).map(drop);
    // The daemon's own key is his: so what is refused is not for want of the folder.
    fs::read(node.join("keys/ours")).expect("the daemon's own key");
    tell("another user's key", read(node.join("keys/theirs")));
    // Everybody may read these, but for landlock.
    tell("a file elsewhere", read("/etc/login.defs".into()));
    tell("a new file elsewhere", fs::write("/tmp/intruder", "").map(drop));
    tell("the configuration", fs::write(node.join("r.toml"), ""));
    let pins = node.join("bpf");
    tell("a new pin", fs::create_dir(pins.join("own")));
    let descriptors = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string()));
    for descriptor in descriptors.filter(|name| !name.starts_with("pipe:")) {
        eprintln!("holds {descriptor}");
    }
    for pin in ["xdp-2", "xdp-3", "tc-2", "tc-3"] {
        let pin = pins.join(pin);
        if let Err(error) = fs::remove_file(&pin)
            && error.kind() != io::ErrorKind::NotFound
        {
            tell("to remove a pin", Err(error));
        }
    }
    tell(
        "to change the pins' folder",
        fs::set_permissions(&pins, fs::Permissions::from_mode(0o777)),
    );
    tell("a device", OpenOptions::new().write(true).open("/dev/kmsg").map(drop));
}

fn kernel(node: &Path) {
    // `r0 = 0; exit`, as a socket filter, which of all programs needs the least.
    let instructions: [u64; 2] = [0xb7, 0x95];
    let licence = c"GPL";
    let (socket_filter, count) = (1_u64, 2_u64);
    let (code, text) = (instructions.as_ptr() as u64, licence.as_ptr() as u64);
    tell("to load a program", bpf(5, &[socket_filter | count << 32, code, text]));
    tell("to make a map", bpf(0, &[2 | 4 << 32, 4 | 1 << 32]));
    let path =
        std::ffi::CString::new(node.join("bpf").join("xdp-2").display().to_string()).unwrap();
    tell("to open a pin", bpf(7, &[path.as_ptr() as u64, 0]));
    tell("to find programs by number", bpf(11, &[0]));
    tell("to take a program by number", bpf(13, &[1]));
    // SAFETY: system calls without memory, or with none that they may touch.
    unsafe {
        tell("raw packets", outcome(libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0).into()));
        tell("a namespace", outcome(libc::unshare(libc::CLONE_NEWUSER).into()));
        let none = ptr::null();
        let root = c"/".as_ptr();
        tell("to mount", outcome(libc::mount(none, root, none, libc::MS_BIND, none.cast()).into()));
        tell("to be root", outcome(libc::setuid(0).into()));
    }
}

fn processes() {
    let daemon = std::os::unix::process::parent_id();
    let helper = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children")).unwrap();
    for child in helper.split_ascii_whitespace().map(|number| number.parse::<i32>().unwrap()) {
        if child == std::process::id() as i32 {
            continue;
        }
        // SAFETY: system calls without memory.
        unsafe {
            tell("to kill the helper", outcome(libc::kill(child, libc::SIGKILL).into()));
            let none = ptr::null_mut::<libc::c_void>();
            tell(
                "to trace the helper",
                outcome(libc::ptrace(libc::PTRACE_ATTACH, child, none, none)),
            );
        }
        let socket = OpenOptions::new().read(true).open(format!("/proc/{child}/fd/0"));
        tell("the helper's descriptors", socket.map(drop));
    }
}
