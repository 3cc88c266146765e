//! The chain by which a signed zone denies: NSEC (RFC 4034) or NSEC3 (RFC 5155), sorted by the key that a
//! query is looked up with.
//!
//! | module | what |
//! |---|---|
//! | [`keys`] | what a name is looked up with |
//! | [`nsec3`] | the parameters of an NSEC3 chain |
//! | [`leaves`] | the chain in the store |

pub mod keys;
pub mod leaves;
pub mod nsec3;

use std::{cmp::Ordering, io};

use responder_common::{
    layout::{Address, Cell, Link, Snapshot, UNIT, denial},
    wire::rtype,
};
use zerocopy::IntoBytes;

use self::keys::{Keys, Kind};
use super::{
    collect::{RrSet, Sets, Sorted},
    compile::CompileError,
    fragment::{Builder, Built, Surroundings},
    side_by_side::side_by_side,
    walk::{stretches, walk},
};
use crate::store::Space;

/// What nodes ask of a chain while they are compiled.
pub trait Proofs {
    /// Whether names are hashed.
    fn is_hashed(&self) -> bool;
    /// What a lower-case wire name is looked up with.
    fn key(&mut self, name: &[u8]) -> Vec<u8>;
    /// The cell of the record of the name with this key.
    fn exact(&mut self, key: &[u8]) -> Option<Address>;
    /// The cell of the record that covers a key which has none of its own: the one before it in the
    /// ring.
    fn cover(&mut self, key: &[u8]) -> Address;
}

/// A whole chain, in the making.
pub struct Chain {
    keys: Keys,
    /// By key; where one was met twice, the first.
    links: Vec<(Vec<u8>, Address)>,
    /// The first octets of the keys, which nearly always decide.
    prefixes: Vec<u64>,
    /// Where the prefixes that begin with certain bits begin.
    directory: Vec<u32>,
    shift: u32,
}

/// The records of a chain that a stretch of the zone holds.
type Found = Vec<(Vec<u8>, Address)>;

impl Chain {
    /// Compiles the chain that the zone declares: NSEC3 if an NSEC3PARAM that we know stands at the apex
    /// (RFC 5155, section 4.1.2: flags zero), else NSEC. None where the zone is not signed. `root` is
    /// what the apex owns.
    ///
    /// # Errors
    /// When a hash would take more work than a query may cost, or the store is full.
    pub fn build(
        zone: &Sorted,
        apex: &[u8],
        root: &[RrSet<'_>],
        space: &mut Space<'_>,
    ) -> Result<Option<Self>, CompileError> {
        let rows: Vec<usize> = (0..zone.len()).filter(|row| zone.denies(*row)).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let mut keys = Keys::new(Kind::Nsec, apex);
        let mut links = Vec::new();
        if let Some((iterations, salt)) = nsec3::parameters(root)? {
            links = hashed(zone, apex, &rows, (iterations, salt), space)?;
            if !links.is_empty() {
                keys = Keys::new(Kind::Nsec3 { iterations, salt: salt.to_vec() }, apex);
            }
        }
        if links.is_empty() {
            links = plain(zone, apex, root, &keys, space)?;
        }
        links.sort_by(|one, other| one.0.cmp(&other.0));
        links.dedup_by(|one, other| one.0 == other.0);
        Ok((!links.is_empty()).then(|| Self::over(keys, links)))
    }

    /// Over links in their order.
    fn over(keys: Keys, links: Vec<(Vec<u8>, Address)>) -> Self {
        let prefixes: Vec<u64> = links.iter().map(|(key, _)| leaves::prefix(key)).collect();
        let shift = 64 - prefixes.len().max(2).ilog2().min(20);
        let mut directory = Vec::with_capacity((1 << (64 - shift)) + 1);
        for (place, prefix) in prefixes.iter().enumerate() {
            let bits = (prefix >> shift) as usize;
            directory.resize(directory.len().max(bits + 1), place as u32);
        }
        directory.resize((1 << (64 - shift)) + 1, prefixes.len() as u32);
        Self { keys, links, prefixes, directory, shift }
    }

    /// How many links have a key before this one, and whether the next has this very key.
    fn place(&self, key: &[u8]) -> (usize, bool) {
        let prefix = leaves::prefix(key);
        let bits = (prefix >> self.shift) as usize;
        let (from, to) = (self.directory[bits] as usize, self.directory[bits + 1] as usize);
        let mut place = from + self.prefixes[from..to].partition_point(|other| *other < prefix);
        while self.prefixes.get(place) == Some(&prefix) {
            match self.links[place].0.as_slice().cmp(key) {
                Ordering::Less => place += 1,
                Ordering::Equal => return (place, true),
                Ordering::Greater => break,
            }
        }
        (place, false)
    }

    /// For one of several threads that ask at a time.
    pub fn asked(&self) -> Asked<'_> {
        Asked { chain: self, keys: self.keys.clone() }
    }

    /// Writes the chain and what is needed to search it.
    ///
    /// # Errors
    /// When the store is full.
    pub fn store(&self, space: &mut Space<'_>, snapshot: &mut Snapshot) -> io::Result<()> {
        let mut links = Vec::with_capacity(self.links.len());
        for (place, (key, cell)) in self.links.iter().enumerate() {
            let first = self.prefixes[place];
            // Hashes are told apart by their first octets, unless somebody made them alike.
            let alike = |other: Option<usize>| {
                other.and_then(|other| self.prefixes.get(other)) == Some(&first)
            };
            let needed =
                !self.keys.is_hashed() || alike(Some(place + 1)) || alike(place.checked_sub(1));
            let rest = if needed { leaves::write_rest(key, space)? } else { 0 };
            links.push(Link { key: first, target: *cell, rest });
        }
        let list = leaves::write_leaves(&links, space)?;
        leaves::write_list(&list, space, snapshot)?;
        declare(self.keys.kind(), snapshot);
        Ok(())
    }
}

/// The records of a chain of NSEC3 with these parameters, wherever they stand.
fn hashed(
    zone: &Sorted,
    apex: &[u8],
    rows: &[usize],
    (iterations, salt): (u16, &[u8]),
    space: &mut Space<'_>,
) -> Result<Found, CompileError> {
    const AT_A_TIME: usize = 4096;
    let store = space.store();
    let pieces: Vec<&[usize]> = rows.chunks(AT_A_TIME).collect();
    let begin = || (store.space(), Sets::default());
    let (spaces, found) = side_by_side(pieces.len(), begin, |(space, sets), piece| {
        let mut found = Found::new();
        for &row in pieces[piece] {
            let row = zone.row(row);
            sets.clear();
            sets.read(row, |rtype| rtype == rtype::NSEC3);
            let Some(set) = sets.first() else { continue };
            let name = row.wire().to_ascii_lowercase();
            nsec3::check_owner(&name, set).map_err(CompileError::Zone)?;
            let Some(hash) = nsec3::hash_of(&name, set, iterations, salt) else { continue };
            found.push((hash, write_proof(&proof(apex, &name, set)?, space)?));
        }
        Ok::<_, CompileError>(found)
    })?;
    spaces.into_iter().for_each(|(other, _)| space.absorb(other));
    Ok(found.concat())
}

/// The records of a chain of NSEC: those of nodes alone.
fn plain(
    zone: &Sorted,
    apex: &[u8],
    root: &[RrSet<'_>],
    keys: &Keys,
    space: &mut Space<'_>,
) -> Result<Found, CompileError> {
    let store = space.store();
    let stretches = stretches(zone, apex);
    let link = |name: &[u8], rrsets: &[RrSet<'_>], keys: &mut Keys, space: &mut Space<'_>| {
        let Some(set) = rrsets.iter().find(|set| set.rtype == rtype::NSEC) else {
            return Ok::<_, CompileError>(None);
        };
        Ok(Some((keys.of(name), write_proof(&proof(apex, name, set)?, space)?)))
    };
    let begin = || (store.space(), keys.clone());
    let (spaces, mut found) = side_by_side(stretches.len(), begin, |(space, keys), piece| {
        let mut found = Found::new();
        walk(zone, apex, stretches[piece].clone(), &mut |source, _| {
            found.extend(link(source.name, source.rrsets, keys, space)?);
            Ok(0)
        })?;
        Ok::<_, CompileError>(found)
    })?;
    spaces.into_iter().for_each(|(other, _)| space.absorb(other));
    found.push(link(apex, root, &mut keys.clone(), space)?.into_iter().collect());
    Ok(found.concat())
}

/// A chain that is asked.
pub struct Asked<'c> {
    chain: &'c Chain,
    keys: Keys,
}

impl Proofs for Asked<'_> {
    fn is_hashed(&self) -> bool {
        self.keys.is_hashed()
    }

    fn key(&mut self, name: &[u8]) -> Vec<u8> {
        self.keys.of(name)
    }

    fn exact(&mut self, key: &[u8]) -> Option<Address> {
        let (place, here) = self.chain.place(key);
        here.then(|| self.chain.links[place].1)
    }

    fn cover(&mut self, key: &[u8]) -> Address {
        let (place, here) = self.chain.place(key);
        let links = &self.chain.links;
        let after = place + usize::from(here);
        links[after.checked_sub(1).unwrap_or(links.len() - 1)].1
    }
}

/// Tells the snapshot how the zone denies.
fn declare(kind: &Kind, snapshot: &mut Snapshot) {
    snapshot.denial = denial::NSEC;
    if let Kind::Nsec3 { iterations, salt } = kind {
        snapshot.denial = denial::NSEC3;
        snapshot.iterations = *iterations;
        snapshot.salt_length = salt.len() as u8;
        for (word, chunk) in snapshot.salt.iter_mut().zip(salt.chunks(8)) {
            let mut octets = [0; 8];
            octets[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(octets);
        }
    }
}

/// A proof: the record under its own name, and its signatures.
///
/// # Errors
/// When it is larger than a message can be.
pub fn proof(apex: &[u8], name: &[u8], set: &RrSet<'_>) -> Result<Built, CompileError> {
    let mut builder = Builder::new(Surroundings { apex, node: apex, owner: name, anchored: &[] });
    for rdata in &set.rdata {
        builder.named_record(name, set.rtype, set.ttl, rdata);
    }
    builder.signatures_follow();
    for rdata in &set.signatures {
        builder.named_record(name, rtype::RRSIG, set.ttl, rdata);
    }
    builder.finish().map_err(|_| {
        CompileError::Zone(format!("the denial at {} is too large", super::name::to_text(name)))
    })
}

/// Writes a proof behind its cell, in the same cache line if it can be; the cell's address.
///
/// # Errors
/// When the store is full.
pub fn write_proof(proof: &Built, space: &mut Space<'_>) -> io::Result<Address> {
    let cell = space.take(size_of::<Cell>() as u64 + proof.stored_length(), 64)?;
    let behind = cell + (size_of::<Cell>() as u64 / UNIT) as Address;
    space.write(cell, Cell::new(0, behind, 0).words().as_bytes());
    proof.write(space, behind);
    Ok(cell)
}
