//! The chain by which a signed zone denies: NSEC (RFC 4034) or NSEC3 (RFC 5155), sorted by the key that a
//! query is looked up with.

use responder_common::{
    denial::{ITERATIONS_MAX, SALT_MAX},
    layout::{Address, Snapshot, denial},
    sha1::{self, Sha1},
    wire::rtype,
};
use zerocopy::FromZeros;

use super::{
    collect::{RrSet, sort_key},
    compile::{CompileError, write_words},
    fragment::{Builder, Surroundings},
    tree::Tree,
};
use crate::store::Space;

/// The records of a chain.
pub struct Chain {
    kind: Kind,
    /// By key; where one was met twice, the first.
    links: Vec<(Vec<u8>, Address)>,
    apex_key: usize,
    sha1: Box<Sha1>,
}

enum Kind {
    Nsec,
    Nsec3 { iterations: u16, salt: Vec<u8> },
}

impl Chain {
    /// Compiles the chain that the zone declares: NSEC3 if an NSEC3PARAM that we know stands at the apex
    /// (RFC 5155, section 4.1.2: flags zero), else NSEC. None where the zone is not signed.
    ///
    /// # Errors
    /// When a hash would take more work than a query may cost, or the store is full.
    pub fn build(
        tree: &Tree<'_>,
        apex: &[u8],
        space: &mut Space<'_>,
    ) -> Result<Option<Self>, CompileError> {
        let mut apex_key = Vec::new();
        sort_key(apex, &mut apex_key);
        let mut chain = Self {
            kind: Kind::Nsec,
            links: Vec::new(),
            apex_key: apex_key.len(),
            sha1: Box::new(Sha1::new_zeroed()),
        };
        if let Some((iterations, salt)) = parameters(tree)? {
            for (name, set) in &tree.hashed {
                let Some(hash) = hash_of(name, set, iterations, salt) else { continue };
                let fragment = proof(apex, name, set, space)?;
                chain.links.push((hash, fragment));
            }
            chain.kind = Kind::Nsec3 { iterations, salt: salt.to_vec() };
        }
        if chain.links.is_empty() {
            chain.kind = Kind::Nsec;
            for node in &tree.nodes {
                let Some(set) = node.rrsets.iter().find(|set| set.rtype == rtype::NSEC) else {
                    continue;
                };
                let key = chain.key(&node.name);
                chain.links.push((key, proof(apex, &node.name, set, space)?));
            }
        }
        chain.links.sort_by(|one, other| one.0.cmp(&other.0));
        chain.links.dedup_by(|one, other| one.0 == other.0);
        Ok((!chain.links.is_empty()).then_some(chain))
    }

    /// Whether names are hashed.
    pub fn is_hashed(&self) -> bool {
        matches!(self.kind, Kind::Nsec3 { .. })
    }

    /// What a lower-case name is looked up with.
    pub fn key(&mut self, name: &[u8]) -> Vec<u8> {
        match &self.kind {
            Kind::Nsec => {
                let mut key = Vec::new();
                sort_key(name, &mut key);
                key.split_off(self.apex_key)
            }
            Kind::Nsec3 { iterations, salt } => {
                sha1::nsec3(&mut self.sha1, name, salt, *iterations).to_vec()
            }
        }
    }

    /// The record of the name with this key.
    pub fn exact(&self, key: &[u8]) -> Option<Address> {
        let place = self.links.binary_search_by(|link| link.0.as_slice().cmp(key)).ok()?;
        Some(self.links[place].1)
    }

    /// The record that covers a key which has none of its own: the one before it in the ring.
    pub fn cover(&self, key: &[u8]) -> Address {
        let after = self.links.partition_point(|link| link.0.as_slice() <= key);
        let place = after.checked_sub(1).unwrap_or(self.links.len() - 1);
        self.links[place].1
    }

    /// Writes the chain and what is needed to search it.
    ///
    /// # Errors
    /// When the store is full.
    pub fn store(
        &self,
        space: &mut Space<'_>,
        snapshot: &mut Snapshot,
    ) -> Result<(), CompileError> {
        let prefix = |key: &[u8]| {
            let mut first = [0; 8];
            let length = key.len().min(8);
            first[..length].copy_from_slice(&key[..length]);
            u64::from_be_bytes(first)
        };
        let bits = (self.links.len() / 4).max(2).ilog2().min(20);
        let shift = 64 - bits;
        let mut words = Vec::with_capacity(self.links.len() * 2);
        let mut directory = Vec::with_capacity((1 << bits) + 1);
        for (place, (key, fragment)) in self.links.iter().enumerate() {
            let first = prefix(key);
            directory.resize(directory.len().max((first >> shift) as usize + 1), place as u64);
            let rest = if self.is_hashed() || key.len() <= 8 {
                0
            } else {
                let mut rest = vec![(key.len() - 8).div_ceil(8) as u64];
                rest.extend(key[8..].chunks(8).map(prefix));
                let at = space.take(rest.len() as u64 * 8, 8)?;
                write_words(space, at, &rest);
                at
            };
            words.extend([first, u64::from(*fragment) | u64::from(rest) << 32]);
        }
        directory.resize((1 << bits) + 1, self.links.len() as u64);
        let lines = |words: usize| (words as u64).div_ceil(8).next_power_of_two();
        snapshot.chain = space.take_lines(lines(words.len()))?;
        write_words(space, snapshot.chain, &words);
        snapshot.chain_length = self.links.len() as u32;
        snapshot.directory = space.take_lines(lines(directory.len()))?;
        write_words(space, snapshot.directory, &directory);
        snapshot.directory_shift = shift as u8;
        snapshot.denial = denial::NSEC;
        if let Kind::Nsec3 { iterations, salt } = &self.kind {
            snapshot.denial = denial::NSEC3;
            snapshot.iterations = *iterations;
            snapshot.salt_length = salt.len() as u8;
            for (word, chunk) in snapshot.salt.iter_mut().zip(salt.chunks(8)) {
                let mut octets = [0; 8];
                octets[..chunk.len()].copy_from_slice(chunk);
                *word = u64::from_le_bytes(octets);
            }
        }
        Ok(())
    }
}

/// A proof: the record under its own name, and its signatures.
fn proof(
    apex: &[u8],
    name: &[u8],
    set: &RrSet<'_>,
    space: &mut Space<'_>,
) -> Result<Address, CompileError> {
    let mut builder = Builder::new(Surroundings { apex, node: apex, owner: name, anchored: &[] });
    for rdata in &set.rdata {
        builder.named_record(name, set.rtype, set.ttl, rdata);
    }
    builder.signatures_follow();
    for rdata in &set.signatures {
        builder.named_record(name, rtype::RRSIG, set.ttl, rdata);
    }
    let built = builder.finish().map_err(|_| {
        CompileError::Zone(format!("the denial at {} is too large", super::name::to_text(name)))
    })?;
    Ok(built.store(space)?)
}

/// Iterations and salt of the chain that the apex declares complete.
fn parameters<'a>(tree: &'a Tree<'_>) -> Result<Option<(u16, &'a [u8])>, CompileError> {
    let declared = tree.nodes[0].rrsets.iter().find(|set| set.rtype == rtype::NSEC3PARAM);
    let known = declared.and_then(|set| {
        set.rdata.iter().find(|rdata| rdata.len() >= 5 && rdata[0] == 1 && rdata[1] == 0)
    });
    let Some(rdata) = known else { return Ok(None) };
    let iterations = u16::from_be_bytes([rdata[2], rdata[3]]);
    let salt = &rdata[5..];
    if iterations > ITERATIONS_MAX || salt.len() > SALT_MAX {
        return Err(CompileError::Zone(format!(
            "its NSEC3 chain asks for {iterations} iterations and a salt of {} octets; served are up to \
             {ITERATIONS_MAX} and {SALT_MAX}: sign it with none of either (RFC 9276)",
            salt.len()
        )));
    }
    Ok(Some((iterations, salt)))
}

/// The hash that an NSEC3 stands for, if it is of the chain with these parameters.
fn hash_of(name: &[u8], set: &RrSet<'_>, iterations: u16, salt: &[u8]) -> Option<Vec<u8>> {
    let rdata = set.rdata.first()?;
    let same = rdata.len() > 5
        && rdata[0] == 1
        && u16::from_be_bytes([rdata[2], rdata[3]]) == iterations
        && rdata[5..].starts_with(salt)
        && usize::from(rdata[4]) == salt.len();
    if !same || name[0] != 32 {
        return None;
    }
    // Base 32 with the extended hex alphabet (RFC 4648, section 7): 32 digits of five bits.
    let mut hash = Vec::with_capacity(20);
    let (mut bits, mut held) = (0_u32, 0);
    for octet in &name[1..33] {
        let digit = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'v' => letter - b'a' + 10,
            _ => return None,
        };
        bits = bits << 5 | u32::from(digit);
        held += 5;
        if held >= 8 {
            held -= 8;
            hash.push((bits >> held) as u8);
        }
    }
    Some(hash)
}
