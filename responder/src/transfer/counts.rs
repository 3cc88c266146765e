//! Events by label.

use std::{collections::BTreeMap, sync::Mutex};

use crate::locks::lock;

/// How often what happened.
#[derive(Default)]
pub struct Counts(Mutex<BTreeMap<String, u64>>);

impl Counts {
    /// Counts one.
    pub fn add(&self, label: &str) {
        let mut counts = lock(&self.0);
        match counts.get_mut(label) {
            Some(count) => *count += 1,
            None => {
                counts.insert(label.to_owned(), 1);
            }
        }
    }

    /// All of them.
    pub fn get(&self) -> BTreeMap<String, u64> {
        lock(&self.0).clone()
    }
}
