//! A zone's tree becomes nodes, fragments and an index in the store.
//!
//! | module | what |
//! |---|---|
//! | [`node`] | one name: its RRsets, its references, its proofs |
//! | [`servers`] | RRsets as fragments, and the addresses that go with name servers |

mod node;
pub mod nonexistence;
mod servers;

use std::{borrow::Cow, collections::HashMap, io};

use responder_common::{
    layout::{Address, BUCKET_SLOTS, Bucket, Cell, Snapshot, denial},
    name,
    wire::{NAME_MAX, rtype},
};
use zerocopy::IntoBytes;

pub use self::node::{CompileError, Hosts, Nodes, Source};
pub use self::servers::negative;
use super::{
    chain::{Chain, Proofs},
    collect::RrSet,
    fragment::name_length,
    tree::{Addresses, Tree, count_labels},
};
use crate::store::Space;

/// What the compiler makes of a zone.
pub struct Compiled {
    /// Ready to be published.
    pub snapshot: Snapshot,
    /// Nodes.
    pub names: u64,
}

impl<'a> Hosts<'a> for Tree<'a> {
    fn addresses(&self, host: &[u8]) -> Option<Cow<'_, Addresses<'a>>> {
        self.addresses.get(host).map(Cow::Borrowed)
    }
}

/// What hears which keys were looked up in the chain for a node, by its lower-case wire name.
pub type Lookups<'l> = &'l mut dyn FnMut(&[u8], &[Vec<u8>]);

/// Compiles a tree into `space`. `apex` is in lower-case wire form; `lookups` hears what each node of a
/// signed zone depends on.
///
/// # Errors
/// When the zone holds what cannot be answered, or the store is full.
pub fn compile(
    tree: &Tree<'_>,
    apex: &[u8],
    space: &mut Space<'_>,
    lookups: Lookups<'_>,
) -> Result<Compiled, CompileError> {
    let mut chain = Chain::build(tree, apex, space)?;
    let key = space.store().hash_key();
    let mut nodes =
        Nodes { apex, space, hosts: tree, proofs: chain.as_mut(), born: 0, lookups: Vec::new() };
    let mut index = Vec::with_capacity(tree.nodes.len());
    // Wildcards below nodes that are still to be written.
    let mut wildcards: HashMap<usize, Address> = HashMap::new();
    let mut apex_node = 0;
    // From the last name to the first: a node is written after those below it, and knows its wildcard.
    for (place, node) in tree.nodes.iter().enumerate().rev() {
        let wildcard = wildcards.remove(&place).unwrap_or(0);
        let source = Source { name: &node.name, rrsets: &node.rrsets, cut: node.cut, wildcard };
        let address = nodes.write(&source, 0)?;
        if !nodes.lookups.is_empty() {
            lookups(&node.name, &nodes.lookups);
        }
        if let Some(parent) = node.parent {
            if node.name.starts_with(b"\x01*") {
                wildcards.insert(parent, address);
            }
            index.push((name::hash(key, &node.name), address));
        } else {
            apex_node = address;
        }
    }
    let (index, buckets) = write_index(&index, space)?;
    let soa = soa(&tree.nodes[0].rrsets).expect("the tree has checked it");
    let mut snapshot = empty_snapshot(apex);
    snapshot.serial = serial(soa);
    snapshot.apex = apex_node;
    snapshot.index = index;
    snapshot.index_mask = buckets - 1;
    let negative =
        negative(apex, soa).map_err(|_| CompileError::Zone("the SOA is too large".into()))?;
    snapshot.negative = negative.store(space)?;
    if let Some(chain) = &mut chain {
        let key = chain.key(apex);
        snapshot.apex_proof = chain.exact(&key).unwrap_or(0);
        chain.store(space, &mut snapshot)?;
        let cells = nonexistence::cells(apex, chain, &mut snapshot);
        let store = space.store();
        let settled = |cell| Some(store.object_at::<Cell>(cell)?.fragment(0));
        let proofs = cells.into_iter().map(settled);
        snapshot.nonexistent = nonexistence::write(&negative, proofs, space)?;
    }
    Ok(Compiled { snapshot, names: tree.nodes.len() as u64 })
}

/// The SOA among the apex's RRsets.
pub fn soa<'s, 'a>(rrsets: &'s [RrSet<'a>]) -> Option<&'s RrSet<'a>> {
    rrsets.iter().find(|set| set.rtype == rtype::SOA)
}

/// A snapshot that knows its apex and no more.
fn empty_snapshot(apex: &[u8]) -> Snapshot {
    let mut padded = [0_u64; 32];
    for (word, chunk) in padded.iter_mut().zip(apex.chunks(8)) {
        let mut octets = [0; 8];
        octets[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(octets);
    }
    Snapshot {
        version: 0,
        serial: 0,
        apex: 0,
        index: 0,
        index_mask: 0,
        negative: 0,
        apex_length: apex.len() as u8,
        apex_labels: count_labels(apex) as u8,
        denial: denial::NONE,
        salt_length: 0,
        iterations: 0,
        directory_shift: 0,
        expired: 0,
        name: padded,
        leaves: 0,
        leaves_length: 0,
        directory: 0,
        apex_proof: 0,
        nonexistent: 0,
        no_wildcard: 0,
        salt: [0; 7],
    }
}

/// Writes the index of names by hash; its address and how many buckets it has.
pub fn write_index(names: &[(u64, Address)], space: &mut Space<'_>) -> io::Result<(Address, u32)> {
    // Five names in eight slots: one bucket in twenty overflows.
    let wanted = (names.len() / 5 + 1).next_power_of_two();
    let mask = wanted - 1;
    let mut slots = vec![0_u64; wanted * BUCKET_SLOTS];
    for &(hash, address) in names {
        let mut bucket = hash as usize & mask;
        let slot = loop {
            let row = &mut slots[bucket * BUCKET_SLOTS..][..BUCKET_SLOTS];
            if let Some(free) = row.iter().position(|slot| *slot == 0) {
                break &mut row[free];
            }
            bucket = (bucket + 1) & mask;
        };
        *slot = Bucket::entry(hash, address);
    }
    let start = space.take_row(size_of_val(slots.as_slice()) as u64)?;
    space.write_row(start, slots.as_bytes());
    Ok((start, wanted as u32))
}

/// The serial of an SOA (RFC 1035, section 3.3.13).
pub fn serial(soa: &RrSet<'_>) -> u32 {
    let rdata = soa.rdata[0];
    let names = name_length(rdata);
    let names = names + name_length(&rdata[names..]);
    u32::from_be_bytes(rdata[names..names + 4].try_into().expect("the reader gives whole SOAs"))
}

const _: () = assert!(NAME_MAX as usize <= 32 * 8);
