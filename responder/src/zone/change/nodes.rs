//! Whether a name exists, and what it is, from the zone's contents.

use std::{cell::RefCell, collections::HashMap};

use responder_common::wire::rtype;

use super::{Contents, Key};
use crate::zone::{
    chain::nsec3,
    collect::{Owner, RrSet, Sets, sort_key},
    compile::Hosts,
    name::of_key,
};

/// A zone's contents, seen as a tree.
pub struct Zone<'c, 'a, C> {
    contents: &'c C,
    apex: &'c [u8],
    /// What stands at names that were asked for, since the names below share them.
    bottoms: RefCell<HashMap<Key, Bottom>>,
    marker: std::marker::PhantomData<&'a ()>,
}

/// What a name does to those below it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bottom {
    /// Nothing.
    No,
    /// They belong to another zone.
    Cut,
    /// They are redirected.
    Dname,
}

/// A name that exists.
pub struct State<'a> {
    /// What it owns, NSEC3 aside.
    pub rrsets: Vec<RrSet<'a>>,
    /// Whether the zone is cut here.
    pub cut: bool,
}

impl<'c, 'a, C: Contents<'a>> Zone<'c, 'a, C> {
    /// The tree of the zone whose apex has this sort key.
    pub fn new(contents: &'c C, apex: &'c [u8]) -> Self {
        Self { contents, apex, bottoms: RefCell::default(), marker: std::marker::PhantomData }
    }

    /// The contents.
    pub fn contents(&self) -> &'c C {
        self.contents
    }

    /// The apex's sort key.
    pub fn apex(&self) -> &'c [u8] {
        self.apex
    }

    /// What a name owns.
    pub fn owner(&self, key: &[u8]) -> Option<Owner<'a>> {
        self.contents.owner(key)
    }

    /// Whether what the name owns belongs to a chain.
    pub fn denies(&self, key: &[u8]) -> bool {
        self.owner(key).is_some_and(|owner| {
            [rtype::NSEC, rtype::NSEC3, rtype::NSEC3PARAM]
                .into_iter()
                .any(|kind| owner.rrset(kind).is_some())
        })
    }

    /// The name's node, if it has one: it owns something or a name below it does, and it is neither below
    /// a cut nor below a DNAME.
    pub fn node(&self, key: &[u8]) -> Option<State<'a>> {
        if self.covered(key).is_some() {
            return None;
        }
        let mut rrsets = self.owner(key).map(|owner| owner.rrsets).unwrap_or_default();
        // The owners of NSEC3 are not names of the zone (RFC 5155, section 7.1).
        rrsets.retain(|set| set.rtype != rtype::NSEC3);
        if rrsets.is_empty() && !self.has_below(key) {
            return None;
        }
        let cut = key != self.apex && rrsets.iter().any(|set| set.rtype == rtype::NS);
        Some(State { rrsets, cut })
    }

    /// What a name does to those below it.
    pub fn bottom(&self, key: &[u8]) -> Bottom {
        if let Some(known) = self.bottoms.borrow().get(key) {
            return *known;
        }
        let owner = self.owner(key);
        let owns = |kind| owner.as_ref().is_some_and(|owner| owner.rrset(kind).is_some());
        let bottom = if key != self.apex && owns(rtype::NS) {
            Bottom::Cut
        } else if owns(rtype::DNAME) {
            Bottom::Dname
        } else {
            Bottom::No
        };
        self.bottoms.borrow_mut().insert(key.to_vec(), bottom);
        bottom
    }

    /// The cut or DNAME above a name, the topmost.
    fn covered(&self, key: &[u8]) -> Option<Bottom> {
        ancestors(key, self.apex)
            .map(|above| self.bottom(above))
            .find(|bottom| *bottom != Bottom::No)
    }

    fn has_below(&self, key: &[u8]) -> bool {
        let mut at = key.to_vec();
        while let Some(next) = self.contents.next(&at) {
            if !next.starts_with(key) {
                return false;
            }
            // Below the apex stand the owners of NSEC3, which are no names.
            let name = of_key(&next);
            let no_name = nsec3::hash_in(&name).is_some()
                && self
                    .owner(&next)
                    .is_some_and(|owner| owner.rrsets.iter().all(|set| set.rtype == rtype::NSEC3));
            if !no_name {
                return true;
            }
            at = next;
        }
        false
    }
}

impl<'a, C: Contents<'a>> Hosts<'a> for Zone<'_, 'a, C> {
    fn addresses(&self, host: &[u8], to: &mut Sets<'a>) -> Option<bool> {
        let mut key = Key::new();
        sort_key(host, &mut key);
        let owner = self.owner(&key)?;
        let glue = match self.covered(&key) {
            Some(bottom) => bottom == Bottom::Cut,
            None => self.bottom(&key) == Bottom::Cut,
        };
        to.clear();
        let is_address = |set: &RrSet<'_>| matches!(set.rtype, rtype::A | rtype::AAAA);
        owner.rrsets.into_iter().filter(is_address).for_each(|set| to.push(set));
        if glue {
            to.strip();
        }
        (!to.is_empty()).then_some(glue)
    }
}

/// The names above a name, from the apex down; all as sort keys.
pub fn ancestors<'k>(key: &'k [u8], apex: &[u8]) -> impl Iterator<Item = &'k [u8]> {
    let ends = (apex.len()..key.len())
        .filter(move |end| *end == 0 || key[*end - 1] == 0)
        .collect::<Vec<_>>();
    ends.into_iter().map(|end| &key[..end])
}
