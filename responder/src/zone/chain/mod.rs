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

use std::io;

use responder_common::{
    layout::{Address, Cell, Link, Snapshot, UNIT, denial},
    wire::rtype,
};
use zerocopy::IntoBytes;

use self::keys::{Keys, Kind};
use super::{
    collect::RrSet,
    compile::CompileError,
    fragment::{Builder, Built, Surroundings},
    tree::Tree,
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
        let mut links = Vec::new();
        let mut keys = Keys::new(Kind::Nsec, apex);
        if let Some((iterations, salt)) = nsec3::parameters(&tree.nodes[0].rrsets)? {
            for (name, set) in &tree.hashed {
                let Some(hash) = nsec3::hash_of(name, set, iterations, salt) else { continue };
                links.push((hash, write_proof(&proof(apex, name, set)?, space)?));
            }
            if !links.is_empty() {
                keys = Keys::new(Kind::Nsec3 { iterations, salt: salt.to_vec() }, apex);
            }
        }
        if links.is_empty() {
            for node in &tree.nodes {
                let Some(set) = node.rrsets.iter().find(|set| set.rtype == rtype::NSEC) else {
                    continue;
                };
                let key = keys.of(&node.name);
                links.push((key, write_proof(&proof(apex, &node.name, set)?, space)?));
            }
        }
        links.sort_by(|one, other| one.0.cmp(&other.0));
        links.dedup_by(|one, other| one.0 == other.0);
        Ok((!links.is_empty()).then_some(Self { keys, links }))
    }

    /// Writes the chain and what is needed to search it.
    ///
    /// # Errors
    /// When the store is full.
    pub fn store(&self, space: &mut Space<'_>, snapshot: &mut Snapshot) -> io::Result<()> {
        let mut links = Vec::with_capacity(self.links.len());
        for (place, (key, cell)) in self.links.iter().enumerate() {
            let first = leaves::prefix(key);
            // Hashes are told apart by their first octets, unless somebody made them alike.
            let alike = |other: Option<&(Vec<u8>, Address)>| {
                other.is_some_and(|(other, _)| leaves::prefix(other) == first)
            };
            let needed = !self.keys.is_hashed()
                || alike(self.links.get(place + 1))
                || alike(place.checked_sub(1).and_then(|before| self.links.get(before)));
            let rest = if needed { leaves::write_rest(key, space)? } else { 0 };
            links.push(Link { key: first, target: *cell, rest });
        }
        let list = leaves::write_leaves(&links, space)?;
        leaves::write_list(&list, space, snapshot)?;
        declare(self.keys.kind(), snapshot);
        Ok(())
    }
}

impl Proofs for Chain {
    fn is_hashed(&self) -> bool {
        self.keys.is_hashed()
    }

    fn key(&mut self, name: &[u8]) -> Vec<u8> {
        self.keys.of(name)
    }

    fn exact(&mut self, key: &[u8]) -> Option<Address> {
        let place = self.links.binary_search_by(|link| link.0.as_slice().cmp(key)).ok()?;
        Some(self.links[place].1)
    }

    fn cover(&mut self, key: &[u8]) -> Address {
        let after = self.links.partition_point(|link| link.0.as_slice() <= key);
        let place = after.checked_sub(1).unwrap_or(self.links.len() - 1);
        self.links[place].1
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
