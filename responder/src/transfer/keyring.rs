//! The configured keys, with their secrets.

use std::{collections::BTreeMap, sync::Arc};

use super::tsig::Key;
use crate::config;

/// Keys by their canonical names; one whose secret cannot be had says why.
#[derive(Default)]
pub struct Keyring(BTreeMap<String, Result<Arc<Key>, String>>);

impl Keyring {
    /// Reads the secrets of all keys.
    pub fn load(keys: &[config::Key]) -> Self {
        let load = |key: &config::Key| (key.name.clone(), Key::load(key).map(Arc::new));
        Self(keys.iter().map(load).collect())
    }

    /// The key that a part of the configuration names, if it names one.
    pub fn named(&self, name: Option<&String>) -> Option<Result<Arc<Key>, String>> {
        name.map(|name| {
            let missing = || Err(format!("no key \"{name}\" is configured"));
            self.0.get(name).cloned().unwrap_or_else(missing)
        })
    }

    /// Every key that can be used.
    pub fn usable(&self) -> Vec<Arc<Key>> {
        self.0.values().filter_map(|key| key.as_ref().ok().cloned()).collect()
    }
}
