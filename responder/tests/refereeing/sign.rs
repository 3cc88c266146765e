//! Signed variants of a zone, made when a test asks for them: keys and signatures are of the day.

use std::{fs, io, path::Path, process::Command};

use super::peers::{Zone, find};

/// How a zone denies existence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// RFC 4034.
    Nsec,
    /// RFC 5155 without salt and further iterations (RFC 9276).
    Nsec3,
    /// The same with opt-out (RFC 5155, section 6).
    Nsec3OptOut,
}

/// Signs a zone file with ECDSA P-256 through Knot's `kzonesign` and gives back the signed file,
/// in `folder`. The signatures last a year.
///
/// # Errors
/// When `kzonesign` is missing or refuses the zone.
pub fn sign(zone: &Zone, denial: Denial, folder: &Path) -> io::Result<Zone> {
    let program = find("kzonesign")?;
    let work = folder.join(format!("{denial:?}").to_lowercase());
    let keys = work.join("keys");
    fs::create_dir_all(&keys)?;
    let file = fs::canonicalize(&zone.file)?;
    let apex = zone.apex.to_string();
    let nsec3 = match denial {
        Denial::Nsec => "",
        Denial::Nsec3 => NSEC3,
        Denial::Nsec3OptOut => NSEC3_OPT_OUT,
    };
    let config = work.join("kzonesign.conf");
    let text = format!(
        "database:\n  storage: {keys}\npolicy:\n  - id: day\n    algorithm: ecdsap256sha256\n    \
         single-type-signing: on\n    rrsig-lifetime: 365d\n    rrsig-refresh: 30d\n{nsec3}\
         zone:\n  - domain: {apex}\n    file: {file}\n    semantic-checks: off\n    dnssec-signing: on\n    \
         dnssec-policy: day\n",
        keys = keys.display(),
        file = file.display(),
    );
    fs::write(&config, text)?;
    // kzonesign ends with 0 even where it fails, so what counts is the file, which it names as the
    // unsigned one is named. Without -r it makes no keys.
    let signed = work.join(file.file_name().unwrap_or_default());
    let _ = fs::remove_file(&signed);
    let output = Command::new(program)
        .arg("-r")
        .arg("-c")
        .arg(&config)
        .arg("-o")
        .arg(&work)
        .arg(&apex)
        .current_dir(file.parent().unwrap_or(Path::new("/")))
        .output()?;
    if !output.status.success() || !signed.is_file() {
        // A broken zone has a line for each record; the first few say enough.
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said.lines().take(5).collect();
        let said = said.join("\n");
        return Err(io::Error::other(format!(
            "kzonesign refuses {apex} ({}): {said}",
            output.status
        )));
    }
    Ok(Zone { apex: zone.apex.clone(), file: signed })
}

const NSEC3: &str = "    nsec3: on\n    nsec3-iterations: 0\n    nsec3-salt-length: 0\n";

const NSEC3_OPT_OUT: &str =
    "    nsec3: on\n    nsec3-iterations: 0\n    nsec3-salt-length: 0\n    nsec3-opt-out: on\n";
