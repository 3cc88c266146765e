//! `responder xdp on|off`: what an operator has switched off, kept in the state directory, so that a restart
//! does not switch it on again.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::state::replace;
use crate::{
    locks::lock,
    {store::Store, zone::name},
};

/// The file's name in the state directory.
const FILE: &str = "xdp-off.json";

/// What is switched off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SwitchedOff {
    /// Everything.
    #[serde(default)]
    pub all: bool,
    /// These zones, by their apexes.
    #[serde(default)]
    pub zones: BTreeSet<String>,
}

/// The switches of a daemon.
pub struct Switches {
    file: PathBuf,
    off: Mutex<SwitchedOff>,
}

impl Switches {
    /// Those that are kept in a state directory.
    ///
    /// # Errors
    /// The file is there and cannot be understood: one line with the remedy.
    pub fn kept_in(state: &Path) -> Result<Self> {
        let file = state.join(FILE);
        let off = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => SwitchedOff::default(),
            read => read
                .and_then(|octets| Ok(serde_json::from_slice(&octets)?))
                .with_context(|| format!("{}: correct it, or remove it", file.display()))?,
        };
        Ok(Self { file, off: Mutex::new(off) })
    }

    /// What is off now.
    pub fn off(&self) -> SwitchedOff {
        self.lock().clone()
    }

    /// Tells the store what is off; what is off for all is told with the lease.
    pub fn apply(&self, store: &Store) {
        let off = self.lock();
        if *off != SwitchedOff::default() {
            let zones = off.zones.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            let all = off.all;
            warn!(all, zones, "the kernel's answers are switched off (`responder xdp on`)");
        }
        apply(&off, store);
    }

    /// Switches the kernel's answers on or off, for one zone (canonical) or for all; kept before it is done.
    ///
    /// # Errors
    /// It cannot be kept: then nothing has changed.
    pub fn switch(&self, on: bool, zone: Option<&str>, store: &Store) -> Result<()> {
        let mut now = self.lock();
        let mut off = now.clone();
        match zone {
            None => off.all = !on,
            Some(zone) if on => drop(off.zones.remove(zone)),
            Some(zone) => drop(off.zones.insert(zone.to_owned())),
        }
        keep(&self.file, &off).with_context(|| format!("cannot write {}", self.file.display()))?;
        apply(&off, store);
        *now = off;
        let (zone, what) = (zone.unwrap_or("all zones"), if on { "on" } else { "off" });
        info!(zone, "the kernel's answers are switched {what}");
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, SwitchedOff> {
        lock(&self.off)
    }
}

fn apply(off: &SwitchedOff, store: &Store) {
    let apexes = off.zones.iter().filter_map(|zone| name::from_text_lower(zone).ok());
    store.switch_off(apexes.collect());
}

fn keep(file: &Path, off: &SwitchedOff) -> io::Result<()> {
    replace(file, &serde_json::to_vec(off)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    #[test]
    fn what_is_switched_off_is_off_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { udp_size: 1232, id: String::new() };
        let store = Store::in_memory(&options).unwrap();
        let switches = Switches::kept_in(folder.path()).unwrap();
        assert_eq!(switches.off(), SwitchedOff::default());
        switches.switch(false, Some("a."), &store).unwrap();
        switches.switch(false, None, &store).unwrap();
        switches.switch(false, Some("b."), &store).unwrap();
        switches.switch(true, Some("a."), &store).unwrap();
        let again = Switches::kept_in(folder.path()).unwrap().off();
        assert_eq!(again, SwitchedOff { all: true, zones: BTreeSet::from(["b.".to_owned()]) });
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Switches::kept_in(folder.path()).is_err(), "nobody guesses what was off");
    }
}
