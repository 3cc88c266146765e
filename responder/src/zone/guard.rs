//! What a zone from elsewhere must satisfy before it is served, beyond being a zone.
//!
//! | module | what |
//! |---|---|
//! | [`zonemd`] | the digest over all its records (RFC 8976) |
//! | [`command`] | a program of the operator's |

mod command;
mod zonemd;

use std::{path::PathBuf, time::Duration};

use super::{archive::Owner, collect::RrSet, name};

/// What is asked of a new version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guards {
    /// It may have so many per cent of records less than what is served.
    pub max_shrink: Option<u8>,
    /// What its ZONEMD records must say.
    pub zonemd: Zonemd,
    /// A program that must find it good.
    pub check: Option<Check>,
}

/// Whether a zone's digest is verified (RFC 8976).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Zonemd {
    /// Never.
    Off,
    /// Where the zone has one that we know how to work out.
    #[default]
    IfPresent,
    /// It must be there and right.
    Required,
}

impl Zonemd {
    /// From a word of a configuration or a catalog.
    ///
    /// # Errors
    /// It is none: which there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "if-present" => Ok(Self::IfPresent),
            "required" => Ok(Self::Required),
            _ => Err("one of \"off\", \"if-present\" and \"required\"".to_owned()),
        }
    }
}

/// A program that judges a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// It is killed after so long.
    pub time: Duration,
}

/// Why a version is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be served, or is not what it says.
    #[error("{0}")]
    Zone(String),
    /// The operator does not want such a version.
    #[error("{0}")]
    Guard(String),
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::Zone(message)
    }
}

/// The owners of a zone in canonical order, or why they cannot be read.
pub type Owners<'s> = Box<dyn Iterator<Item = Result<Owner<'s>, String>> + 's>;

/// A version to judge.
pub struct Subject<'s> {
    /// The zone's name in lower-case wire form.
    pub apex: &'s [u8],
    /// Records of what is served, where that is known.
    pub before: Option<u64>,
    /// Records of the new version.
    pub records: u64,
    /// Its contents.
    pub owners: &'s dyn Fn() -> Owners<'s>,
}

impl Guards {
    /// Judges a version.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, subject: &Subject<'_>) -> Result<(), Refusal> {
        self.judge_size(subject)?;
        if self.zonemd != Zonemd::Off {
            zonemd::verify(subject, self.zonemd == Zonemd::Required).map_err(Refusal::Zone)?;
        }
        match &self.check {
            Some(check) => command::run(check, subject).map_err(Refusal::Guard),
            None => Ok(()),
        }
    }

    fn judge_size(&self, subject: &Subject<'_>) -> Result<(), Refusal> {
        let (Some(most), Some(before)) = (self.max_shrink, subject.before) else { return Ok(()) };
        let least = u128::from(before) * u128::from(100 - most.min(100));
        if u128::from(subject.records) * 100 >= least {
            return Ok(());
        }
        Err(Refusal::Guard(format!(
            "it has {} records where {before} are served: max-shrink = {most} (per cent) forbids \
             that; raise it if this is meant",
            subject.records
        )))
    }
}

/// Each record of an RRset and each signature: type and data.
fn records<'r>(set: &'r RrSet<'_>) -> impl Iterator<Item = (u16, &'r [u8])> {
    let data = set.rdata.iter().map(|data| (set.rtype, *data));
    data.chain(set.signatures.iter().map(|data| (responder_common::wire::rtype::RRSIG, *data)))
}

/// The name of a zone, for those who read it.
fn zone_name(subject: &Subject<'_>) -> String {
    name::to_text(subject.apex)
}

#[cfg(test)]
mod tests;
