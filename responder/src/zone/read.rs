//! Reads master files (RFC 1035, section 5) into records in wire form.
//!
//! A file is cut into pieces of whole entries ([`source`]), which threads read side by side
//! ([`crew`]): memory stays small whatever the size of the file. Each piece is read as if nothing
//! stood before it, which nearly always succeeds; where it does not (its first record leaves out its
//! owner, say, or there is a fault), it is read again when everything before it is known. Pieces are
//! taken in the order of the file, so that the first fault is the one that is told.
//!
//! The reading of entries ([`entries`]) is done by NLnet Labs' `domain`, but for the plainest records
//! ([`plain`]), of which large zones have millions; what else stands here is around it: the line of each record, `$INCLUDE` and `$TTL`, and what other servers accept beyond the RFCs.

mod alike;
mod at_sign;
mod crew;
mod directive;
mod entries;
mod fault;
mod plain;
mod record;
mod scan;
mod source;
mod ttl;
mod words;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    thread,
};

use bytes::Bytes;
use domain::base::{Name, iana::Rtype};

use self::{
    crew::{Crew, Job},
    record::Notes,
    scan::Inherited,
    source::Source,
};
use super::{Progress, ZoneError};

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

/// The records of one piece of a file, as the thread that reads it gathers them.
pub trait Batch: Default + Send {
    /// Forgets everything: a piece of the zone at `apex` follows.
    fn begin(&mut self, apex: &[u8]);
    /// Takes the next record.
    fn add(&mut self, record: RecordRef<'_>);
    /// The piece has ended.
    fn finish(&mut self);
}

/// Why a batch is not accepted: the line of the record, where one is to be named, and the fault.
pub type Rejection = (Option<u64>, String);

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
    read_batches::<Listed>(apex, file, limits, &Progress::default(), &mut |batch| {
        batch
            .records()
            .try_for_each(|record| sink(record).map_err(|message| (Some(record.line), message)))
    })
}

/// As [`read()`], a batch at a time, each made by one of several threads.
///
/// # Errors
/// The first fault, with its file and line; the sink's own errors get the file.
pub fn read_batches<B: Batch>(
    apex: &[u8],
    file: &Path,
    limits: &Limits,
    progress: &Progress,
    sink: &mut dyn FnMut(&B) -> Result<(), Rejection>,
) -> Result<ReadReport, ZoneError> {
    let origin = Name::from_octets(Bytes::copy_from_slice(apex)).map_err(|_| ZoneError {
        file: file.to_owned(),
        line: None,
        message: "the zone's own name is malformed".to_owned(),
    })?;
    thread::scope(|scope| {
        let mut reader = Reader {
            apex,
            limits,
            progress,
            allowance: limits.octets,
            inherited: Inherited::default(),
            units: false,
            files: Vec::new(),
            open: Vec::new(),
            notes: Notes::default(),
            crew: Crew::new(scope, apex, limits.records),
            sink,
        };
        reader.file(file, origin).map_err(|error| error.in_file(file))?;
        Ok(ReadReport {
            records: reader.notes.count,
            octets: limits.octets - reader.allowance,
            warnings: reader.notes.warnings(apex, &reader.files),
            files: reader.files,
        })
    })
}

/// Where in the file that is being read.
#[derive(Debug, Clone, Copy)]
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

/// The journey through one zone's files: cuts them, and takes what was read, in order.
struct Reader<'scope, 'env, B> {
    apex: &'env [u8],
    limits: &'env Limits,
    progress: &'env Progress,
    /// Octets that may still be read.
    allowance: u64,
    /// What is known behind the last piece taken; but the `$TTL` is that of the next one to be cut.
    inherited: Inherited,
    /// Whether times with units were seen: then there will be more, and they are looked for at once.
    units: bool,
    files: Vec<PathBuf>,
    /// The files being read, as the kernel knows them, outermost first.
    open: Vec<PathBuf>,
    notes: Notes,
    /// Reads the pieces that were cut and not yet taken, all of one file.
    crew: Crew<'scope, 'env, B>,
    sink: &'env mut dyn FnMut(&B) -> Result<(), Rejection>,
}

impl<'env, B: Batch + 'env> Reader<'_, 'env, B> {
    /// Reads one file to its end.
    fn file(&mut self, path: &Path, origin: Name<Bytes>) -> Result<(), Refusal> {
        let opened = path.canonicalize().and_then(|known| Ok((known, Source::open(path)?)));
        let (known, mut source) = opened.map_err(|error| Refusal {
            file: None,
            line: None,
            message: format!("the zone file cannot be read: {error}"),
        })?;
        self.progress.expect(source.size());
        self.files.push(path.to_owned());
        self.open.push(known);
        let result = self.pieces(&mut source, origin);
        // What was cut before a fault comes first, and so do its own faults.
        self.take_all()?;
        self.open.pop();
        result
    }

    /// Cuts a file, and has the pieces read.
    fn pieces(&mut self, source: &mut Source, mut origin: Name<Bytes>) -> Result<(), Refusal> {
        let file = self.files.len() - 1;
        while let Some(piece) = source
            .next(&mut self.allowance)
            .map_err(|broken| fault::broken(broken, self.limits.octets))?
        {
            if piece.directive {
                self.directive(piece.text, &mut origin, Place { file, line: piece.line })?;
                continue;
            }
            if self.crew.is_full() {
                self.take_one()?;
            }
            let state = (origin.clone(), self.inherited.default_ttl, self.units);
            self.crew.give(&piece, file, state);
        }
        Ok(())
    }

    /// Takes everything that was cut.
    fn take_all(&mut self) -> Result<(), Refusal> {
        while self.crew.is_busy() {
            self.take_one()?;
        }
        Ok(())
    }

    /// Takes the oldest piece. After a fault nothing that was cut behind it counts.
    fn take_one(&mut self) -> Result<(), Refusal> {
        let Some((mut job, read)) = self.crew.next() else { return Ok(()) };
        let result = self.take(&mut job, read);
        match result {
            Ok(()) => self.crew.recycle(job),
            Err(_) => self.crew.forget(),
        }
        result
    }

    fn take(&mut self, job: &mut Job<B>, read: bool) -> Result<(), Refusal> {
        let (before, most) = (self.notes.count, self.limits.records);
        if !read || job.notes.count > most - before {
            job.read(self.apex, most, Some((before, self.inherited.clone())))?;
        }
        if !job.inherited.owner.is_empty() {
            self.inherited.owner.clone_from(&job.inherited.owner);
            self.inherited.last_ttl = job.inherited.last_ttl;
        }
        self.units |= job.units;
        self.progress.add(job.text.len() as u64);
        (self.sink)(&job.batch).map_err(|(line, message)| Refusal { file: None, line, message })?;
        self.notes.append(&mut job.notes);
        Ok(())
    }
}

/// A batch from which every record can be had again, its line too.
#[derive(Default)]
struct Listed {
    octets: Vec<u8>,
    records: Vec<ListedRecord>,
}

struct ListedRecord {
    owner: Range<usize>,
    rdata: Range<usize>,
    rtype: u16,
    ttl: u32,
    place: Place,
}

impl Listed {
    fn append(&mut self, octets: &[u8]) -> Range<usize> {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        start..self.octets.len()
    }

    fn records(&self) -> impl Iterator<Item = RecordRef<'_>> {
        self.records.iter().map(|record| RecordRef {
            owner: &self.octets[record.owner.clone()],
            rtype: record.rtype,
            ttl: record.ttl,
            rdata: &self.octets[record.rdata.clone()],
            file: record.place.file,
            line: record.place.line,
        })
    }
}

impl Batch for Listed {
    fn begin(&mut self, _apex: &[u8]) {
        self.octets.clear();
        self.records.clear();
    }

    fn add(&mut self, record: RecordRef<'_>) {
        let RecordRef { rtype, ttl, file, line, .. } = record;
        let (owner, rdata) = (self.append(record.owner), self.append(record.rdata));
        let place = Place { file, line };
        self.records.push(ListedRecord { owner, rdata, rtype, ttl, place });
    }

    fn finish(&mut self) {}
}

/// Prints a type as a zone file has it.
fn type_name(rtype: u16) -> String {
    Rtype::from_int(rtype).to_string()
}
