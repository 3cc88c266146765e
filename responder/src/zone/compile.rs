//! A zone's tree becomes nodes, fragments and an index in the store.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
};

use responder_common::{
    layout::{Address, BUCKET_SLOTS, Bucket, Snapshot, denial, node, node::role, patch},
    name,
    wire::{NAME_MAX, rtype},
};

use super::{
    chain::Chain,
    collect::RrSet,
    fragment::{Builder, Built, Place, Surroundings, TooLarge, name_length},
    tree::{Addresses, Hosts, Tree, TreeNode, count_labels},
};
use crate::store::Space;

/// What the compiler makes of a zone.
pub struct Compiled {
    /// Ready to be published.
    pub snapshot: Snapshot,
    /// Nodes.
    pub names: u64,
}

/// Why a zone cannot be compiled.
#[derive(Debug)]
pub enum CompileError {
    /// The zone itself.
    Zone(String),
    /// The store.
    Store(io::Error),
}

impl From<io::Error> for CompileError {
    fn from(error: io::Error) -> Self {
        Self::Store(error)
    }
}

/// Compiles a tree into `space`. `apex` is in lower-case wire form.
///
/// # Errors
/// When the zone holds what cannot be answered, or the store is full.
pub fn compile(
    tree: &Tree<'_>,
    apex: &[u8],
    space: &mut Space<'_>,
) -> Result<Compiled, CompileError> {
    let chain = Chain::build(tree, apex, space)?;
    let mut compiler = Compiler {
        proofs: Vec::new(),
        chain,
        tree,
        apex,
        space,
        shared: HashMap::new(),
        hasher: RandomState::new(),
        index: Vec::with_capacity(tree.nodes.len()),
        wildcards: HashMap::new(),
        image: Vec::new(),
    };
    compiler.find_proofs();
    let key = compiler.space.store().hash_key();
    let mut apex_node = 0;
    // From the last name to the first: a node is written after those below it, and knows its wildcard.
    for (place, tree_node) in tree.nodes.iter().enumerate().rev() {
        let wildcard = compiler.wildcards.remove(&place).unwrap_or(0);
        let address = compiler.node(place, tree_node, wildcard)?;
        if let Some(parent) = tree_node.parent {
            if tree_node.name.starts_with(b"\x01*") {
                compiler.wildcards.insert(parent, address);
            }
            compiler.index.push((name::hash(key, &tree_node.name), address));
        } else {
            apex_node = address;
        }
    }
    let (index, buckets) = compiler.index()?;
    let soa = &tree.nodes[0].rrsets.iter().find(|set| set.rtype == rtype::SOA);
    let soa = soa.expect("the tree has checked it");
    let negative = compiler.negative(soa)?;
    let mut padded = [0_u64; 32];
    for (word, chunk) in padded.iter_mut().zip(apex.chunks(8)) {
        let mut octets = [0; 8];
        octets[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(octets);
    }
    let mut snapshot = Snapshot {
        version: 0,
        serial: serial(soa),
        apex: apex_node,
        index,
        index_mask: buckets - 1,
        negative,
        apex_length: apex.len() as u8,
        apex_labels: count_labels(apex) as u8,
        denial: denial::NONE,
        salt_length: 0,
        iterations: 0,
        directory_shift: 0,
        padding: 0,
        name: padded,
        chain: 0,
        chain_length: 0,
        directory: 0,
        apex_proof: compiler.proofs.first().copied().flatten().unwrap_or(0),
        salt: [0; 7],
    };
    if let Some(chain) = &compiler.chain {
        chain.store(compiler.space, &mut snapshot)?;
    }
    Ok(Compiled { snapshot, names: tree.nodes.len() as u64 })
}

struct Compiler<'a, 'b, 's> {
    chain: Option<Chain>,
    /// By node: its own NSEC or NSEC3.
    proofs: Vec<Option<Address>>,
    tree: &'a Tree<'b>,
    apex: &'a [u8],
    space: &'a mut Space<'s>,
    /// Fragments that many names refer to, such as the NS set of a big host.
    shared: HashMap<u64, Vec<(Built, Address)>>,
    hasher: RandomState,
    index: Vec<(u64, Address)>,
    /// The wildcard below a node that is still to be written.
    wildcards: HashMap<usize, Address>,
    image: Vec<u8>,
}

/// A reference of a node, and the fragment if it stands beside the node.
struct Reference {
    role: u16,
    rtype: u16,
    target: Target,
}

enum Target {
    Beside(Built),
    Shared(Address),
    /// The same fragment as the RRset of this type, which stands before it in the node.
    As(u16),
}

impl Compiler<'_, '_, '_> {
    /// Writes a node and what belongs to it alone.
    fn node(
        &mut self,
        place: usize,
        tree_node: &TreeNode<'_>,
        wildcard: Address,
    ) -> Result<Address, CompileError> {
        let mut references = self.references(tree_node)?;
        self.denials(place, tree_node, wildcard != 0, &mut references);
        let relative = &tree_node.name[..tree_node.name.len() - self.apex.len()];
        if references.len() > 255 {
            return Err(CompileError::Zone(format!(
                "{} owns more than 250 types",
                super::name::to_text(&tree_node.name)
            )));
        }
        let owns = |kind| tree_node.rrsets.iter().any(|set| set.rtype == kind);
        let mut kind = 0;
        if tree_node.cut {
            kind |= node::DELEGATION;
        }
        if owns(rtype::DNAME) {
            kind |= node::DNAME;
        }
        if owns(rtype::CNAME) {
            kind |= node::CNAME;
        }
        if stands_in(tree_node) {
            kind |= node::WILDCARD;
        }
        for reference in references.iter().filter(|_| tree_node.cut) {
            kind |= match (reference.role, reference.rtype) {
                (role::RRSET, rtype::DS) if self.vouches(tree_node) => node::HAS_DS,
                (role::GLUE, _) => node::HAS_GLUE,
                (role::ADDITIONAL, _) => node::HAS_MORE,
                _ => 0,
            };
        }
        let fixed = (16 + relative.len().div_ceil(8) * 8 + references.len() * 8) as u64;
        let beside: u64 = references
            .iter()
            .map(|reference| match &reference.target {
                Target::Beside(built) => built.stored_length().div_ceil(8) * 8,
                Target::Shared(_) | Target::As(_) => 0,
            })
            .sum();
        let start = self.space.take(fixed + beside, fixed)?;
        let image = &mut self.image;
        image.clear();
        image.extend_from_slice(&node::first(0, 0).to_le_bytes());
        let second = node::second(kind, relative.len() as u8, references.len() as u8, wildcard);
        image.extend_from_slice(&second.to_le_bytes());
        image.extend_from_slice(relative);
        image.resize(16 + relative.len().div_ceil(8) * 8, 0);
        let mut at = start + (fixed / 8) as Address;
        let mut rrsets: Vec<(u16, Address)> = Vec::with_capacity(references.len());
        for reference in &references {
            let fragment = match &reference.target {
                Target::Shared(address) => *address,
                Target::As(kind) => {
                    let same = rrsets.iter().find(|(other, _)| other == kind);
                    same.expect("references are sorted by role").1
                }
                Target::Beside(built) => {
                    let here = at;
                    built.write(self.space, here);
                    at += built.stored_length().div_ceil(8) as Address;
                    here
                }
            };
            if reference.role == role::RRSET {
                rrsets.push((reference.rtype, fragment));
            }
            let word = node::reference(reference.role, reference.rtype, fragment);
            image.extend_from_slice(&word.to_le_bytes());
        }
        self.space.write(start, image);
        Ok(start)
    }

    fn references(&mut self, tree_node: &TreeNode<'_>) -> Result<Vec<Reference>, CompileError> {
        let too_large = |kind: u16| {
            CompileError::Zone(format!(
                "the RRset {} type {kind} is larger than a message can be",
                super::name::to_text(&tree_node.name)
            ))
        };
        let mut references = Vec::new();
        // A wildcard is selected by names below its parent: that is what pointers may count on.
        let wildcard = stands_in(tree_node);
        let selected = if wildcard { &tree_node.name[2..] } else { &tree_node.name[..] };
        let around =
            Surroundings { apex: self.apex, node: selected, owner: &tree_node.name, anchored: &[] };
        let owner = match tree_node.name.as_slice() {
            [0] => Place::ROOT,
            _ if tree_node.cut => Place::NODE,
            _ => Place::OWNER,
        };
        let mut any = None;
        for set in &tree_node.rrsets {
            if tree_node.cut && ![rtype::NS, rtype::DS].contains(&set.rtype) {
                continue;
            }
            // A DNAME answers for names below its owner too.
            let redirects = set.rtype == rtype::DNAME && owner == Place::OWNER;
            let owner = if redirects { Place::NODE } else { owner };
            let (built, places) = rrset(around, owner, set).map_err(|_| too_large(set.rtype))?;
            if wildcard && built.length() > usize::from(patch::OFFSET_MAX) {
                return Err(CompileError::Zone(format!(
                    "the wildcard RRset {} type {} is larger than {} octets",
                    super::name::to_text(&tree_node.name),
                    set.rtype,
                    patch::OFFSET_MAX
                )));
            }
            if set.rtype == rtype::NS {
                let more = self.servers(tree_node, set, around, &places);
                references.extend(more.map_err(|_| too_large(set.rtype))?);
            }
            if any.is_none() && ![rtype::NSEC, rtype::NSEC3].contains(&set.rtype) {
                any = Some(set.rtype);
                if !tree_node.cut && !set.signatures.is_empty() {
                    let signatures =
                        signatures(around, owner, set).map_err(|_| too_large(set.rtype))?;
                    let target = Target::Beside(signatures);
                    references.push(Reference { role: role::SIGNATURES, rtype: 0, target });
                }
            }
            let target = if tree_node.cut && set.rtype == rtype::NS {
                Target::Shared(self.share(built)?)
            } else {
                Target::Beside(built)
            };
            references.push(Reference { role: role::RRSET, rtype: set.rtype, target });
        }
        if let Some(kind) = any
            && !tree_node.cut
        {
            references.push(Reference { role: role::ANY, rtype: 0, target: Target::As(kind) });
        }
        // A DS that no referral shows stands where none looks for it.
        let silent = tree_node.cut && !self.vouches(tree_node);
        references.sort_by_key(|reference| {
            (silent && reference.rtype == rtype::DS, reference.role, reference.rtype)
        });
        Ok(references)
    }

    /// Whether a referral shows the cut's DS set: in a signed zone (RFC 4035, section 3.1.4). In any other
    /// it proves nothing, and is only there for whoever asks for it.
    fn vouches(&self, tree_node: &TreeNode<'_>) -> bool {
        let mut sets = tree_node.rrsets.iter().filter(|set| set.rtype == rtype::DS);
        self.chain.is_some() || sets.any(|set| !set.signatures.is_empty())
    }

    /// Finds each node's own record of the chain.
    fn find_proofs(&mut self) {
        let Some(chain) = &mut self.chain else { return };
        let own = |node: &TreeNode<'_>| {
            let key = chain.key(&node.name);
            chain.exact(&key)
        };
        self.proofs = self.tree.nodes.iter().map(own).collect();
    }

    /// Adds the references by which a node denies what it, or a name below it, does not own.
    fn denials(
        &mut self,
        place: usize,
        tree_node: &TreeNode<'_>,
        wildcard: bool,
        references: &mut Vec<Reference>,
    ) {
        let Some(chain) = &mut self.chain else { return };
        let mut add = |role, address| {
            references.push(Reference { role, rtype: 0, target: Target::Shared(address) });
        };
        // The name from which the proof starts: itself, or its closest provable encloser.
        let mut provable = place;
        if let Some(own) = self.proofs[place] {
            add(role::PROOF, own);
        } else {
            let mut next_closer = place;
            if chain.is_hashed() {
                while self.proofs[provable].is_none() {
                    next_closer = provable;
                    let Some(above) = self.tree.nodes[provable].parent else { break };
                    provable = above;
                }
                if let Some(encloser) = self.proofs[provable]
                    && provable != 0
                {
                    add(role::ENCLOSER, encloser);
                }
            }
            let key = chain.key(&self.tree.nodes[next_closer].name);
            add(role::COVER, chain.cover(&key));
        }
        let bottom = tree_node.cut || tree_node.rrsets.iter().any(|set| set.rtype == rtype::DNAME);
        let asterisk = [b"\x01*", &self.tree.nodes[provable].name[..]].concat();
        if !bottom && !wildcard && asterisk.len() <= usize::from(NAME_MAX) {
            let key = chain.key(&asterisk);
            add(role::NO_WILDCARD, chain.cover(&key));
        }
    }

    /// The addresses of a name server set: what a referral cannot do without, and what only helps.
    fn servers(
        &self,
        tree_node: &TreeNode<'_>,
        set: &RrSet<'_>,
        around: Surroundings<'_>,
        places: &[(Vec<u8>, Place)],
    ) -> Result<Vec<Reference>, TooLarge> {
        let around = Surroundings { anchored: places, ..around };
        let mut glue = Extra::new(around);
        let mut more = Extra::new(around);
        for target in &set.rdata {
            let lower = target.to_ascii_lowercase();
            let Some(addresses) = self.tree.addresses.get(&lower) else { continue };
            let Some((_, place)) = places.iter().find(|(name, _)| *name == **target) else {
                continue;
            };
            let below = lower.ends_with(&tree_node.name) && is_suffix(&lower, &tree_node.name);
            if tree_node.cut && below && addresses.glue {
                glue.add(*place, addresses);
            } else {
                more.add(*place, addresses);
            }
        }
        let mut references = Vec::new();
        for (role, extra) in [(role::GLUE, glue), (role::ADDITIONAL, more)] {
            if let Some(built) = extra.finish()? {
                let target = Target::Beside(built);
                references.push(Reference { role, rtype: rtype::NS, target });
            }
        }
        Ok(references)
    }

    /// Stores a fragment once, however many names refer to it.
    fn share(&mut self, built: Built) -> io::Result<Address> {
        let hash = self.hasher.hash_one(&built);
        let same = self.shared.entry(hash).or_default();
        if let Some((_, address)) = same.iter().find(|(other, _)| *other == built) {
            return Ok(*address);
        }
        let address = built.store(self.space)?;
        same.push((built, address));
        Ok(address)
    }

    /// The SOA as denial carries it (RFC 2308, section 3): the lesser of its TTL and MINIMUM.
    fn negative(&mut self, soa: &RrSet<'_>) -> Result<Address, CompileError> {
        let rdata = soa.rdata[0];
        let minimum = u32::from_be_bytes(rdata[rdata.len() - 4..].try_into().expect("four octets"));
        let ttl = soa.ttl.min(if minimum >> 31 == 1 { 0 } else { minimum });
        let around =
            Surroundings { apex: self.apex, node: self.apex, owner: self.apex, anchored: &[] };
        let owner = if self.apex == [0] { Place::ROOT } else { Place::APEX };
        let mut builder = Builder::new(around);
        builder.record(owner, rtype::SOA, ttl, rdata);
        if !soa.signatures.is_empty() {
            builder.signatures_follow();
            for signature in &soa.signatures {
                builder.record(owner, rtype::RRSIG, ttl, signature);
            }
        }
        let built =
            builder.finish().map_err(|_| CompileError::Zone("the SOA is too large".into()))?;
        Ok(built.store(self.space)?)
    }

    /// Writes the index; its address and how many buckets it has.
    fn index(&mut self) -> io::Result<(Address, u32)> {
        // Five names in eight slots: one bucket in twenty overflows.
        let wanted = (self.index.len() / 5 + 1).next_power_of_two();
        let mask = wanted - 1;
        let mut slots = vec![0_u64; wanted * BUCKET_SLOTS];
        for &(hash, address) in &self.index {
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
        let start = self.space.take_lines(wanted as u64)?;
        write_words(self.space, start, &slots);
        Ok((start, wanted as u32))
    }
}

/// Whether the node's data answer for names that do not exist (RFC 4592). An asterisk that is a cut or a
/// DNAME answers under its own name, also for the names below it.
fn stands_in(node: &TreeNode<'_>) -> bool {
    let redirects = node.rrsets.iter().any(|set| set.rtype == rtype::DNAME);
    node.name.starts_with(b"\x01*") && !node.cut && !redirects
}

/// Writes words to space that may go over the end of a segment.
pub fn write_words(space: &Space<'_>, start: Address, words: &[u64]) {
    let mut row = Vec::with_capacity(1 << 16);
    let mut at = start;
    for chunk in words.chunks(1 << 13) {
        row.clear();
        row.extend(chunk.iter().flat_map(|word| word.to_le_bytes()));
        space.write(at, &row);
        at += chunk.len() as Address;
    }
}

/// Addresses that go with a set of name servers: records first, signatures behind.
struct Extra<'a> {
    builder: Builder<'a>,
    signatures: Vec<(Place, u32, Vec<&'a [u8]>)>,
    any: bool,
}

impl<'a> Extra<'a> {
    fn new(around: Surroundings<'a>) -> Self {
        Self { builder: Builder::new(around), signatures: Vec::new(), any: false }
    }

    fn add(&mut self, owner: Place, addresses: &Addresses<'a>) {
        for (kind, hosts) in [(rtype::A, &addresses.four), (rtype::AAAA, &addresses.six)] {
            let Some(Hosts { ttl, rdata, signatures }) = hosts else { continue };
            for rdata in rdata {
                self.builder.record(owner, kind, *ttl, rdata);
            }
            self.signatures.push((owner, *ttl, signatures.clone()));
            self.any = true;
        }
    }

    fn finish(mut self) -> Result<Option<Built>, TooLarge> {
        if !self.any {
            return Ok(None);
        }
        self.builder.signatures_follow();
        for (owner, ttl, signatures) in self.signatures {
            for signature in signatures {
                self.builder.record(owner, rtype::RRSIG, ttl, signature);
            }
        }
        self.builder.finish().map(Some)
    }
}

/// A name in the data of a fragment, and where it stands there.
type Placed = (Vec<u8>, Place);

/// An RRset with its signatures, and where the names in its data stand.
fn rrset(
    around: Surroundings<'_>,
    owner: Place,
    set: &RrSet<'_>,
) -> Result<(Built, Vec<Placed>), TooLarge> {
    let mut builder = Builder::new(around);
    for rdata in &set.rdata {
        builder.record(owner, set.rtype, set.ttl, rdata);
    }
    builder.signatures_follow();
    for rdata in &set.signatures {
        builder.record(owner, rtype::RRSIG, set.ttl, rdata);
    }
    let places = if set.rtype == rtype::NS {
        let place = |target: &&[u8]| Some((target.to_vec(), builder.place_of(target)?));
        set.rdata.iter().filter_map(place).collect()
    } else {
        Vec::new()
    };
    Ok((builder.finish()?, places))
}

/// The signatures of an RRset alone: the answer to a question for RRSIG (RFC 8482, section 7).
fn signatures(around: Surroundings<'_>, owner: Place, set: &RrSet<'_>) -> Result<Built, TooLarge> {
    let mut builder = Builder::new(around);
    for rdata in &set.signatures {
        builder.record(owner, rtype::RRSIG, set.ttl, rdata);
    }
    builder.finish()
}

/// Whether `suffix` is `name` or above it; both in lower-case wire form.
fn is_suffix(name: &[u8], suffix: &[u8]) -> bool {
    let Some(start) = name.len().checked_sub(suffix.len()) else { return false };
    let mut at = 0;
    while at < start {
        at += usize::from(name[at]) + 1;
    }
    at == start && name[start..] == *suffix
}

/// The serial of an SOA (RFC 1035, section 3.3.13).
fn serial(soa: &RrSet<'_>) -> u32 {
    let rdata = soa.rdata[0];
    let names = name_length(rdata);
    let names = names + name_length(&rdata[names..]);
    u32::from_be_bytes(rdata[names..names + 4].try_into().expect("the reader gives whole SOAs"))
}

const _: () = assert!(NAME_MAX as usize <= 32 * 8);
