//! One name becomes a node: its RRsets as fragments beside it, its references, its proofs.

use responder_common::{
    layout::{Address, UNIT, node, node::role, patch},
    name,
    wire::{NAME_MAX, rtype},
};

use super::{
    index::Rooms,
    servers::{Extra, Owner, Placed, rrset, signatures},
    source::{CompileError, Hosts, Source},
};
use crate::{
    store::Space,
    zone::{
        chain::Proofs,
        collect::{RrSet, Sets},
        fragment::{Built, Place, Spare, Surroundings, TooLarge},
        name::{is_at_or_below, to_text},
    },
};

/// What all nodes of a version have in common.
pub struct Nodes<'c, 's, 'a, H, P> {
    /// The apex in lower-case wire form.
    apex: &'c [u8],
    /// Where they go.
    space: &'c mut Space<'s>,
    /// Addresses of name servers.
    pub hosts: H,
    /// The chain, in a signed zone.
    proofs: Option<&'c mut P>,
    /// The version in which they are born.
    born: u32,
    /// The hashes that were looked up in the chain of NSEC3 for the last node: what it depends on.
    pub lookups: Vec<Vec<u8>>,
    /// Where there may be room for a node beside the bucket of its name.
    pub rooms: Option<&'c Rooms>,
    /// Octets of the last node, with what stands behind it.
    pub octets: u64,
    /// Memory that one node after the other uses.
    spare: Spare,
    references: Vec<Reference>,
    image: Vec<u8>,
    addresses: Sets<'a>,
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

impl<'c, 's, 'a, H: Hosts<'a>, P: Proofs> Nodes<'c, 's, 'a, H, P> {
    /// Nodes of the zone at `apex` (lower-case wire form), born in a version.
    pub fn new(
        apex: &'c [u8],
        space: &'c mut Space<'s>,
        hosts: H,
        proofs: Option<&'c mut P>,
        born: u32,
    ) -> Self {
        Self {
            apex,
            space,
            hosts,
            proofs,
            born,
            lookups: Vec::new(),
            rooms: None,
            octets: 0,
            spare: Spare::default(),
            references: Vec::new(),
            image: Vec::new(),
            addresses: Sets::default(),
        }
    }

    /// Writes a node and what belongs to it alone; `older` is the node that it replaces.
    ///
    /// # Errors
    /// When the name owns what cannot be answered, or the store is full.
    pub fn write(
        &mut self,
        source: &Source<'_, 'a>,
        older: Address,
    ) -> Result<Address, CompileError> {
        let mut references = std::mem::take(&mut self.references);
        self.refer(source, &mut references)?;
        self.denials(source, &mut references);
        let written = self.write_with(source, older, &references);
        for reference in references.drain(..) {
            if let Target::Beside(built) = reference.target {
                self.spare.take_back(built);
            }
        }
        self.references = references;
        written
    }

    fn write_with(
        &mut self,
        source: &Source<'_, 'a>,
        older: Address,
        references: &[Reference],
    ) -> Result<Address, CompileError> {
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
        self.octets = fixed + beside;
        let key = self.space.store().hash_key();
        let room =
            self.rooms.and_then(|rooms| rooms.take(name::hash(key, source.name), self.octets));
        let start = match room {
            Some(start) => start,
            None => self.space.take(self.octets, fixed)?,
        };
        let image = &mut self.image;
        image.clear();
        image.extend_from_slice(&node::first(self.born, older).to_le_bytes());
        let (names, count) = (relative.len() as u8, references.len() as u8);
        let vouches = source.vouches(self.proofs.is_some());
        let second = node::second(kind(source, references, vouches), names, count, source.wildcard);
        image.extend_from_slice(&second.to_le_bytes());
        image.extend_from_slice(relative);
        image.resize(16 + relative.len().div_ceil(8) * 8, 0);
        let mut behind = fixed;
        // The fragment that another reference leads to as well.
        let twice = references.iter().find_map(|reference| match reference.target {
            Target::As(kind) => Some((role::RRSET, kind)),
            _ => None,
        });
        let mut first = None;
        for reference in references {
            let mut kept = reference.role;
            let fragment = match &reference.target {
                Target::Shared(address) => *address,
                Target::As(_) => first.expect("references are sorted by role"),
                Target::Beside(built) => {
                    let at = start + (behind / UNIT) as Address;
                    behind += built.stored_length().next_multiple_of(UNIT);
                    kept |= role::BESIDE;
                    at
                }
            };
            if twice == Some((reference.role, reference.rtype)) {
                first = Some(fragment);
            }
            let word = node::reference(kept, reference.rtype, fragment);
            image.extend_from_slice(&word.to_le_bytes());
        }
        for reference in references {
            if let Target::Beside(built) = &reference.target {
                built.append_image(image);
                image.resize(image.len().next_multiple_of(UNIT as usize), 0);
            }
        }
        self.space.write(start, image);
        Ok(start)
    }

    /// Makes the references of a node and their fragments, proofs aside.
    fn refer(
        &mut self,
        source: &Source<'_, 'a>,
        references: &mut Vec<Reference>,
    ) -> Result<(), CompileError> {
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
            let (built, places) = rrset(around, owner, set, &mut self.spare).map_err(too_large)?;
            if wildcard && built.length() > usize::from(patch::OFFSET_MAX) {
                return Err(CompileError::Zone(format!(
                    "the wildcard RRset {} type {} is larger than {} octets",
                    to_text(source.name),
                    set.rtype,
                    patch::OFFSET_MAX
                )));
            }
            if set.rtype == rtype::NS {
                self.servers(source, set, around, &places, references).map_err(too_large)?;
            }
            if any.is_none() && ![rtype::NSEC, rtype::NSEC3].contains(&set.rtype) {
                any = Some(set.rtype);
                if !source.cut && !set.signatures.is_empty() {
                    let target = Target::Beside(signatures(around, owner, set).map_err(too_large)?);
                    references.push(Reference { role: role::SIGNATURES, rtype: 0, target });
                }
            }
            let target = if source.cut && set.rtype == rtype::NS {
                self.image.clear();
                built.append_image(&mut self.image);
                self.spare.take_back(built);
                Target::Shared(self.space.share(&self.image)?)
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
        let silent = source.cut && !source.vouches(self.proofs.is_some());
        references.sort_by_key(|reference| {
            (silent && reference.rtype == rtype::DS, reference.role, reference.rtype)
        });
        Ok(())
    }

    /// The addresses of a name server set: what a referral cannot do without, and what only helps.
    fn servers(
        &mut self,
        source: &Source<'_, 'a>,
        set: &RrSet<'a>,
        around: Surroundings<'_>,
        places: &[Placed<'a>],
        references: &mut Vec<Reference>,
    ) -> Result<(), TooLarge> {
        let around = Surroundings { anchored: places, ..around };
        let (mut glue, mut more) = (Extra::new(around), Extra::new(around));
        let mut lower = [0; NAME_MAX as usize];
        for target in &set.rdata {
            if !is_at_or_below(target, self.apex) {
                continue;
            }
            let lower = &mut lower[..target.len()];
            lower.copy_from_slice(target);
            lower.make_ascii_lowercase();
            let Some(is_glue) = self.hosts.addresses(lower, &mut self.addresses) else { continue };
            // Far inside a large set there is no place to point at: those names are written again.
            let place = places.iter().find(|(name, _)| *name == *target);
            let owner = Owner { name: target, place: place.map(|(_, place)| *place) };
            let needed = source.cut && is_glue && is_at_or_below(lower, source.name);
            let extra = if needed { &mut glue } else { &mut more };
            extra.add(owner, &self.addresses, &mut self.spare);
        }
        for (role, extra) in [(role::GLUE, glue), (role::ADDITIONAL, more)] {
            if let Some(built) = extra.finish(&mut self.spare)? {
                let target = Target::Beside(built);
                references.push(Reference { role, rtype: rtype::NS, target });
            }
        }
        Ok(())
    }

    /// Adds the references by which a node denies what it, or a name below it, does not own.
    fn denials(&mut self, source: &Source<'_, 'a>, references: &mut Vec<Reference>) {
        self.lookups.clear();
        let Some(proofs) = self.proofs.as_deref_mut() else { return };
        let lookups = &mut self.lookups;
        let mut add = |role, cell| {
            references.push(Reference { role, rtype: 0, target: Target::Shared(cell) });
        };
        // The name from which the proof starts: itself, or its closest provable encloser.
        let mut provable = source.name;
        lookups.push(proofs.key(source.name));
        if let Some(own) = proofs.exact(&lookups[0]) {
            add(role::PROOF, own);
        } else {
            // The look-up of the next closer name: the last one in vain.
            let mut next_closer = 0;
            while proofs.is_hashed() && provable.len() > self.apex.len() {
                provable = &provable[1 + usize::from(provable[0])..];
                // The apex has its own place in the snapshot.
                if provable.len() <= self.apex.len() {
                    break;
                }
                lookups.push(proofs.key(provable));
                if let Some(encloser) = proofs.exact(&lookups[lookups.len() - 1]) {
                    add(role::ENCLOSER, encloser);
                    break;
                }
                next_closer = lookups.len() - 1;
            }
            add(role::COVER, proofs.cover(&lookups[next_closer]));
        }
        let bottom = source.cut || source.owns(rtype::DNAME);
        if !bottom && source.wildcard == 0 && provable.len() + 2 <= usize::from(NAME_MAX) {
            let key = proofs.key(&[b"\x01*", provable].concat());
            add(role::NO_WILDCARD, proofs.cover(&key));
            lookups.push(key);
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
