//! Who wants which service out of the routing. Kept in the state directory, over restarts and reboots.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::files;

use crate::locks::lock;

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Who commands this node (`responder drain`).
    Operator,
    /// The switchboard of the cloud.
    Cloud,
}

impl Origin {
    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Cloud => "cloud",
        }
    }
}

/// By service, who wants it out.
type Book = BTreeMap<String, BTreeSet<Origin>>;

/// The wishes, in memory and on disk.
pub struct Wishes {
    file: PathBuf,
    book: Mutex<Book>,
}

impl Wishes {
    /// Those of a state directory.
    pub fn read(state: &Path) -> Self {
        let file = state.join("drained.json");
        let book = match fs::read(&file) {
            Ok(content) => serde_json::from_slice(&content).unwrap_or_else(|fault| {
                error!("{} cannot be read ({fault}): nothing is drained", file.display());
                Book::new()
            }),
            Err(_) => Book::new(),
        };
        Self { file, book: Mutex::new(book) }
    }

    /// Notes a wish for some services; on disk first.
    ///
    /// # Errors
    /// It cannot be written: then nothing has changed.
    pub fn set(&self, origin: Origin, services: &[String], drained: bool) -> Result<()> {
        let mut book = self.book();
        let mut changed = book.clone();
        for service in services {
            let origins = changed.entry(service.clone()).or_default();
            if drained {
                origins.insert(origin)
            } else {
                origins.remove(&origin)
            };
        }
        changed.retain(|_, origins| !origins.is_empty());
        if changed != *book {
            files::replace(&self.file, &serde_json::to_vec_pretty(&changed)?, 0o640)?;
            *book = changed;
        }
        Ok(())
    }

    /// Who wants a service out.
    pub fn against(&self, service: &str) -> Vec<Origin> {
        self.book().get(service).into_iter().flatten().copied().collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_of_operator_and_cloud_stand_side_by_side_and_survive() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a".to_owned()];
        let wishes = Wishes::read(folder.path());
        wishes.set(Origin::Operator, &names, true).unwrap();
        wishes.set(Origin::Cloud, &names, true).unwrap();
        wishes.set(Origin::Cloud, &names, true).unwrap();
        let wishes = Wishes::read(folder.path());
        assert_eq!(wishes.against("a"), [Origin::Operator, Origin::Cloud]);
        wishes.set(Origin::Operator, &names, false).unwrap();
        assert_eq!(Wishes::read(folder.path()).against("a"), [Origin::Cloud]);
        assert_eq!(wishes.against("b"), []);
    }
}
