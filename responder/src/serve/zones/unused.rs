//! What is on disk of zones that are served no more: a catalog dropped them, or the configuration did, while
//! no daemon ran.
//!
//! A zone that goes while the daemon runs takes its archive with it. What is found at a start is put aside
//! first, as `NAME~unused`, and removed some days later: a configuration that lost a line is soon mended.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{info, warn};

use super::{Zones, lock};
use crate::zone::{archive::Archive, name};

/// How long it waits.
const GRACE: Duration = Duration::from_secs(7 * 86_400);
/// No zone's folder has this character.
const MARK: &str = "~unused";

impl Zones {
    /// Puts archives aside that belong to no zone, and removes those that were put aside long ago. To be
    /// called when it is known which zones there are.
    pub fn put_unused_away(&self) {
        let _alone = lock(&self.loading);
        let used: BTreeSet<PathBuf> = lock(&self.entries)
            .keys()
            .filter_map(|name| name::from_text_lower(name).ok())
            .map(|apex| Archive::folder(&self.archives, &apex))
            .collect();
        match put_away(&self.archives, &used, SystemTime::now()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!("{}: {error}", self.archives.display());
            }
            _ => {}
        }
    }
}

fn put_away(archives: &Path, used: &BTreeSet<PathBuf>, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(archives)? {
        let folder = entry?.path();
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(MARK) {
            // The moment of the renaming.
            let changed = fs::metadata(&folder)?.ctime();
            let changed = UNIX_EPOCH + Duration::from_secs(changed.try_into().unwrap_or(0));
            if now.duration_since(changed).is_ok_and(|age| age > GRACE) {
                fs::remove_dir_all(&folder)?;
                info!("{}: removed", folder.display());
            }
        } else if !name.contains('~') && !used.contains(&folder) && Archive::stands_in(&folder) {
            let aside = archives.join(format!("{name}{MARK}"));
            if aside.exists() {
                fs::remove_dir_all(&aside)?;
            }
            fs::rename(&folder, &aside)?;
            let days = GRACE.as_secs() / 86_400;
            info!("{} belongs to no zone: removed in {days} days", aside.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unused_is_put_aside_and_removed_days_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = |name: &str| folder.path().join(name);
        for (name, apex) in [("a", b"\x01a\0"), ("b", b"\x01b\0")] {
            drop(Archive::open(&archive(name), apex, Default::default()).expect("an archive"));
        }
        fs::create_dir(archive("something else")).expect("a folder");
        let used = BTreeSet::from([archive("a")]);
        let now = SystemTime::now();
        let there = || {
            let names = ["a", "b", "b~unused", "something else"];
            names.map(|name| archive(name).exists())
        };
        put_away(folder.path(), &used, now).expect("put away");
        assert_eq!(there(), [true, false, true, true]);
        put_away(folder.path(), &used, now + GRACE / 2).expect("looked at");
        assert_eq!(there(), [true, false, true, true]);
        put_away(folder.path(), &used, now + GRACE * 2).expect("removed");
        assert_eq!(there(), [true, false, false, true]);
    }
}
