//! Small files that other processes read.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context, Result};

/// Puts a file in the place of another, in one step: who reads sees the one or the other. Its folder is
/// made if need be.
///
/// # Errors
/// One line with the path.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            fs::create_dir_all(folder)?;
            // Whatever the service's umask: who reads the file must come here.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // Not among the files of a pattern such as `*.conf`, and not another process' either.
        name.push(format!("~{}", std::process::id()));
        let new = path.with_file_name(name);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(content)?;
        drop(file);
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
