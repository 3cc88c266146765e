//! Reads master files (RFC 1035, section 5) into records in wire form.
//!
//! The reading of entries is done by NLnet Labs' `domain`; what stands here is around it: blocks of
//! whole entries, so that memory stays small whatever the file's size; the line of each record;
//! `$INCLUDE` and `$TTL`; and what other servers accept beyond the RFCs.
//!
//! Files are read at full speed, a block at a time. When `domain` refuses a block, the rest of it is
//! read again entry by entry: that tells the very entry and line, and gives the few forms that
//! `domain` does not know (`1h30m`, `SMIMEA`) a second try in a form that it does. An entry with `@`
//! in its record data, which `domain` would read as a label, is looked for and read on its own.

mod alike;
mod at_sign;
mod directive;
mod fault;
mod record;
mod scan;
mod source;
mod ttl;
mod words;

use std::{
    borrow::Cow,
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use domain::{
    base::{Name, Ttl, iana::Rtype},
    zonefile::inplace::Entry,
};

use self::{
    record::Records,
    scan::{Fault, Inherited, Scanner},
    source::{Piece, Source},
};
use super::ZoneError;

/// One record of a zone, in uncompressed wire form, case kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// The owner: an absolute name, at or below the apex, of at most 255 octets.
    pub owner: &'a [u8],
    /// The type, never a meta type.
    pub rtype: u16,
    /// The TTL in seconds; one with the high bit set is 0 here (RFC 2181, section 8).
    pub ttl: u32,
    /// The record data, at most 65,535 octets.
    pub rdata: &'a [u8],
    /// The file that it stands in: an index into [`ReadReport::files`].
    pub file: usize,
    /// The line, from 1, on which it begins.
    pub line: u64,
}

/// How much a zone may ask of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of all its files together, in octets.
    pub octets: u64,
    /// How many records are in the zone.
    pub records: u64,
    /// How deep files include files; 0 forbids `$INCLUDE`.
    pub includes: usize,
}

impl Default for Limits {
    /// Wide enough for the largest zone known (160 million delegations), small enough to end.
    fn default() -> Self {
        Self { octets: 64 << 30, records: 2_000_000_000, includes: 16 }
    }
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Records handed on.
    pub records: u64,
    /// The size of all files read, in octets.
    pub octets: u64,
    /// The files: the zone's own first, then the included ones, in the order of their `$INCLUDE`.
    pub files: Vec<PathBuf>,
    /// What an operator should know, though the zone was read.
    pub warnings: Vec<String>,
}

/// Streams the records of a master file to `sink`, in file order.
///
/// `apex` is the zone's name in wire form: the first origin, and the bound of what belongs to the
/// zone. Records elsewhere are left out and counted in a warning.
///
/// # Errors
/// The first fault, with its file and line; the sink's own errors get those of the record.
pub fn read(
    apex: &[u8],
    file: &Path,
    limits: &Limits,
    sink: &mut dyn FnMut(RecordRef<'_>) -> Result<(), String>,
) -> Result<ReadReport, ZoneError> {
    let origin = Name::from_octets(Bytes::copy_from_slice(apex)).map_err(|_| ZoneError {
        file: file.to_owned(),
        line: None,
        message: "the zone's own name is malformed".to_owned(),
    })?;
    let mut reader = Reader {
        limits,
        allowance: limits.octets,
        inherited: Inherited::default(),
        records: Records::new(apex, limits.records, sink),
        units: false,
        files: Vec::new(),
        open: Vec::new(),
        warnings: Vec::new(),
    };
    reader.file(file, origin).map_err(|error| error.in_file(file))?;
    let mut warnings = reader.warnings;
    warnings.extend(reader.records.warnings(&reader.files));
    Ok(ReadReport {
        records: reader.records.count(),
        octets: limits.octets - reader.allowance,
        files: reader.files,
        warnings,
    })
}

/// Where in the file that is being read.
#[derive(Clone, Copy)]
struct Place {
    file: usize,
    line: u64,
}

/// A fault on its way up to where its file is known.
struct Refusal {
    file: Option<PathBuf>,
    line: Option<u64>,
    message: String,
}

impl Refusal {
    /// A fault on a line of the file at hand.
    fn at(line: u64, message: impl Into<String>) -> Self {
        Self { file: None, line: Some(line), message: message.into() }
    }

    /// Names the file, unless it is an included one and named already.
    fn in_file(self, file: &Path) -> ZoneError {
        let file = self.file.unwrap_or_else(|| file.to_owned());
        ZoneError { file, line: self.line, message: self.message }
    }
}

/// The journey through one zone's files.
struct Reader<'a> {
    limits: &'a Limits,
    /// Octets that may still be read.
    allowance: u64,
    inherited: Inherited,
    records: Records<'a>,
    /// Whether times with units were seen: then there will be more, and they are looked for at once.
    units: bool,
    files: Vec<PathBuf>,
    /// The files being read, as the kernel knows them, outermost first.
    open: Vec<PathBuf>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    /// Reads one file to its end.
    fn file(&mut self, path: &Path, mut origin: Name<Bytes>) -> Result<(), Refusal> {
        let opened = path.canonicalize().and_then(|known| Ok((known, Source::open(path)?)));
        let (known, mut source) = opened.map_err(|error| Refusal {
            file: None,
            line: None,
            message: format!("the zone file cannot be read: {error}"),
        })?;
        let file = self.files.len();
        self.files.push(path.to_owned());
        self.open.push(known);
        while let Some(piece) = source
            .next(&mut self.allowance)
            .map_err(|broken| fault::broken(broken, self.limits.octets))?
        {
            if piece.directive {
                self.directive(piece.text, &mut origin, Place { file, line: piece.line })?;
            } else if self.units {
                let (text, long) = ttl::all_in_seconds(piece.text);
                let piece = Piece { text: &text, long: &long, ..piece };
                self.piece(&piece, &origin, file)?;
            } else {
                self.piece(&piece, &origin, file)?;
            }
        }
        self.open.pop();
        Ok(())
    }

    /// Reads a run of records.
    fn piece(
        &mut self,
        piece: &Piece<'_>,
        origin: &Name<Bytes>,
        file: usize,
    ) -> Result<(), Refusal> {
        let mut lines = Lines::new(piece);
        let mut at = 0;
        let mut one_by_one = false;
        while at < piece.text.len() {
            // Until there is an owner and a TTL to inherit, their absence must be noticed.
            if one_by_one || self.inherited.owner.is_empty() || !self.inherited.has_ttl() {
                let end = words::entry_end(piece.text, at).unwrap_or(piece.text.len());
                let place = Place { file, line: lines.at(at) };
                self.entry(&piece.text[at..end], origin, place)?;
                at = end;
                continue;
            }
            let apart = at_sign::next_entry(piece, at);
            let end = apart.as_ref().map_or(piece.text.len(), |entry| entry.start);
            if at < end
                && let Some(read) = self.block(piece, at..end, &mut lines, origin, file)?
            {
                at = read;
                one_by_one = true;
            } else if let Some(entry) = apart {
                at = entry.end;
                let place = Place { file, line: lines.at(entry.start) };
                self.entry(&piece.text[entry], origin, place)?;
            } else {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads a run of entries at full speed. When `domain` refuses one, tells where the
    /// entries that were not read begin.
    fn block(
        &mut self,
        piece: &Piece<'_>,
        run: Range<usize>,
        lines: &mut Lines<'_>,
        origin: &Name<Bytes>,
        file: usize,
    ) -> Result<Option<usize>, Refusal> {
        let start = run.start;
        let mut scanner = Scanner::new(&piece.text[run], origin, &self.inherited);
        let mut last = None;
        loop {
            match scanner.next() {
                Ok(Some(Entry::Record(record))) => {
                    let at = start + scanner.position();
                    last = Some(at);
                    let place = Place { file, line: lines.at(at) };
                    self.records.take(&record, None, &mut self.inherited, place)?;
                }
                Ok(None) => return Ok(None),
                Ok(Some(Entry::Include { .. })) | Err(_) => break,
            }
        }
        let mut unread = start;
        while let Some(last) = last
            && unread <= last
        {
            unread = words::entry_end(piece.text, unread).unwrap_or(piece.text.len());
        }
        Ok(Some(unread))
    }

    /// Reads one entry, which is a record or empty.
    fn entry(&mut self, text: &[u8], origin: &Name<Bytes>, place: Place) -> Result<(), Refusal> {
        let text = at_sign::replace(text, origin).map_or(Cow::Borrowed(text), Cow::Owned);
        let text = text.as_ref();
        let fault = match self.scan(text, None, origin, place) {
            Ok(()) => return Ok(()),
            Err(Stop::Refusal(refusal)) => return Err(refusal),
            Err(Stop::Fault(fault)) => fault,
        };
        // A second try, in the form that `domain` reads.
        let seconds = ttl::in_seconds(text);
        self.units |= seconds.is_some();
        let alike = alike::borrow(seconds.as_deref().unwrap_or(text));
        let (second, kind) = match (&alike, &seconds) {
            (Some(alike), _) => (alike.text.as_slice(), Some(alike)),
            (None, Some(seconds)) => (seconds.as_slice(), None),
            (None, None) => return Err(fault::refusal(&fault, text, place)),
        };
        match self.scan(second, kind, origin, place) {
            Ok(()) => Ok(()),
            Err(Stop::Refusal(refusal)) => Err(refusal),
            Err(Stop::Fault(fault)) => Err(fault::refusal(&fault, second, place)),
        }
    }

    /// Scans one entry as it stands.
    fn scan(
        &mut self,
        text: &[u8],
        alike: Option<&alike::Alike>,
        origin: &Name<Bytes>,
        place: Place,
    ) -> Result<(), Stop> {
        let mut scanner = Scanner::new(text, origin, &self.inherited);
        let mut record = match scanner.next()? {
            Some(Entry::Record(record)) => record,
            Some(Entry::Include { .. }) => {
                return Err(Refusal::at(place.line, "a record was expected").into());
            }
            None => return Ok(()),
        };
        // Looked at first: an entry that fails may be tried again, so nothing of it may be taken.
        if scanner.next()?.is_some() {
            return Err(Refusal::at(place.line, "there are two records in one entry").into());
        }
        if !self.inherited.has_ttl() && !has_own_ttl(text, origin, &self.inherited) {
            record.set_ttl(Ttl::from_secs(DEFAULT_TTL));
            self.warnings.push(format!(
                "{}:{}: no TTL here and none to inherit: {DEFAULT_TTL} seconds are used; put a \
                 $TTL line first",
                self.files[place.file].display(),
                place.line
            ));
        }
        Ok(self.records.take(&record, alike, &mut self.inherited, place)?)
    }
}

/// The TTL where none is given nor inherited, as other servers have it, in seconds.
const DEFAULT_TTL: u32 = 3600;

/// Whether an entry that `domain` accepts has a TTL of its own: then a `$TTL` does not touch it.
fn has_own_ttl(text: &[u8], origin: &Name<Bytes>, inherited: &Inherited) -> bool {
    [1, 2].into_iter().any(|default| {
        let inherited = Inherited { default_ttl: Some(default), ..inherited.clone() };
        match Scanner::new(text, origin, &inherited).next() {
            Ok(Some(Entry::Record(record))) => record.ttl().as_secs() != default,
            _ => true,
        }
    })
}

/// Why the scan of one entry ended early.
enum Stop {
    /// `domain` does not read it.
    Fault(Fault),
    /// It was read, and refused.
    Refusal(Refusal),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// Tells lines by places in a piece, which must come in rising order.
struct Lines<'a> {
    piece: &'a Piece<'a>,
    at: usize,
    line: u64,
    long: usize,
}

impl<'a> Lines<'a> {
    fn new(piece: &'a Piece<'a>) -> Self {
        Self { piece, at: 0, line: piece.line, long: 0 }
    }

    /// The line on which the entry around a place begins.
    fn at(&mut self, mut place: usize) -> u64 {
        while self.piece.long.get(self.long).is_some_and(|long| long.end <= place) {
            self.long += 1;
        }
        if let Some(long) = self.piece.long.get(self.long).filter(|long| long.contains(&place)) {
            place = long.start;
        }
        if let Some(passed) = self.piece.text.get(self.at..place) {
            self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
            self.at = place;
        }
        self.line
    }
}

/// Prints a type as a zone file has it.
fn type_name(rtype: u16) -> String {
    Rtype::from_int(rtype).to_string()
}
