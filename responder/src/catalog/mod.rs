//! Catalog zones, version 2 (RFC 9432): a zone that lists zones.
//!
//! | module | what |
//! |---|---|
//! | this one | what a catalog says, or why it is broken |
//! | [`membership`] | which catalog's word counts for which zone |
//! | [`guard`] | what a new version must satisfy before its word counts |
//! | [`options`] | what a catalog may say of a member |
//! | [`switchboard`] | what it may say of the nodes of a cloud |
//! | [`produce`] | a catalog from the configuration |

pub mod guard;
pub mod membership;
pub mod options;
pub mod produce;
pub mod switchboard;

use std::collections::BTreeMap;

use responder_common::wire::rtype;
use serde::{Deserialize, Serialize};

use self::options::Options;
pub use self::switchboard::Switchboard;

use crate::{
    config::canonical_name,
    zone::{
        archive::{Lookup, OwnerRef},
        name,
    },
};

const PTR: u16 = 12;
/// The version that we understand (RFC 9432, section 4.2.1).
const VERSION: &[u8] = b"2";

/// What a catalog says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Content {
    /// Its members, by name.
    pub members: BTreeMap<String, Member>,
    /// The switches of a cloud.
    pub switchboard: Switchboard,
}

/// A zone that a catalog lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Member {
    /// The zone's apex, canonical.
    pub name: String,
    /// The label under which it is listed, in lower case: where it changes, the zone begins anew.
    pub unique: Vec<u8>,
    /// The values of its group property, sorted.
    pub groups: Vec<String>,
    /// The catalog that may take it over, canonical (RFC 9432, section 4.3.1).
    pub handed_to: Option<String>,
    /// Its options, as they are told: some may be unknown to us.
    pub options: Options,
}

/// What a unique label owns so far.
#[derive(Default)]
struct Listing {
    member: Option<String>,
    groups: Vec<String>,
    handed_to: Option<String>,
    options: Options,
}

/// Reads what the catalog at `apex` (lower-case wire form) says.
///
/// # Errors
/// The catalog is broken, or not to be read: one line. Nothing that it says counts then (RFC 9432, section
/// 5.1).
pub fn read(contents: &impl Lookup, apex: &[u8]) -> Result<Content, String> {
    let mut version = false;
    let mut switchboard = Switchboard::default();
    let mut listings: BTreeMap<Vec<u8>, Listing> = BTreeMap::new();
    for owner in contents.all().map_err(|error| error.to_string())? {
        let owner = owner.map_err(|error| error.to_string())?;
        let labels = labels_below(owner.wire, apex);
        let labels: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
        match labels.as_slice() {
            [b"version"] => version = check_version(&owner)?,
            [unique, b"zones"] => {
                if let Some(target) = one_target(&owner)? {
                    listings.entry(unique.to_vec()).or_default().member = Some(target);
                }
            }
            [b"group", unique, b"zones"] => {
                let listing = listings.entry(unique.to_vec()).or_default();
                listing.groups = texts(&owner);
                listing.groups.sort_unstable();
            }
            [b"coo", unique, b"zones"] => {
                listings.entry(unique.to_vec()).or_default().handed_to = one_target(&owner)?;
            }
            [b"options", b"ext", unique, b"zones"] => {
                let texts = texts(&owner);
                let told = texts.iter().filter_map(|text| options::parse(text).ok());
                listings.entry(unique.to_vec()).or_default().options = told.collect();
            }
            // Others: the apex, and properties that we do not know.
            labels => switchboard.note(labels, &owner),
        }
    }
    if !version {
        return Err("it has no version record: \"version\" TXT \"2\"".to_owned());
    }
    let mut members = BTreeMap::new();
    for (unique, listing) in listings {
        // Properties of a member that is not there.
        let Some(name) = listing.member else { continue };
        let Listing { groups, handed_to, options, .. } = listing;
        let member = Member { name: name.clone(), unique, groups, handed_to, options };
        if members.insert(name.clone(), member).is_some() {
            return Err(format!("it lists {name} twice"));
        }
    }
    Ok(Content { members, switchboard })
}

fn check_version(owner: &OwnerRef<'_>) -> Result<bool, String> {
    let Some(set) = owner.rrset(rtype::TXT) else { return Ok(false) };
    match set.rdata.map(text).collect::<Vec<_>>().as_slice() {
        [version] if version == VERSION => Ok(true),
        [version] => Err(format!("its version is \"{}\", not \"2\"", version.escape_ascii())),
        _ => Err("it has several version records".to_owned()),
    }
}

/// The target of an owner's only PTR record.
fn one_target(owner: &OwnerRef<'_>) -> Result<Option<String>, String> {
    let Some(mut set) = owner.rrset(PTR) else { return Ok(None) };
    let shown = || name::to_text(owner.wire);
    if set.rdata.len() != 1 {
        return Err(format!("{} has {} PTR records, not one", shown(), set.rdata.len()));
    }
    let target = set.rdata.next().unwrap_or_default();
    let target = canonical_name(&name::to_text(target));
    target.map(Some).map_err(|error| format!("{}: {error}", shown()))
}

/// The texts of an owner's TXT records.
fn texts(owner: &OwnerRef<'_>) -> Vec<String> {
    let set = owner.rrset(rtype::TXT);
    let texts = set.into_iter().flat_map(|set| set.rdata);
    texts.map(|rdata| String::from_utf8_lossy(&text(rdata)).into_owned()).collect()
}

/// The strings of a TXT record, put together.
fn text(rdata: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    let mut rest = rdata;
    while let Some((length, behind)) = rest.split_first() {
        let Some((string, behind)) = behind.split_at_checked(usize::from(*length)) else { break };
        whole.extend_from_slice(string);
        rest = behind;
    }
    whole
}

/// The labels of a name in front of the apex, in lower case.
fn labels_below(wire: &[u8], apex: &[u8]) -> Vec<Vec<u8>> {
    let mut labels = Vec::new();
    let mut rest = &wire[..wire.len().saturating_sub(apex.len())];
    while let Some((length, behind)) = rest.split_first() {
        let Some((label, behind)) = behind.split_at_checked(usize::from(*length)) else { break };
        labels.push(label.to_ascii_lowercase());
        rest = behind;
    }
    labels
}
