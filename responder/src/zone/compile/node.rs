//! One name becomes a node: its RRsets as fragments beside it, its references, its proofs.

use std::{borrow::Cow, io};

use responder_common::{
    layout::{Address, UNIT, node, node::role, patch},
    wire::{NAME_MAX, rtype},
};

use super::servers::{Extra, Owner, Placed, rrset, signatures};
use crate::{
    store::Space,
    zone::{
        chain::Proofs,
        collect::RrSet,
        fragment::{Built, Place, Surroundings, TooLarge},
        name::to_text,
        tree::Addresses,
    },
};

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

/// A name that exists (RFC 4592, section 2.2.2).
pub struct Source<'n, 'a> {
    /// Lower-case wire form.
    pub name: &'n [u8],
    /// What it owns; nothing at an empty non-terminal.
    pub rrsets: &'n [RrSet<'a>],
    /// NS below the apex: the zone is cut here.
    pub cut: bool,
    /// The node of the wildcard child, if there is one.
    pub wildcard: Address,
}

/// Where the addresses of name servers are found.
pub trait Hosts<'a> {
    /// The addresses of a host, by its lower-case wire name.
    fn addresses(&self, host: &[u8]) -> Option<Cow<'_, Addresses<'a>>>;
}

/// What all nodes of a version have in common.
pub struct Nodes<'c, 's, H, P> {
    /// The apex in lower-case wire form.
    pub apex: &'c [u8],
    /// Where they go.
    pub space: &'c mut Space<'s>,
    /// Addresses of name servers.
    pub hosts: &'c H,
    /// The chain, in a signed zone.
    pub proofs: Option<&'c mut P>,
    /// The version in which they are born.
    pub born: u32,
    /// The hashes that were looked up in the chain of NSEC3 for the last node: what it depends on.
    pub lookups: Vec<Vec<u8>>,
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

impl Source<'_, '_> {
    fn owns(&self, kind: u16) -> bool {
        self.rrsets.iter().any(|set| set.rtype == kind)
    }

    /// Whether the node's data answer for names that do not exist (RFC 4592). An asterisk that is a
    /// cut or a DNAME answers under its own name, also for the names below it.
    fn stands_in(&self) -> bool {
        self.name.starts_with(b"\x01*") && !self.cut && !self.owns(rtype::DNAME)
    }

    fn too_large(&self, kind: u16) -> CompileError {
        CompileError::Zone(format!(
            "the RRset {} type {kind} is larger than a message can be",
            to_text(self.name)
        ))
    }
}

impl<'a, H: Hosts<'a>, P: Proofs> Nodes<'_, '_, H, P> {
    /// Writes a node and what belongs to it alone; `older` is the node that it replaces.
    ///
    /// # Errors
    /// When the name owns what cannot be answered, or the store is full.
    pub fn write(
        &mut self,
        source: &Source<'_, 'a>,
        older: Address,
    ) -> Result<Address, CompileError> {
        let mut references = self.references(source)?;
        self.denials(source, &mut references);
        let relative = &source.name[..source.name.len() - self.apex.len()];
        if references.len() > 255 {
            let name = to_text(source.name);
            return Err(CompileError::Zone(format!("{name} owns more than 250 types")));
        }
        let fixed = (16 + relative.len().div_ceil(8) * 8 + references.len() * 8) as u64;
        let beside: u64 = references
            .iter()
            .map(|reference| match &reference.target {
                Target::Beside(built) => built.stored_length().next_multiple_of(UNIT),
                Target::Shared(_) | Target::As(_) => 0,
            })
            .sum();
        let start = self.space.take(fixed + beside, fixed)?;
        let mut image = Vec::with_capacity((fixed + beside) as usize);
        image.extend_from_slice(&node::first(self.born, older).to_le_bytes());
        let (names, count) = (relative.len() as u8, references.len() as u8);
        let second = node::second(
            kind(source, &references, self.vouches(source)),
            names,
            count,
            source.wildcard,
        );
        image.extend_from_slice(&second.to_le_bytes());
        image.extend_from_slice(relative);
        image.resize(16 + relative.len().div_ceil(8) * 8, 0);
        let mut behind = Vec::with_capacity(beside as usize);
        let mut rrsets: Vec<(u16, Address)> = Vec::with_capacity(references.len());
        for reference in &references {
            let mut kept = reference.role;
            let fragment = match &reference.target {
                Target::Shared(address) => *address,
                Target::As(kind) => {
                    let same = rrsets.iter().find(|(other, _)| other == kind);
                    same.expect("references are sorted by role").1
                }
                Target::Beside(built) => {
                    let at = start + ((fixed + behind.len() as u64) / UNIT) as Address;
                    behind.extend_from_slice(&built.image());
                    behind.resize(behind.len().next_multiple_of(UNIT as usize), 0);
                    kept |= role::BESIDE;
                    at
                }
            };
            if reference.role == role::RRSET {
                rrsets.push((reference.rtype, fragment));
            }
            let word = node::reference(kept, reference.rtype, fragment);
            image.extend_from_slice(&word.to_le_bytes());
        }
        image.extend_from_slice(&behind);
        self.space.write(start, &image);
        Ok(start)
    }

    fn references(&mut self, source: &Source<'_, 'a>) -> Result<Vec<Reference>, CompileError> {
        let mut references = Vec::new();
        // A wildcard is selected by names below its parent: that is what pointers may count on.
        let wildcard = source.stands_in();
        let selected = if wildcard { &source.name[2..] } else { source.name };
        let around =
            Surroundings { apex: self.apex, node: selected, owner: source.name, anchored: &[] };
        let owner = match source.name {
            [0] => Place::ROOT,
            _ if source.cut => Place::NODE,
            _ => Place::OWNER,
        };
        let mut any = None;
        for set in source.rrsets {
            if source.cut && ![rtype::NS, rtype::DS].contains(&set.rtype) {
                continue;
            }
            // A DNAME answers for names below its owner too.
            let redirects = set.rtype == rtype::DNAME && owner == Place::OWNER;
            let owner = if redirects { Place::NODE } else { owner };
            let too_large = |_| source.too_large(set.rtype);
            let (built, places) = rrset(around, owner, set).map_err(too_large)?;
            if wildcard && built.length() > usize::from(patch::OFFSET_MAX) {
                return Err(CompileError::Zone(format!(
                    "the wildcard RRset {} type {} is larger than {} octets",
                    to_text(source.name),
                    set.rtype,
                    patch::OFFSET_MAX
                )));
            }
            if set.rtype == rtype::NS {
                references.extend(self.servers(source, set, around, &places).map_err(too_large)?);
            }
            if any.is_none() && ![rtype::NSEC, rtype::NSEC3].contains(&set.rtype) {
                any = Some(set.rtype);
                if !source.cut && !set.signatures.is_empty() {
                    let target = Target::Beside(signatures(around, owner, set).map_err(too_large)?);
                    references.push(Reference { role: role::SIGNATURES, rtype: 0, target });
                }
            }
            let target = if source.cut && set.rtype == rtype::NS {
                Target::Shared(self.space.share(&built.image())?)
            } else {
                Target::Beside(built)
            };
            references.push(Reference { role: role::RRSET, rtype: set.rtype, target });
        }
        if let Some(kind) = any
            && !source.cut
        {
            references.push(Reference { role: role::ANY, rtype: 0, target: Target::As(kind) });
        }
        // A DS that no referral shows stands where none looks for it.
        let silent = source.cut && !self.vouches(source);
        references.sort_by_key(|reference| {
            (silent && reference.rtype == rtype::DS, reference.role, reference.rtype)
        });
        Ok(references)
    }

    /// Whether a referral shows the cut's DS set: in a signed zone (RFC 4035, section 3.1.4). In any other
    /// it proves nothing, and is only there for whoever asks for it.
    fn vouches(&self, source: &Source<'_, 'a>) -> bool {
        let mut sets = source.rrsets.iter().filter(|set| set.rtype == rtype::DS);
        self.proofs.is_some() || sets.any(|set| !set.signatures.is_empty())
    }

    /// The addresses of a name server set: what a referral cannot do without, and what only helps.
    fn servers(
        &self,
        source: &Source<'_, 'a>,
        set: &RrSet<'a>,
        around: Surroundings<'_>,
        places: &[Placed],
    ) -> Result<Vec<Reference>, TooLarge> {
        let around = Surroundings { anchored: places, ..around };
        let mut glue = Extra::new(around);
        let mut more = Extra::new(around);
        for target in &set.rdata {
            let lower = target.to_ascii_lowercase();
            if !is_suffix(&lower, self.apex) {
                continue;
            }
            let Some(addresses) = self.hosts.addresses(&lower) else { continue };
            // Far inside a large set there is no place to point at: those names are written again.
            let place = places.iter().find(|(name, _)| *name == **target);
            let owner = Owner { name: target, place: place.map(|(_, place)| *place) };
            if source.cut && addresses.glue && is_suffix(&lower, source.name) {
                glue.add(owner, &addresses);
            } else {
                more.add(owner, &addresses);
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

    /// Adds the references by which a node denies what it, or a name below it, does not own.
    fn denials(&mut self, source: &Source<'_, 'a>, references: &mut Vec<Reference>) {
        self.lookups.clear();
        let Some(proofs) = self.proofs.as_deref_mut() else { return };
        let mut add = |role, cell| {
            references.push(Reference { role, rtype: 0, target: Target::Shared(cell) });
        };
        // The name from which the proof starts: itself, or its closest provable encloser.
        let mut provable = source.name;
        let key = proofs.key(source.name);
        let own = proofs.exact(&key);
        self.lookups.push(key);
        if let Some(own) = own {
            add(role::PROOF, own);
        } else {
            let mut next_closer = source.name;
            if proofs.is_hashed() && source.name != self.apex {
                loop {
                    next_closer = provable;
                    provable = &provable[1 + usize::from(provable[0])..];
                    // The apex has its own place in the snapshot.
                    if provable.len() <= self.apex.len() {
                        break;
                    }
                    let key = proofs.key(provable);
                    let encloser = proofs.exact(&key);
                    self.lookups.push(key);
                    if let Some(encloser) = encloser {
                        add(role::ENCLOSER, encloser);
                        break;
                    }
                }
            }
            let key = proofs.key(next_closer);
            add(role::COVER, proofs.cover(&key));
        }
        let bottom = source.cut || source.owns(rtype::DNAME);
        let asterisk = [b"\x01*", provable].concat();
        if !bottom && source.wildcard == 0 && asterisk.len() <= usize::from(NAME_MAX) {
            let key = proofs.key(&asterisk);
            add(role::NO_WILDCARD, proofs.cover(&key));
            self.lookups.push(key);
        }
        if !proofs.is_hashed() {
            self.lookups.clear();
        }
    }
}

/// What a node is: bits of [`node`]; `vouches` is whether referrals show DS.
fn kind(source: &Source<'_, '_>, references: &[Reference], vouches: bool) -> u8 {
    let mut kind = 0;
    if source.cut {
        kind |= node::DELEGATION;
    }
    if source.owns(rtype::DNAME) {
        kind |= node::DNAME;
    }
    if source.owns(rtype::CNAME) {
        kind |= node::CNAME;
    }
    if source.stands_in() {
        kind |= node::WILDCARD;
    }
    for reference in references.iter().filter(|_| source.cut) {
        kind |= match (reference.role, reference.rtype) {
            (role::RRSET, rtype::DS) if vouches => node::HAS_DS,
            (role::GLUE, _) => node::HAS_GLUE,
            (role::ADDITIONAL, _) => node::HAS_MORE,
            _ => 0,
        };
    }
    kind
}

/// Whether `suffix` is `name` or above it; both in lower-case wire form.
pub fn is_suffix(name: &[u8], suffix: &[u8]) -> bool {
    let Some(start) = name.len().checked_sub(suffix.len()) else { return false };
    let mut at = 0;
    while at < start {
        at += usize::from(name[at]) + 1;
    }
    at == start && name[start..] == *suffix
}
