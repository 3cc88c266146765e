//! The names of a zone one after the other, each with what stands above and below it: which are nodes,
//! where the zone is cut, what lies below.
//!
//! Owners come in canonical order, so a name's descendants follow it, and a stack of the names above is
//! all that is held. A node is told when everything below it is known.

use std::ops::Range;

use responder_common::{layout::Address, wire::rtype};

use super::{
    collect::{RrSet, Sets, Sorted},
    compile::{CompileError, Source},
    name::{count_labels, is_at_or_below, to_text},
};

/// Rows of a stretch that is walked by itself.
const STRETCH: usize = 1 << 14;

/// Rows between the one that is fetched and the one that is looked at.
const AHEAD: usize = 8;

/// What a walk found out.
#[derive(Debug, Default, Clone, Copy)]
pub struct Walked {
    /// Nodes that were told.
    pub nodes: u64,
    /// Labels of the deepest.
    pub labels: usize,
    /// Names below a cut or a DNAME that own no addresses.
    pub occluded: u64,
    /// What was told of the wildcard right below the apex; 0 where there is none.
    pub wildcard: Address,
}

impl Walked {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            nodes: self.nodes + other.nodes,
            labels: self.labels.max(other.labels),
            occluded: self.occluded + other.occluded,
            wildcard: self.wildcard | other.wildcard,
        }
    }
}

/// The rows behind the apex in stretches that no name's descendants go across, the apex's aside.
pub fn stretches(zone: &Sorted, apex: &[u8]) -> Vec<Range<usize>> {
    let mut stretches = Vec::new();
    let mut start = 1;
    while start < zone.len() {
        let stretch = first_rows(zone, apex, &(start..zone.len()), STRETCH);
        start = stretch.end;
        stretches.push(stretch);
    }
    stretches
}

/// The first rows of a stretch, that many or as many more as belong to the same child of the apex.
pub fn first_rows(zone: &Sorted, apex: &[u8], stretch: &Range<usize>, rows: usize) -> Range<usize> {
    let mut end = (stretch.start + rows).min(stretch.end);
    while end < stretch.end && alike(zone, apex, end - 1, end) {
        end += 1;
    }
    stretch.start..end
}

/// Whether two rows are below the same child of the apex.
fn alike(zone: &Sorted, apex: &[u8], one: usize, other: usize) -> bool {
    let child = |row: usize| {
        let wire = zone.row(row).wire();
        let mut at = 0;
        while at + usize::from(wire[at]) + 1 < wire.len() - apex.len() {
            at += usize::from(wire[at]) + 1;
        }
        &wire[at..]
    };
    child(one).eq_ignore_ascii_case(child(other))
}

/// A name whose descendants are being walked through.
#[derive(Default)]
struct Open<'z> {
    /// Lower-case wire form.
    name: Vec<u8>,
    labels: usize,
    sets: Sets<'z>,
    /// NS: the zone is cut here.
    cut: bool,
    /// A cut or a DNAME: the names below are no nodes.
    bottom: bool,
    /// What was told of the wildcard right below.
    wildcard: Address,
    /// The first row that belongs to it.
    first: usize,
}

/// Walks through a stretch of rows. `node` is told every node once all below it were, with the rows at and
/// below it, and gives its address.
///
/// # Errors
/// What makes the zone one that cannot be served; those of `node`.
pub fn walk<'z>(
    zone: &'z Sorted,
    apex: &[u8],
    rows: Range<usize>,
    node: Node<'_, 'z>,
) -> Result<Walked, CompileError> {
    let mut walk = Walk {
        apex: count_labels(apex),
        open: Vec::new(),
        spare: Vec::new(),
        walked: Walked::default(),
        node,
    };
    for row in rows.clone() {
        zone.prefetch(row + AHEAD);
        walk.row(zone, row)?;
    }
    while !walk.open.is_empty() {
        walk.close(rows.end)?;
    }
    Ok(walk.walked)
}

/// What is told the nodes.
type Node<'n, 'z> =
    &'n mut dyn FnMut(&Source<'_, 'z>, Range<usize>) -> Result<Address, CompileError>;

struct Walk<'n, 'z> {
    /// Labels of the apex.
    apex: usize,
    open: Vec<Open<'z>>,
    /// Memory for what is to be opened.
    spare: Vec<Open<'z>>,
    walked: Walked,
    node: Node<'n, 'z>,
}

impl<'z> Walk<'_, 'z> {
    fn row(&mut self, zone: &'z Sorted, number: usize) -> Result<(), CompileError> {
        let row = zone.row(number);
        let wire = row.wire();
        while self.open.last().is_some_and(|above| !is_at_or_below(wire, &above.name)) {
            self.close(number)?;
        }
        // The owners of NSEC3 are not names of the zone (RFC 5155, section 7.1).
        let hashed = zone.denies(number) && row.owns(rtype::NSEC3);
        let no_name =
            hashed && !row.sets().any(|set| set.rtype != rtype::NSEC3 && set.rdata.count() > 0);
        if no_name {
            return Ok(());
        }
        if self.open.last().is_some_and(|above| above.bottom) {
            self.walked.occluded += u64::from(!row.owns(rtype::A) && !row.owns(rtype::AAAA));
            return Ok(());
        }
        let labels = count_labels(wire);
        self.fill_gap(wire, labels, number);
        let mut here = self.begin(wire, labels, number);
        here.sets.read(row, |rtype| rtype != rtype::NSEC3);
        check_rrsets(wire, &here.sets, false).map_err(CompileError::Zone)?;
        here.cut = owns(&here.sets, rtype::NS);
        here.bottom = here.cut || owns(&here.sets, rtype::DNAME);
        self.open.push(here);
        Ok(())
    }

    /// A name that is about to be opened.
    fn begin(&mut self, wire: &[u8], labels: usize, first: usize) -> Open<'z> {
        let Open { mut name, mut sets, .. } = self.spare.pop().unwrap_or_default();
        name.clear();
        name.extend_from_slice(wire);
        name.make_ascii_lowercase();
        sets.clear();
        Open { name, labels, sets, cut: false, bottom: false, wildcard: 0, first }
    }

    /// Opens the empty non-terminals between the last open name, or the apex, and a name.
    fn fill_gap(&mut self, wire: &[u8], labels: usize, number: usize) {
        let above = self.open.last().map_or(self.apex, |above| above.labels);
        for depth in above + 1..labels {
            let mut start = 0;
            for _ in depth..labels {
                start += usize::from(wire[start]) + 1;
            }
            let here = self.begin(&wire[start..], depth, number);
            self.open.push(here);
        }
    }

    /// Tells the last open name, behind the rows of which the given one stands.
    fn close(&mut self, end: usize) -> Result<(), CompileError> {
        let Some(here) = self.open.pop() else { return Ok(()) };
        let Open { name, sets, cut, wildcard, .. } = &here;
        let source = Source { name, rrsets: sets, cut: *cut, wildcard: *wildcard };
        let address = (self.node)(&source, here.first..end)?;
        if name.starts_with(b"\x01*") {
            match self.open.last_mut() {
                Some(above) => above.wildcard = address,
                None => self.walked.wildcard = address,
            }
        }
        self.walked.nodes += 1;
        self.walked.labels = self.walked.labels.max(here.labels);
        self.spare.push(here);
        Ok(())
    }
}

fn owns(rrsets: &[RrSet<'_>], rtype: u16) -> bool {
    rrsets.iter().any(|set| set.rtype == rtype)
}

/// What no server should serve.
///
/// # Errors
/// Which rule the owner breaks.
pub fn check_rrsets(wire: &[u8], rrsets: &[RrSet<'_>], is_apex: bool) -> Result<(), String> {
    let name = || to_text(wire);
    let rrset = |rtype| rrsets.iter().find(|set| set.rtype == rtype);
    let many = |rtype| rrset(rtype).is_some_and(|set| set.rdata.len() > 1);
    if is_apex {
        let Some(soa) = rrset(rtype::SOA) else {
            return Err(NO_SOA.into());
        };
        if soa.rdata.len() > 1 {
            return Err("there is more than one SOA at the apex".into());
        }
        if rrset(rtype::NS).is_none() {
            return Err("there is no NS at the apex".into());
        }
    } else if rrset(rtype::SOA).is_some() {
        return Err(format!("{} owns a SOA and is not the apex", name()));
    }
    if many(rtype::CNAME) {
        return Err(format!("{} owns more than one CNAME (RFC 2181, section 10.1)", name()));
    }
    if many(rtype::DNAME) {
        return Err(format!("{} owns more than one DNAME (RFC 6672, section 2.4)", name()));
    }
    let beside_cname = |set: &&RrSet<'_>| {
        ![rtype::CNAME, rtype::RRSIG, rtype::NSEC, rtype::NSEC3, 25 /* KEY */].contains(&set.rtype)
    };
    if rrset(rtype::CNAME).is_some()
        && let Some(other) = rrsets.iter().find(beside_cname)
    {
        return Err(format!(
            "{} owns a CNAME and data of type {} (RFC 1034, section 3.6.2)",
            name(),
            other.rtype
        ));
    }
    Ok(())
}

/// Why a zone without its own head is refused.
pub const NO_SOA: &str = "there is no SOA at the apex";
