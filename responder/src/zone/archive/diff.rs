//! What must change in an archive so that it says what a new file says.

use std::{cmp::Ordering, iter::Peekable};

use super::{Error, Lookup, Owner, OwnerRef, Owners};

/// One change.
pub enum OwnerChange<'n, 'v> {
    /// An owner that is new, or says something else than it did.
    Put(Owner<'n>),
    /// The key of an owner that is gone.
    Deleted(&'v [u8]),
}

/// Compares an archive with owners in canonical order; holds one owner of each at a time. The order of
/// records within an RRset makes no difference; the case of names and a TTL do.
///
/// # Errors
/// What the archive says. The changes may end with an error: [`Error::Order`], or what the archive says.
pub fn diff<'v, 'n, N: Iterator<Item = Owner<'n>>>(
    old: &'v impl Lookup,
    new: N,
) -> Result<Diff<'v, 'n, N>, Error> {
    Ok(Diff { old: old.all()?.peekable(), new: new.peekable(), last: Vec::new() })
}

/// The changes, in canonical order.
pub struct Diff<'v, 'n, N: Iterator<Item = Owner<'n>>> {
    old: Peekable<Owners<'v>>,
    new: Peekable<N>,
    last: Vec<u8>,
}

impl<'v, 'n, N: Iterator<Item = Owner<'n>>> Diff<'v, 'n, N> {
    fn next_new(&mut self) -> Result<Owner<'n>, Error> {
        let owner = self.new.next().expect("it was looked at");
        if owner.key <= &self.last[..] && !self.last.is_empty() {
            return Err(Error::Order);
        }
        self.last.clear();
        self.last.extend_from_slice(owner.key);
        Ok(owner)
    }

    fn next_old(&mut self) -> Result<OwnerRef<'v>, Error> {
        self.old.next().expect("it was looked at")
    }

    fn step(&mut self) -> Result<Option<OwnerChange<'n, 'v>>, Error> {
        loop {
            let order = match (self.old.peek(), self.new.peek()) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(Err(_)), _) => Ordering::Less,
                (Some(Ok(old)), Some(new)) => old.key.cmp(new.key),
            };
            match order {
                Ordering::Less => return Ok(Some(OwnerChange::Deleted(self.next_old()?.key))),
                Ordering::Greater => return Ok(Some(OwnerChange::Put(self.next_new()?))),
                Ordering::Equal => {
                    let (old, new) = (self.next_old()?, self.next_new()?);
                    if !old.says(&new) {
                        return Ok(Some(OwnerChange::Put(new)));
                    }
                }
            }
        }
    }
}

impl<'v, 'n, N: Iterator<Item = Owner<'n>>> Iterator for Diff<'v, 'n, N> {
    type Item = Result<OwnerChange<'n, 'v>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
