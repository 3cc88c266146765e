//! What says that a name right below the apex does not exist: nearly all of it is the same for every name.
//!
//! The SOA, the apex's own NSEC3, which proves that it is the closest encloser, and the record that denies
//! the wildcard (RFC 4035, section 3.1.3.2; RFC 5155, section 7.2.2) stand in one fragment. A query for
//! such a name, of which floods are made, adds the record that covers it and no more.

use std::io;

use responder_common::layout::{Address, Snapshot};

use crate::{
    store::Space,
    zone::{chain::Proofs, fragment::Built},
};

/// The cells of the records in the fragment: of the closest encloser first, and of what denies the
/// wildcard. None where a wildcard at the apex matches every such name.
///
/// The snapshot must know its `apex_proof`, and learns its `no_wildcard`.
pub fn cells(apex: &[u8], proofs: &mut impl Proofs, snapshot: &mut Snapshot) -> Vec<Address> {
    let key = proofs.key(&[b"\x01*", apex].concat());
    if proofs.exact(&key).is_some() {
        return Vec::new();
    }
    snapshot.no_wildcard = proofs.cover(&key);
    let mut cells = Vec::new();
    if proofs.is_hashed() {
        cells.push(snapshot.apex_proof);
    }
    if !cells.contains(&snapshot.no_wildcard) {
        cells.push(snapshot.no_wildcard);
    }
    cells
}

/// Writes the fragment: `negative`, and behind it what the cells lead to. Zero where there is nothing to
/// add, or too much for one fragment: then the engine puts it together, as for names further down.
///
/// # Errors
/// When the store is full.
pub fn write(
    negative: &Built,
    proofs: impl IntoIterator<Item = Option<Address>>,
    space: &mut Space<'_>,
) -> io::Result<Address> {
    let mut joined = None;
    for proof in proofs {
        let proof = proof.and_then(|at| Built::read(space.store(), at));
        let before = joined.as_ref().unwrap_or(negative);
        let Some(longer) = proof.and_then(|proof| before.followed_by(&proof)) else {
            return Ok(0);
        };
        joined = Some(longer);
    }
    joined.map_or(Ok(0), |joined| joined.store(space))
}
