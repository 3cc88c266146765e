//! The cloud as its distributor sees it: one switchboard for all nodes.
//!
//! The nodes of a cloud follow a catalog that a distributor produces. What it lists are the zones; what it
//! says beside that (`catalog::switchboard`) switches the nodes. So the configuration of the cloud travels as
//! a zone: by transfer, signed, with a serial, and any former version can be published again.
//!
//! | module | what |
//! |---|---|
//! | [`desk`] | what an operator has switched, and every version that was published |
//! | [`look`] | what the nodes themselves say |
//! | [`announced`] | what a node says that it announces |

pub mod announced;
pub mod desk;
pub mod look;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::desk::Desk;
use crate::catalog::{Switchboard, options::Options};

/// What a distributor says of its cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Overview {
    /// The catalog's name.
    pub catalog: String,
    /// Its serial.
    pub serial: Option<u32>,
    /// The former version whose members are published, if an operator went back to one.
    pub pinned: Option<u32>,
    /// The nodes and what is drained.
    pub switchboard: Switchboard,
    /// The zones that it lists.
    pub zones: Vec<ListedZone>,
}

/// A zone of the cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListedZone {
    /// Its name.
    pub name: String,
    /// Its group, if any.
    pub group: Option<String>,
    /// Its options.
    pub options: Options,
    /// The serial that the distributor serves, if it does.
    pub serial: Option<u32>,
}

/// A version of the catalog that was published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Version {
    /// Its serial.
    pub serial: u32,
    /// When it was published, in seconds since 1970.
    pub at: u64,
    /// The zones that it lists.
    pub zones: usize,
    /// The nodes of which something is drained, and what.
    pub drained: BTreeMap<String, BTreeSet<String>>,
}
