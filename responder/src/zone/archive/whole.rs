//! Whether a data file that is shorter than it says lacks pages that are in use.
//!
//! LMDB's file may end before the last page that it counts: pages that were never written need not be there.
//! LMDB itself does not look where a file ends, and takes what it finds there (zeros, once the file is long
//! enough) for a page of its own: it aborts, or reads on anywhere. So a file that is short is looked at here,
//! page by page, before LMDB does. Whatever is not as it should be makes it broken.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Octets in front of a page: its number, its flags, and its bounds or how many pages belong together.
const HEADER: usize = 16;
/// Octets in front of a node: a size or a page's number, flags, the length of its key.
const NODE: usize = 8;
/// Octets of a tree's description; its root stands last.
const TREE: usize = 48;
/// The root of a tree without pages.
const NOWHERE: u64 = u64::MAX;

/// Where the descriptions of the two trees stand in a page that begins the file, and the transaction that
/// wrote it: the tree of free pages, and the one that names all others.
const TREES: usize = HEADER + 24;
const TRANSACTION: usize = TREES + 2 * TREE + 8;

/// Kinds of pages.
mod page {
    pub const BRANCH: u16 = 1;
    pub const LEAF: u16 = 2;
    pub const OVERFLOW: u16 = 4;
    pub const BARE: u16 = 0x20;
}

/// What a node of a leaf holds in place of data.
mod node {
    pub const OVERFLOW: u16 = 1;
    pub const TREE: u16 = 2;
}

/// Whether every page is there that the last transaction uses.
///
/// # Errors
/// When the file cannot be read.
pub fn is_whole(file: &File, page: u64) -> io::Result<bool> {
    let reader = Reader { file, page, length: file.metadata()?.len() };
    let begins = [reader.octets(0)?, reader.octets(1)?];
    let transaction =
        |octets: &Option<Vec<u8>>| octets.as_deref().and_then(|o| number(o, TRANSACTION));
    let Some(begin) = begins.into_iter().max_by_key(transaction).flatten() else {
        return Ok(false);
    };
    let mut roots = Vec::new();
    for tree in 0..2 {
        match root(&begin, TREES + tree * TREE) {
            Some(found) => roots.push(found),
            None => return Ok(false),
        }
    }
    reader.follow(roots)
}

struct Reader<'f> {
    file: &'f File,
    page: u64,
    length: u64,
}

impl Reader<'_> {
    /// Follows every reference.
    fn follow(&self, mut next: Vec<u64>) -> io::Result<bool> {
        // A page is referred to once: more of them are a circle.
        let mut left = self.length / self.page;
        while let Some(at) = next.pop() {
            if at == NOWHERE {
                continue;
            }
            let Some(octets) = self.octets(at)? else { return Ok(false) };
            let is_right = number(&octets, 0) == Some(at) && left > 0;
            if !is_right || self.references(&octets, &mut next).is_none() {
                return Ok(false);
            }
            left -= 1;
        }
        Ok(true)
    }

    /// Adds the pages that a page refers to; none if it is not what LMDB writes.
    fn references(&self, octets: &[u8], next: &mut Vec<u64>) -> Option<()> {
        let flags = short(octets, 10)?;
        if flags & page::OVERFLOW != 0 {
            let pages = u64::from(short(octets, 12)?) | u64::from(short(octets, 14)?) << 16;
            let end = number(octets, 0)?.checked_add(pages)?.checked_mul(self.page)?;
            return (end <= self.length).then_some(());
        }
        if flags & page::BARE != 0 {
            return Some(());
        }
        if flags & (page::BRANCH | page::LEAF) == 0 {
            return None;
        }
        let nodes = usize::from(short(octets, 12)?).checked_sub(HEADER)? / 2;
        for place in 0..nodes {
            let at = usize::from(short(octets, HEADER + place * 2)?);
            let [low, high, kind, key] = [
                short(octets, at)?,
                short(octets, at + 2)?,
                short(octets, at + 4)?,
                short(octets, at + 6)?,
            ];
            let data = at + NODE + usize::from(key);
            if flags & page::BRANCH != 0 {
                next.push(u64::from(low) | u64::from(high) << 16 | u64::from(kind) << 32);
            } else if kind & node::OVERFLOW != 0 {
                next.push(number(octets, data)?);
            } else if kind & node::TREE != 0 {
                next.push(root(octets, data)?);
            }
        }
        Some(())
    }

    /// A page; none where the file has ended.
    fn octets(&self, at: u64) -> io::Result<Option<Vec<u8>>> {
        let end = at.checked_add(1).and_then(|next| next.checked_mul(self.page));
        if end.is_none_or(|end| end > self.length) {
            return Ok(None);
        }
        let mut octets = vec![0; self.page as usize];
        self.file.read_exact_at(&mut octets, at * self.page)?;
        Ok(Some(octets))
    }
}

/// The root of a tree that is described there.
fn root(octets: &[u8], at: usize) -> Option<u64> {
    number(octets, at + TREE - 8)
}

// LMDB writes numbers as the processor has them: here, the lowest octet first.

fn number(octets: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(octets.get(at..at + 8)?.try_into().ok()?))
}

fn short(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}
