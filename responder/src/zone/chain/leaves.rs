//! A chain in the store: leaves of sorted links, the list of leaves, a directory into that list.
//!
//! Leaves are never changed: a commit writes the few that differ anew, and the short list and its
//! directory with them. So each version of a zone has its own list, and shares nearly all leaves.

use std::io;

use responder_common::layout::{
    Address, Cell, Fragment, LEAF_LINKS, Link, Snapshot, UNIT, fragment_start,
};
use zerocopy::IntoBytes;

use crate::store::{Space, Store};

/// Links that a new leaf gets: there is room for more before it must be split.
const FILL: usize = LEAF_LINKS * 3 / 4;

/// The first eight octets of a key, in the order in which they are compared.
pub fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = key.len().min(8);
    first[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(first)
}

/// Writes the rest of a key, behind its first eight octets; none where there is no rest.
pub fn write_rest(key: &[u8], space: &mut Space<'_>) -> io::Result<Address> {
    if key.len() <= 8 {
        return Ok(0);
    }
    let mut rest = vec![(key.len() - 8).div_ceil(8) as u64];
    rest.extend(key[8..].chunks(8).map(prefix));
    let at = space.take(rest.len() as u64 * UNIT, UNIT)?;
    space.write(at, rest.as_bytes());
    Ok(at)
}

/// Writes sorted links as leaves: for each its first key and its address.
pub fn write_leaves(links: &[Link], space: &mut Space<'_>) -> io::Result<Vec<Link>> {
    let count = links.len().div_ceil(FILL).max(1);
    let mut leaves = Vec::with_capacity(count);
    let even = links.len().div_ceil(count).max(1);
    for chunk in links.chunks(even) {
        let at = space.take(UNIT + size_of_val(chunk) as u64, 64)?;
        let mut image = (chunk.len() as u64).to_le_bytes().to_vec();
        image.extend_from_slice(chunk.as_bytes());
        space.write(at, &image);
        leaves.push(Link { target: at, ..chunk[0] });
    }
    Ok(leaves)
}

/// Writes the list of leaves and its directory, and tells the snapshot.
pub fn write_list(
    leaves: &[Link],
    space: &mut Space<'_>,
    snapshot: &mut Snapshot,
) -> io::Result<()> {
    let bits = leaves.len().max(2).ilog2().min(20);
    let shift = 64 - bits;
    let mut directory = Vec::with_capacity((1 << bits) + 1);
    for (place, leaf) in leaves.iter().enumerate() {
        directory.resize(directory.len().max((leaf.key >> shift) as usize + 1), place as u64);
    }
    directory.resize((1 << bits) + 1, leaves.len() as u64);
    snapshot.leaves = space.take_row(size_of_val(leaves) as u64)?;
    space.write_row(snapshot.leaves, leaves.as_bytes());
    snapshot.leaves_length = leaves.len() as u32;
    snapshot.directory = space.take_row(directory.len() as u64 * UNIT)?;
    space.write_row(snapshot.directory, directory.as_bytes());
    snapshot.directory_shift = shift as u8;
    Ok(())
}

/// Units of a link.
const LINK_UNITS: Address = 2;

/// A chain as it stands in the store, for whoever changes it.
pub struct Stored<'s>(pub &'s Store);

impl Stored<'_> {
    /// For each leaf of a version its first link, with the leaf as target.
    pub fn list(&self, version: &Snapshot) -> Option<Vec<Link>> {
        let places = 0..version.leaves_length;
        places.map(|place| self.link(version.leaves + place * LINK_UNITS)).collect()
    }

    /// A link.
    pub fn link(&self, address: Address) -> Option<Link> {
        self.0.object_at::<Link>(address).copied()
    }

    /// The links of a leaf.
    pub fn leaf(&self, address: Address) -> Option<Vec<Link>> {
        let count = *self.0.object_at::<u64>(address)?;
        (0..count as Address).map(|place| self.link(address + 1 + place * LINK_UNITS)).collect()
    }

    /// Where a proof stands.
    pub fn cell(&self, address: Address) -> Option<&Cell> {
        self.0.object_at(address)
    }

    /// The octets of a rest, zeros behind them.
    pub fn rest(&self, address: Address) -> Vec<u8> {
        let word = |at: Address| self.0.object_at::<u64>(address + at).copied().unwrap_or(0);
        (1..=word(0) as Address).flat_map(|at| word(at).to_be_bytes()).collect()
    }

    /// The records of a fragment.
    pub fn records(&self, fragment: Address) -> Option<&[u8]> {
        let head: &Fragment = self.0.object_at(fragment)?;
        let start = fragment_start(head.signed.patches) / UNIT as u32;
        self.0.octets_at(fragment + start, usize::from(head.signed.length))
    }
}
