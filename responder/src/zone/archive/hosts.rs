//! Which delegations name a host: when the host's addresses change, so does their glue.
//!
//! A host below the delegation that names it (or below any owner of an NS RRset that names it) needs no
//! entry: it is found by looking at the host's ancestors, a handful of names. That is most of a
//! registry's glue, and so the database stays small.

use responder_common::wire::rtype;

use super::{
    owner::{Malformed, OwnerRef, name_length},
    sort_key,
};

/// The sort keys of name servers that need an entry, sorted, each once.
pub(super) type Targets = Vec<Vec<u8>>;

/// The name servers of an owner that need an entry.
///
/// # Errors
/// When the data of an NS record is no name.
pub(super) fn targets<'a>(
    apex: &[u8],
    key: &[u8],
    servers: impl Iterator<Item = &'a [u8]>,
) -> Result<Targets, Malformed> {
    let mut targets = Vec::new();
    let mut target = Vec::new();
    for server in servers {
        if name_length(server) != Some(server.len()) {
            return Err(Malformed::Name);
        }
        target.clear();
        sort_key(server, &mut target);
        if target.starts_with(apex) && !target.starts_with(key) {
            targets.push(target.clone());
        }
    }
    targets.sort_unstable();
    targets.dedup();
    Ok(targets)
}

/// Whether an owner's NS RRset names a host.
pub(super) fn names(owner: OwnerRef<'_>, host: &[u8]) -> bool {
    let mut target = Vec::new();
    owner.rrset(rtype::NS).is_some_and(|set| {
        set.rdata.into_iter().any(|server| {
            target.clear();
            if name_length(server) == Some(server.len()) {
                sort_key(server, &mut target);
            }
            !server.is_empty() && target == host
        })
    })
}

/// Where the keys of a host's ancestors in the zone end within its own key, the apex first, itself last.
pub(super) fn ancestors(apex: &[u8], host: &[u8]) -> Vec<usize> {
    if !host.starts_with(apex) {
        return Vec::new();
    }
    // A label's end is a zero, and no other octet of a key is.
    (apex.len()..=host.len()).filter(|&at| at == 0 || host[at - 1] == 0).collect()
}
