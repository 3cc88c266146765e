//! A zone becomes nodes, fragments and an index in the store.
//!
//! | module | what |
//! |---|---|
//! | [`source`] | what is compiled: a name and what it owns |
//! | [`node`] | one node: its RRsets, its references, its proofs |
//! | [`servers`] | RRsets as fragments, and the addresses that go with name servers |
//! | [`index`] | where names are found, and what stands beside it |

mod index;
mod node;
pub mod nonexistence;
mod servers;
mod source;

use responder_common::{
    layout::{Address, Cell, Shape, Snapshot, denial},
    name,
    wire::{NAME_MAX, rtype},
};

use self::index::{Rooms, Sample};
pub use self::{
    index::write_index,
    node::Nodes,
    servers::negative,
    source::{CompileError, Hosts, Source},
};
use super::{
    chain::{Asked, Chain, Proofs},
    collect::{RrSet, Sets, Sorted},
    fragment::name_length,
    hosts::SortedHosts,
    lookups::Lookups,
    name::count_labels,
    progress::Progress,
    side_by_side::side_by_side,
    walk::{NO_SOA, Walked, check_rrsets, first_rows, stretches, walk},
};
use crate::store::Space;

/// What the compiler makes of a zone.
pub struct Compiled {
    /// Ready to be published.
    pub snapshot: Snapshot,
    /// Nodes.
    pub names: u64,
    /// Labels of the deepest node.
    pub labels: u32,
    /// Names below a cut or a DNAME that are not addresses of name servers.
    pub occluded: u64,
    /// What each node of a zone with NSEC3 depends on.
    pub lookups: Vec<Lookups>,
}

/// Compiles a zone into `space`, on every processor. `apex` is in lower-case wire form; `noted` is
/// whether it is to be told what the nodes depend on.
///
/// # Errors
/// When the zone holds what cannot be answered, or the store is full.
pub fn compile(
    zone: &Sorted,
    apex: &[u8],
    space: &mut Space<'_>,
    noted: bool,
    progress: &Progress,
) -> Result<Compiled, CompileError> {
    let root = root(zone, apex).map_err(CompileError::Zone)?;
    let chain = Chain::build(zone, apex, &root, space)?;
    let stretches = stretches(zone, apex);
    let mut trial = Part::new(zone, apex, space.trial(), chain.as_ref());
    let (sample, names) = trial.sample(zone, apex, &stretches);
    let rooms = Rooms::new(sample, names, space)?;
    let begin = || Part::new(zone, apex, space.another(), chain.as_ref());
    let (parts, walked) = side_by_side(stretches.len(), begin, |part, number| {
        let rows = stretches[number].clone();
        progress.add(rows.len() as u64);
        part.compile(zone, apex, rows, noted, rooms.as_ref())
    })?;
    let mut lookups = Vec::new();
    let mut index = Vec::new();
    for part in parts {
        space.absorb(part.space);
        lookups.push(part.lookups);
        if index.is_empty() {
            index = part.index;
        } else {
            index.extend(part.index);
        }
    }
    let walked = walked.into_iter().fold(Walked::default(), Walked::and);
    let mut proofs = chain.as_ref().map(Chain::asked);
    let hosts = SortedHosts::of(zone, apex.len());
    let source = Source { name: apex, rrsets: &root, cut: false, wildcard: walked.wildcard };
    let mut nodes = Nodes::new(apex, space, hosts, proofs.as_mut(), 0);
    let apex_node = nodes.write(&source, 0)?;
    if noted {
        let mut own = Lookups::default();
        own.note(apex, &nodes.lookups);
        lookups.push(own);
    }
    let (index, shape) = write_index(&index, rooms.as_ref(), space)?;
    let soa = soa(&root).ok_or_else(|| CompileError::Zone(NO_SOA.into()))?;
    let mut snapshot = empty_snapshot(apex);
    (snapshot.serial, snapshot.expire) = (serial(soa), expire(soa));
    snapshot.apex = apex_node;
    snapshot.index = index;
    snapshot.index_shape = shape.number();
    let negative =
        negative(apex, soa).map_err(|_| CompileError::Zone("the SOA is too large".into()))?;
    snapshot.negative = negative.store(space)?;
    if let Some((chain, proofs)) = chain.as_ref().zip(proofs.as_mut()) {
        let key = proofs.key(apex);
        snapshot.apex_proof = proofs.exact(&key).unwrap_or(0);
        chain.store(space, &mut snapshot)?;
        let cells = nonexistence::cells(apex, proofs, &mut snapshot);
        let store = space.store();
        let settled = |cell| Some(store.object_at::<Cell>(cell)?.fragment(0));
        let proofs = cells.into_iter().map(settled);
        snapshot.nonexistent = nonexistence::write(&negative, proofs, space)?;
    }
    let labels = walked.labels.max(count_labels(apex)) as u32;
    let (names, occluded) = (walked.nodes + 1, walked.occluded);
    Ok(Compiled { snapshot, names, labels, occluded, lookups })
}

/// What the apex owns, which comes first.
fn root<'z>(zone: &'z Sorted, apex: &[u8]) -> Result<Sets<'z>, String> {
    if zone.len() == 0 {
        return Err("it holds no record".into());
    }
    let row = zone.row(0);
    if !row.wire().eq_ignore_ascii_case(apex) {
        return Err(NO_SOA.into());
    }
    let mut root = Sets::default();
    root.read(row, |rtype| rtype != rtype::NSEC3);
    check_rrsets(row.wire(), &root, true)?;
    Ok(root)
}

/// What one thread makes of the stretches that it compiles.
struct Part<'z, 's> {
    space: Space<'s>,
    hosts: SortedHosts<'z>,
    proofs: Option<Asked<'z>>,
    /// The hashes of names and where their nodes stand.
    index: Vec<(u64, Address)>,
    sample: Sample,
    lookups: Lookups,
}

impl<'z, 's> Part<'z, 's> {
    fn new(zone: &'z Sorted, apex: &[u8], space: Space<'s>, chain: Option<&'z Chain>) -> Self {
        let hosts = SortedHosts::of(zone, apex.len());
        let proofs = chain.map(Chain::asked);
        let (index, sample) = (Vec::new(), Sample::default());
        Self { space, hosts, proofs, index, sample, lookups: Lookups::default() }
    }

    /// Compiles a stretch of rows.
    fn compile(
        &mut self,
        zone: &'z Sorted,
        apex: &[u8],
        rows: std::ops::Range<usize>,
        noted: bool,
        rooms: Option<&Rooms>,
    ) -> Result<Walked, CompileError> {
        let Self { space, hosts, proofs, index, sample, lookups } = self;
        let key = space.store().hash_key();
        let mut nodes = Nodes::new(apex, space, hosts, proofs.as_mut(), 0);
        nodes.rooms = rooms;
        walk(zone, apex, rows, &mut |source, rows| {
            nodes.hosts.come_to(source.cut.then_some(rows));
            let address = nodes.write(source, 0)?;
            if noted {
                lookups.note(source.name, &nodes.lookups);
            }
            sample.add(nodes.octets);
            index.push((name::hash(key, source.name), address));
            Ok(address)
        })
    }

    /// Compiles some rows here and there, to nowhere: what their nodes take, and about how many nodes all
    /// rows make.
    fn sample(
        &mut self,
        zone: &'z Sorted,
        apex: &[u8],
        stretches: &[std::ops::Range<usize>],
    ) -> (Sample, f64) {
        let mut rows = 0;
        for stretch in stretches.iter().step_by(stretches.len().div_ceil(SAMPLES).max(1)) {
            let few = first_rows(zone, apex, stretch, SAMPLE);
            rows += few.len();
            if self.compile(zone, apex, few, false, None).is_err() {
                // The first fault of the zone is told when all is compiled.
                break;
            }
        }
        let each = self.sample.nodes as f64 / rows.max(1) as f64;
        (self.sample, each * zone.len() as f64)
    }
}

/// Places of a zone of which a sample is taken.
const SAMPLES: usize = 16;

/// Rows of a sample, or as many more as belong to the last name.
const SAMPLE: usize = 256;

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
        index_shape: Shape { pages: 1, page_buckets: 1, lines: 1 }.number(),
        negative: 0,
        apex_length: apex.len() as u8,
        apex_labels: count_labels(apex) as u8,
        denial: denial::NONE,
        salt_length: 0,
        iterations: 0,
        directory_shift: 0,
        padding: 0,
        deadline: 0,
        name: padded,
        leaves: 0,
        leaves_length: 0,
        directory: 0,
        apex_proof: 0,
        nonexistent: 0,
        no_wildcard: 0,
        salt: [0; 7],
        ledger: 0,
        expire: 0,
    }
}

/// The serial of an SOA (RFC 1035, section 3.3.13).
pub fn serial(soa: &RrSet<'_>) -> u32 {
    number(soa, 0)
}

/// Its EXPIRE, in seconds.
pub fn expire(soa: &RrSet<'_>) -> u32 {
    number(soa, 3)
}

/// One of the numbers that stand behind its names.
fn number(soa: &RrSet<'_>, place: usize) -> u32 {
    let rdata = soa.rdata[0];
    let names = name_length(rdata);
    let at = names + name_length(&rdata[names..]) + 4 * place;
    u32::from_be_bytes(rdata[at..at + 4].try_into().expect("the reader gives whole SOAs"))
}

const _: () = assert!(NAME_MAX as usize <= 32 * 8);
