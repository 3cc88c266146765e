//! A few changed names become the next version of a zone, in time proportional to the change.
//!
//! | module | what |
//! |---|---|
//! | [`archived`] | contents in an archive |
//! | [`affected`] | which nodes a change reaches |
//! | [`links`] | the chain of NSEC or NSEC3, changed where it must be |
//! | [`nodes`] | whether a name exists, and what it is, from the zone's contents |

mod affected;
mod archived;
mod links;
mod nodes;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, io};

use responder_common::{
    layout::{Address, Snapshot, denial},
    wire::rtype,
};

pub use self::archived::{Archived, file};
use self::links::Links;
use super::{
    chain::{
        Proofs,
        keys::{Keys, Kind},
        nsec3,
    },
    collect::{Owner, sort_key},
    compile::{CompileError, Nodes, Source, expire, negative, nonexistence, serial, soa},
    name::{count_labels, of_key},
    walk::{NO_SOA, check_rrsets},
};
use crate::store::{Ready, Store};

/// A sort key (`collect::sort_key`): names as bytes that sort in canonical order.
pub type Key = Vec<u8>;

/// What a zone holds, changes included, as far as a commit asks for it.
pub trait Contents<'a> {
    /// What a name owns.
    fn owner(&self, key: &[u8]) -> Option<Owner<'a>>;
    /// The first owner behind a key.
    fn next(&self, key: &[u8]) -> Option<Key>;
    /// All owners below a name.
    fn below(&self, key: &[u8]) -> Vec<Key>;
    /// The owners of the NS RRsets that name a host.
    fn served_by(&self, host: &[u8]) -> Vec<Key>;
    /// The nodes for which a hash from `from` on and before `to` was looked up in the chain of NSEC3; the
    /// hashes are a ring. None as `to`: round to `from` again.
    fn dependents(&self, from: &[u8], to: Option<&[u8]>) -> Vec<Key>;
    /// Tells that these owners are about to be asked for, where it is quicker to get many at a time.
    fn expect<'k>(&self, _keys: impl Iterator<Item = &'k [u8]>) {}
    /// Why the contents could not be read, if a question found that out.
    fn fault(&self) -> Option<String>;
}

/// What became of a commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The SOA's serial.
    pub serial: u32,
    /// Nodes written anew.
    pub written: u64,
    /// Names that came.
    pub added: u64,
    /// Names that went.
    pub removed: u64,
    /// What each node written depends on: the hashes that were looked up in the chain of NSEC3 for it.
    pub lookups: Vec<(Key, Vec<Key>)>,
    /// Names without a node, and the hash that was looked up for the one that they had.
    pub forgotten: Vec<(Key, Key)>,
}

/// Why there is no new version.
#[derive(Debug)]
pub enum Refused {
    /// So much changes that the zone is to be compiled as a whole.
    Rebuild,
    /// The new contents cannot be served.
    Zone(String),
    /// The new contents cannot be read.
    Contents(String),
    /// The store.
    Store(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Store(error)
    }
}

impl From<CompileError> for Refused {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Zone(message) => Self::Zone(message),
            CompileError::Store(error) => Self::Store(error),
        }
    }
}

/// Gets a version ready in which the owners `changed` (sort keys) are as `contents` has them, and all else
/// is as before. `apex` is in lower-case wire form.
///
/// # Errors
/// What was served goes on being served.
pub fn prepare<'s, 'a>(
    store: &'s Store,
    apex: &[u8],
    contents: &impl Contents<'a>,
    changed: &BTreeSet<Key>,
) -> Result<(Changed, Ready<'s>), Refused> {
    let mut commit = store.commit(apex)?;
    let before = *commit.before();
    let mut apex_key = Key::new();
    sort_key(apex, &mut apex_key);
    for key in changed {
        if let Some(owner) = contents.owner(key) {
            check_rrsets(owner.wire, &owner.rrsets, *key == apex_key).map_err(Refused::Zone)?;
        }
    }
    let zone = nodes::Zone::new(contents, &apex_key);
    let root = zone.owner(&apex_key).ok_or_else(|| Refused::Zone(NO_SOA.into()))?;
    let kind = same_kind(&before, &root, &zone, changed)?;
    if matches!(kind, Some(Kind::Nsec3 { .. })) {
        for owner in changed.iter().filter_map(|key| contents.owner(key)) {
            let hashed = owner.rrsets.iter().find(|set| set.rtype == rtype::NSEC3);
            let sound = hashed.map_or(Ok(()), |set| nsec3::check_owner(owner.wire, set));
            sound.map_err(Refused::Zone)?;
        }
    }
    let mut snapshot = before;
    let mut affected = affected::of(&commit, &zone, changed);
    let mut links = match kind {
        Some(kind) => {
            let keys = Keys::new(kind, apex);
            let mut links = Links::new(keys, apex, &before, &commit)?;
            for (from, to) in links.change(&mut commit, &zone, changed, &mut snapshot)? {
                affected.extend(links.reach(&zone, &from, to.as_deref()));
            }
            Some(links)
        }
        None => None,
    };
    if affected.len() as u64 > (commit.names() / 4).max(1024) {
        return Err(Refused::Rebuild);
    }
    affected.insert(apex_key.clone());
    affected::with_parents(&mut affected, &apex_key);
    contents.expect(affected.iter().filter(|key| !changed.contains(*key)).map(Vec::as_slice));
    let mut result = Changed::default();
    let mut labels = 0;
    // From the last to the first: a node is written after those below it, and knows its wildcard.
    for key in affected.iter().rev() {
        let name = of_key(key);
        let found = if *key == apex_key { None } else { commit.find(&name) };
        let Some(state) = zone.node(key) else {
            if let Some(found) = found {
                commit.remove(&name, found)?;
                result.removed += 1;
            }
            if let Some(links) = links.as_mut().filter(|links| links.is_hashed()) {
                result.forgotten.push((key.clone(), links.key(&name)));
            }
            continue;
        };
        let asterisk = [b"\x01*", &name[..]].concat();
        let wildcard = commit.find(&asterisk).map_or(0, |found| found.node);
        let source = Source { name: &name, rrsets: &state.rrsets, cut: state.cut, wildcard };
        let born = commit.version();
        let mut writer = Nodes::new(apex, commit.space(), &zone, links.as_mut(), born);
        let node = writer.write(&source, found.map_or(0, |found| found.node))?;
        let lookups = std::mem::take(&mut writer.lookups);
        if !lookups.is_empty() {
            result.lookups.push((key.clone(), lookups));
        }
        result.written += 1;
        labels = labels.max(count_labels(&name) as u32);
        if *key == apex_key {
            commit.free_node(before.apex);
            snapshot.apex = node;
        } else {
            result.added += u64::from(found.is_none());
            if !commit.put(&name, found, node) {
                return Err(Refused::Rebuild);
            }
        }
    }
    let soa = soa(&root.rrsets).ok_or_else(|| Refused::Zone(NO_SOA.into()))?;
    let negative = negative(apex, soa).map_err(|_| Refused::Zone("the SOA is too large".into()))?;
    commit.free_fragment(before.negative);
    snapshot.negative = negative.store(commit.space())?;
    (snapshot.serial, snapshot.expire) = (serial(soa), expire(soa));
    result.serial = snapshot.serial;
    if let Some(links) = &mut links {
        let key = links.key(apex);
        snapshot.apex_proof = links.exact(&key).unwrap_or(0);
        if before.nonexistent != NONE {
            commit.free_fragment(before.nonexistent);
        }
        let cells = nonexistence::cells(apex, links, &mut snapshot);
        let proofs: Vec<_> = cells.into_iter().map(|cell| commit.current(cell)).collect();
        snapshot.nonexistent = nonexistence::write(&negative, proofs, commit.space())?;
    }
    if let Some(fault) = contents.fault() {
        return Err(Refused::Contents(fault));
    }
    Ok((result, commit.ready(snapshot, labels)?))
}

/// [`prepare`], and [`Ready::finish`].
///
/// # Errors
/// As theirs.
pub fn commit<'a>(
    store: &Store,
    apex: &[u8],
    contents: &impl Contents<'a>,
    changed: &BTreeSet<Key>,
) -> Result<Changed, Refused> {
    let (changed, ready) = prepare(store, apex, contents, changed)?;
    ready.finish()?;
    Ok(changed)
}

/// How the zone denies, if that stays as it is.
fn same_kind<'a>(
    before: &Snapshot,
    root: &Owner<'a>,
    zone: &nodes::Zone<'_, 'a, impl Contents<'a>>,
    changed: &BTreeSet<Key>,
) -> Result<Option<Kind>, Refused> {
    let declared = nsec3::parameters(&root.rrsets)?;
    match (before.denial, declared) {
        (denial::NSEC, None) => Ok(Some(Kind::Nsec)),
        (denial::NSEC3, Some((iterations, salt)))
            if iterations == before.iterations && salt == links::salt(before) =>
        {
            Ok(Some(Kind::Nsec3 { iterations, salt: salt.to_vec() }))
        }
        (denial::NONE, None) if !changed.iter().any(|key| zone.denies(key)) => Ok(None),
        _ => Err(Refused::Rebuild),
    }
}

/// The address of nothing.
const NONE: Address = 0;
