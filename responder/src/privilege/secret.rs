//! Files with secrets.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use zeroize::Zeroizing;

/// What a secret's mode must not have: its group may read it, as Debian's `ssl-cert` does; nobody else.
const OTHERS: u32 = 0o027;

/// Reads a file with a secret.
///
/// # Errors
/// It cannot be read, or others have it too: with the command that mends it.
pub fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let mode = about.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(io::Error::other(format!(
            "its mode is {mode:o}, so that others have the secret: chmod 600 {}",
            path.display()
        )));
    }
    // Room for all of it: what grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(about.len() as usize + 1));
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn what_others_can_read_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "c2VjcmV0\n").unwrap();
        for (mode, good) in [(0o600, true), (0o640, true), (0o660, false), (0o644, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = read(&path).map_err(|error| error.to_string());
            match read {
                Ok(text) => assert!(good && *text == "c2VjcmV0\n", "{mode:o}"),
                Err(error) => assert!(!good && error.contains("chmod 600 /"), "{mode:o}: {error}"),
            }
        }
    }
}
