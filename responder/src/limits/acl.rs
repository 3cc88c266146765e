//! Who is served: prefixes that are denied or allowed, edited while the daemon runs, kept over restarts.
//!
//! The longest prefix that holds an address decides; who is not listed is served. What is denied is dropped
//! in the driver, over TCP the connection is closed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The list's name in the state directory.
const FILE: &str = "acl";

/// What becomes of queries from a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// They are answered, although a prefix around this one is denied.
    Allow,
    /// They are dropped.
    Deny,
}

impl Action {
    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// The access list, and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    file: PathBuf,
    entries: BTreeMap<IpNet, Action>,
}

impl List {
    /// Reads the list of a state directory; it is empty at first.
    ///
    /// # Errors
    /// It cannot be read, or a line is none of ours: one line with the remedy.
    pub fn open(state: &Path) -> Result<Self> {
        let file = state.join(FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        let mut entries = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let Some((prefix, action)) = parse(line) else {
                bail!(
                    "{}:{}: not `allow` or `deny` and a prefix: correct the line, or remove it",
                    file.display(),
                    number + 1
                );
            };
            entries.insert(prefix, action);
        }
        Ok(Self { file, entries })
    }

    /// The prefixes, in order.
    pub fn entries(&self) -> impl Iterator<Item = (IpNet, Action)> {
        self.entries.iter().map(|(prefix, action)| (*prefix, *action))
    }

    /// Adds a prefix, or changes what becomes of it. Whether that changed anything.
    pub fn add(&mut self, prefix: IpNet, action: Action) -> bool {
        self.entries.insert(prefix.trunc(), action) != Some(action)
    }

    /// Removes a prefix. Whether it was there.
    pub fn remove(&mut self, prefix: IpNet) -> bool {
        self.entries.remove(&prefix.trunc()).is_some()
    }

    /// Writes the list so that a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self) -> Result<()> {
        let mut text = String::new();
        for (prefix, action) in self.entries() {
            writeln!(text, "{} {prefix}", action.label())?;
        }
        let new = self.file.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.file)
        };
        write().with_context(|| format!("cannot write {}", self.file.display()))
    }
}

fn parse(line: &str) -> Option<(IpNet, Action)> {
    let (action, prefix) = line.split_once(' ')?;
    let action = match action {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        _ => return None,
    };
    Some((prefix.trim().parse().ok()?, action))
}

#[cfg(test)]
mod tests {
    use super::{Action, List};

    #[test]
    fn the_list_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut list = List::open(folder.path()).unwrap();
        assert!(list.add("192.0.2.0/24".parse().unwrap(), Action::Deny));
        assert!(!list.add("192.0.2.7/24".parse().unwrap(), Action::Deny), "the same prefix");
        assert!(list.add("2001:db8::/32".parse().unwrap(), Action::Deny));
        assert!(list.add("192.0.2.128/25".parse().unwrap(), Action::Allow));
        assert!(list.remove("2001:db8::/32".parse().unwrap()));
        assert!(!list.remove("2001:db8::/32".parse().unwrap()));
        list.save().unwrap();
        assert_eq!(List::open(folder.path()).unwrap(), list);
        std::fs::write(folder.path().join("acl"), "deny 192.0.2.0/24\nrefuse 10.0.0.0/8\n")
            .unwrap();
        let fault = List::open(folder.path()).unwrap_err().to_string();
        assert!(fault.contains("acl:2: "), "{fault}");
    }
}
