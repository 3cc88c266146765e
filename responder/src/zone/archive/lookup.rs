//! Reading: one name, what stands around it, all in order.

use std::{ops::Bound, sync::Arc};

use heed::{RoRange, RoTxn, WithoutTls, types::Bytes};
use responder_common::wire::rtype;

use super::{
    StoredKey,
    error::{At as _, Error},
    generation::{Generation, word},
    hosts,
    owner::OwnerRef,
};
use crate::zone::serial::serial_of;

/// What can be asked of an archive, through a [`View`] or within an [`Edit`](super::Edit), which sees its own
/// changes. Keys are sort keys ([`sort_key`](super::sort_key)).
///
/// Every function fails with [`Error::Broken`] when what it reads is not what was written, and with what
/// LMDB says.
pub trait Lookup: Inside {
    /// The owner of that key.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn owner(&self, key: &[u8]) -> Result<Option<OwnerRef<'_>>, Error> {
        let (txn, generation) = self.inside();
        let key = StoredKey::new(key);
        let found = generation.owners.get_greater_than_or_equal_to(txn, &key);
        let found = found.at(&generation.folder)?.filter(|(found, _)| **found == *key);
        found.map(|entry| generation.decode(entry)).transpose()
    }

    /// The first owner after a key, whether or not the key's is there.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn after(&self, key: &[u8]) -> Result<Option<OwnerRef<'_>>, Error> {
        let (txn, generation) = self.inside();
        let found = generation.owners.get_greater_than(txn, &StoredKey::new(key));
        found.at(&generation.folder)?.map(|entry| generation.decode(entry)).transpose()
    }

    /// The last owner before a key, whether or not the key's is there.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn before(&self, key: &[u8]) -> Result<Option<OwnerRef<'_>>, Error> {
        let (txn, generation) = self.inside();
        let found = generation.owners.get_lower_than(txn, &StoredKey::new(key));
        found.at(&generation.folder)?.map(|entry| generation.decode(entry)).transpose()
    }

    /// The owners below a key, without its own, in canonical order.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn below(&self, key: &[u8]) -> Result<Owners<'_>, Error> {
        let (txn, generation) = self.inside();
        let key = StoredKey::new(key);
        let range = (Bound::Excluded(&*key), Bound::Unbounded);
        let range = generation.owners.range::<(Bound<&[u8]>, Bound<&[u8]>)>(txn, &range);
        Ok(Owners { generation, range: range.at(&generation.folder)?, prefix: key.to_vec() })
    }

    /// All owners in canonical order.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn all(&self) -> Result<Owners<'_>, Error> {
        let (txn, generation) = self.inside();
        let range = (Bound::Unbounded, Bound::Unbounded);
        let range = generation.owners.range::<(Bound<&[u8]>, Bound<&[u8]>)>(txn, &range);
        Ok(Owners { generation, range: range.at(&generation.folder)?, prefix: Vec::new() })
    }

    /// The keys of the owners whose NS RRset names a host, in no particular order. The host is inside the
    /// zone; of others nothing is kept.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn delegations_to(&self, host: &[u8]) -> Result<HostKeys<'_>, Error> {
        let (txn, generation) = self.inside();
        let mut above = Vec::new();
        for end in hosts::ancestors(&generation.apex, host) {
            if let Some(owner) = self.owner(&host[..end])?
                && hosts::names(owner, host)
            {
                above.push(owner.key);
            }
        }
        let key = StoredKey::new(host);
        let range = (Bound::Included(&*key), Bound::Included(&*key));
        let range = generation.hosts.range::<(Bound<&[u8]>, Bound<&[u8]>)>(txn, &range);
        let range = range.at(&generation.folder)?;
        Ok(HostKeys { generation, above: above.into_iter(), range })
    }

    /// What was filed under the hashes after `from` and before `to`, neither included, round the end of the
    /// ring where `to` is not after `from`: what an NSEC3 record covers (RFC 5155, section 1.3). From a
    /// hash to itself is all but that hash.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn between(&self, from: &[u8; 20], to: &[u8; 20]) -> Result<HashedRange<'_>, Error> {
        let (txn, generation) = self.inside();
        let range = |from: Bound<&[u8]>, to: Bound<&[u8]>| {
            generation.hashes.range(txn, &(from, to)).at(&generation.folder)
        };
        let wraps = to <= from;
        let (from, to) = (Bound::Excluded(&from[..]), Bound::Excluded(&to[..]));
        let (first, second) = if wraps {
            (range(from, Bound::Unbounded)?, Some(range(Bound::Unbounded, to)?))
        } else {
            (range(from, to)?, None)
        };
        Ok(HashedRange { generation, first, second })
    }

    /// What was filed under a hash.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn hashed(&self, hash: &[u8; 20]) -> Result<HashedRange<'_>, Error> {
        let (txn, generation) = self.inside();
        let range = (Bound::Included(&hash[..]), Bound::Included(&hash[..]));
        let first = generation.hashes.range::<(Bound<&[u8]>, Bound<&[u8]>)>(txn, &range);
        Ok(HashedRange { generation, first: first.at(&generation.folder)?, second: None })
    }

    /// The serial in the apex's SOA; none while there is no SOA.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn serial(&self) -> Result<Option<u32>, Error> {
        Ok(self.soa()?.and_then(serial_of))
    }

    /// The data of the apex's SOA; none while there is no SOA.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn soa(&self) -> Result<Option<&[u8]>, Error> {
        let (_, generation) = self.inside();
        let soa = self.owner(&generation.apex)?.and_then(|owner| owner.rrset(rtype::SOA));
        Ok(soa.and_then(|mut soa| soa.rdata.next()))
    }

    /// The number of owners.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn names(&self) -> Result<u64, Error> {
        let (txn, generation) = self.inside();
        generation.owners.len(txn).at(&generation.folder)
    }

    /// The number of records, signatures included.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn records(&self) -> Result<u64, Error> {
        let (txn, generation) = self.inside();
        generation.records(txn)
    }

    /// What the caller noted under a name.
    ///
    /// # Errors
    /// See [`Lookup`].
    fn stamp(&self, name: &str) -> Result<Option<&[u8]>, Error> {
        let (txn, generation) = self.inside();
        generation.meta.get(txn, &stamp_key(name)).at(&generation.folder)
    }
}

/// The key of a stamp in the `meta` database.
pub(super) fn stamp_key(name: &str) -> Vec<u8> {
    [word::STAMP, name.as_bytes()].concat()
}

/// The last commit at the time when it was opened.
pub struct View {
    // Before the generation, which it reads: fields are dropped in this order.
    txn: RoTxn<'static, WithoutTls>,
    generation: Arc<Generation>,
}

impl View {
    pub(super) fn open(generation: Arc<Generation>) -> Result<Self, Error> {
        let txn = generation.env.clone().static_read_txn().at(&generation.folder)?;
        Ok(Self { txn, generation })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.generation.rest();
    }
}

impl Inside for View {
    fn inside(&self) -> (&RoTxn<'_, WithoutTls>, &Generation) {
        (&self.txn, &self.generation)
    }
}

impl Lookup for View {}

/// What every reader has.
pub(super) use sealed::Inside;

mod sealed {
    use super::{Generation, RoTxn, WithoutTls};

    /// What every reader has. Nobody outside can be one.
    pub trait Inside {
        /// The transaction, and what it is in.
        fn inside(&self) -> (&RoTxn<'_, WithoutTls>, &Generation);
    }
}

impl Generation {
    /// An entry of `owners` as what it says.
    fn decode<'a>(&self, (key, octets): (&'a [u8], &'a [u8])) -> Result<OwnerRef<'a>, Error> {
        self.touch();
        let key = key.get(1..).ok_or_else(|| self.broken("an owner has no key"))?;
        OwnerRef::decode(key, octets).map_err(|_| self.broken("an owner is not what was written"))
    }

    /// The number of records that was noted with the last commit.
    pub fn records(&self, txn: &RoTxn<'_, WithoutTls>) -> Result<u64, Error> {
        let octets = self.meta.get(txn, word::RECORDS).at(&self.folder)?;
        let octets = octets.and_then(|octets| octets.try_into().ok());
        octets.map(u64::from_be_bytes).ok_or_else(|| self.broken("the record count is missing"))
    }

    fn broken(&self, what: &'static str) -> Error {
        Error::Broken { folder: self.folder.clone(), what }
    }
}

type Range<'a> = RoRange<'a, Bytes, Bytes>;

/// Owners in canonical order.
pub struct Owners<'a> {
    generation: &'a Generation,
    range: Range<'a>,
    prefix: Vec<u8>,
}

impl<'a> Iterator for Owners<'a> {
    type Item = Result<OwnerRef<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.range.next()?.at(&self.generation.folder) {
            Ok((key, _)) if !key.starts_with(&self.prefix) => None,
            Ok(entry) => Some(self.generation.decode(entry)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Keys of owners.
pub struct HostKeys<'a> {
    generation: &'a Generation,
    above: std::vec::IntoIter<&'a [u8]>,
    range: Range<'a>,
}

impl<'a> Iterator for HostKeys<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(key) = self.above.next() {
            return Some(Ok(key));
        }
        let entry = self.range.next()?.at(&self.generation.folder);
        Some(entry.and_then(|(_, key)| {
            key.get(1..).ok_or_else(|| self.generation.broken("a host has no key"))
        }))
    }
}

/// What was filed under an NSEC3 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed<'a> {
    /// The hash.
    pub hash: [u8; 20],
    /// The caller's mark.
    pub tag: u8,
    /// An owner's sort key.
    pub key: &'a [u8],
}

/// What was filed, in order of hash, tag and key.
pub struct HashedRange<'a> {
    generation: &'a Generation,
    first: Range<'a>,
    second: Option<Range<'a>>,
}

impl<'a> Iterator for HashedRange<'a> {
    type Item = Result<Hashed<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.first.next().or_else(|| self.second.as_mut()?.next())?;
        Some(entry.at(&self.generation.folder).and_then(|(hash, filed)| {
            let hash = hash.try_into().ok().zip(filed.split_first());
            let (hash, (&tag, key)) =
                hash.ok_or_else(|| self.generation.broken("a hash is not what was written"))?;
            Ok(Hashed { hash, tag, key })
        }))
    }
}
