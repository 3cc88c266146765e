//! The addresses of name servers, as referrals need them.

use std::{cell::RefCell, collections::HashMap, ops::Range};

use responder_common::wire::rtype;

use super::{
    collect::{Sets, Sorted},
    compile::Hosts,
};

/// Hosts that are remembered: those that many delegations name.
const REMEMBERED: usize = 4096;

/// The rows of a zone, asked for the addresses of hosts.
pub struct SortedHosts<'z> {
    zone: &'z Sorted,
    apex: usize,
    /// The rows at and below the cut that is compiled: most hosts of delegations stand there.
    near: Range<usize>,
    /// Rows of hosts elsewhere that were asked for, and whether they are glue.
    known: RefCell<HashMap<Vec<u8>, Option<Host>>>,
}

/// The row of a host, and whether it is glue.
type Host = (usize, bool);

impl<'z> SortedHosts<'z> {
    /// Those of a zone with an apex of so many octets.
    pub fn of(zone: &'z Sorted, apex: usize) -> Self {
        Self { zone, apex, near: 0..0, known: RefCell::default() }
    }

    /// A name is about to be compiled: if it is a cut, the rows at and below it.
    pub fn come_to(&mut self, rows: Option<Range<usize>>) {
        self.near = rows.unwrap_or_default();
    }

    /// The row of a host, if it is at or below the cut that is compiled.
    fn near(&self, host: &[u8]) -> Option<usize> {
        const FEW: usize = 8;
        if self.near.len() > FEW {
            return self.zone.find(host, self.apex, self.near.clone());
        }
        self.near.clone().find(|&row| self.zone.row(row).wire().eq_ignore_ascii_case(host))
    }

    /// The row of any host, and whether it is glue: at or below a cut, if no DNAME is above that.
    fn far(&self, host: &[u8]) -> Option<Host> {
        if let Some(known) = self.known.borrow().get(host) {
            return *known;
        }
        let row = self.zone.find(host, self.apex, 0..self.zone.len());
        let found = row.map(|row| (row, self.is_glue(host)));
        let mut known = self.known.borrow_mut();
        if known.len() == REMEMBERED {
            known.clear();
        }
        known.insert(host.to_vec(), found);
        found
    }

    fn is_glue(&self, host: &[u8]) -> bool {
        let mut starts = Vec::new();
        let mut at = 0;
        while at + self.apex < host.len() {
            starts.push(at);
            at += usize::from(host[at]) + 1;
        }
        let bottom = starts.into_iter().rev().find_map(|start| {
            let row = self.zone.find(&host[start..], self.apex, 0..self.zone.len())?;
            let row = self.zone.row(row);
            if row.owns(rtype::NS) { Some(true) } else { row.owns(rtype::DNAME).then_some(false) }
        });
        bottom.unwrap_or(false)
    }
}

impl<'z> Hosts<'z> for SortedHosts<'z> {
    fn addresses(&self, host: &[u8], to: &mut Sets<'z>) -> Option<bool> {
        let (row, glue) = self.near(host).map(|row| (row, true)).or_else(|| self.far(host))?;
        to.clear();
        to.read(self.zone.row(row), |rtype| matches!(rtype, rtype::A | rtype::AAAA));
        if glue {
            to.strip();
        }
        (!to.is_empty()).then_some(glue)
    }
}
