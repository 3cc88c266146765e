//! Reads the entries of one piece of a file.
//!
//! They are read at full speed. When `domain` refuses one, the rest is read again entry by entry: that
//! tells the very entry and line, and gives the few forms that `domain` does not know (`1h30m`,
//! `SMIMEA`) a second try in a form that it does. An entry with `@` in its record data, which `domain`
//! would read as a label, is looked for and read on its own.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use domain::{
    base::{Name, Ttl},
    zonefile::inplace::Entry,
};

use super::{
    Batch, Place, Refusal, alike, at_sign, fault, plain,
    record::Notes,
    scan::{Fault, Inherited, Scanner},
    source::Piece,
    ttl, words,
};

/// What reading a piece needs and changes.
pub struct Entries<'a, B> {
    /// The zone's name, in wire form.
    pub apex: &'a [u8],
    /// How many records stand before the piece, and how many the zone may have.
    pub before: u64,
    pub most: u64,
    /// Whether it is not known what stands before the piece.
    pub alone: bool,
    pub origin: &'a Name<Bytes>,
    pub file: usize,
    /// Whether times with units are to be looked for at once.
    pub units: &'a mut bool,
    pub inherited: &'a mut Inherited,
    pub notes: &'a mut Notes,
    pub batch: &'a mut B,
    /// Room for the data of one record.
    pub rdata: Vec<u8>,
}

impl<B: Batch> Entries<'_, B> {
    /// Reads a run of records.
    pub fn piece(&mut self, piece: &Piece<'_>) -> Result<(), Refusal> {
        if *self.units {
            let (text, long) = ttl::all_in_seconds(piece.text);
            self.run(&Piece { text: &text, long: &long, ..*piece })
        } else {
            self.run(piece)
        }
    }

    fn run(&mut self, piece: &Piece<'_>) -> Result<(), Refusal> {
        let mut lines = Lines::new(piece);
        let mut at = 0;
        let mut one_by_one = false;
        // How many records were plain, and how many entries were not.
        let (mut plain, mut strange) = (0_usize, 0_usize);
        while at < piece.text.len() {
            // Until there is an owner and a TTL to inherit, their absence must be noticed.
            if one_by_one || self.inherited.owner.is_empty() || !self.inherited.has_ttl() {
                let end = words::entry_end(piece.text, at).unwrap_or(piece.text.len());
                let place = Place { file: self.file, line: lines.at(at) };
                self.entry(&piece.text[at..end], place)?;
                at = end;
                continue;
            }
            if strange <= STRANGE + plain / STRANGE_SHARE {
                if matches!(piece.text[at], b';' | b'\n') {
                    at += memchr::memchr(b'\n', &piece.text[at..]).map_or(1, |lf| lf + 1);
                    continue;
                }
                let (origin, owner) = (self.origin.as_slice(), &mut self.inherited.owner);
                if let Some(line) = plain::line(piece.text, at, origin, owner, &mut self.rdata) {
                    let place = Place { file: self.file, line: lines.at(at) };
                    self.take_plain(&line, place)?;
                    plain += 1;
                    at = line.end;
                } else {
                    let end = words::entry_end(piece.text, at).unwrap_or(piece.text.len());
                    let place = Place { file: self.file, line: lines.at(at) };
                    self.entry(&piece.text[at..end], place)?;
                    strange += 1;
                    at = end;
                }
                continue;
            }
            let apart = at_sign::next_entry(piece, at);
            let end = apart.as_ref().map_or(piece.text.len(), |entry| entry.start);
            if at < end
                && let Some(read) = self.block(piece, at..end, &mut lines)?
            {
                at = read;
                one_by_one = true;
            } else if let Some(entry) = apart {
                at = entry.end;
                let place = Place { file: self.file, line: lines.at(entry.start) };
                self.entry(&piece.text[entry], place)?;
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
    ) -> Result<Option<usize>, Refusal> {
        let start = run.start;
        let mut scanner = Scanner::new(&piece.text[run], self.origin, self.inherited);
        let mut last = None;
        loop {
            match scanner.next() {
                Ok(Some(Entry::Record(record))) => {
                    let at = start + scanner.position();
                    last = Some(at);
                    let place = Place { file: self.file, line: lines.at(at) };
                    self.take(&record, None, place)?;
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
    fn entry(&mut self, text: &[u8], place: Place) -> Result<(), Refusal> {
        let text = at_sign::replace(text, self.origin).map_or(Cow::Borrowed(text), Cow::Owned);
        let text = text.as_ref();
        let fault = match self.scan(text, None, place) {
            Ok(()) => return Ok(()),
            Err(Stop::Refusal(refusal)) => return Err(refusal),
            Err(Stop::Fault(fault)) => fault,
        };
        // A second try, in the form that `domain` reads.
        let seconds = ttl::in_seconds(text);
        *self.units |= seconds.is_some();
        let alike = alike::borrow(seconds.as_deref().unwrap_or(text));
        let (second, kind) = match (&alike, &seconds) {
            (Some(alike), _) => (alike.text.as_slice(), Some(alike)),
            (None, Some(seconds)) => (seconds.as_slice(), None),
            (None, None) => return Err(fault::refusal(&fault, text, place)),
        };
        match self.scan(second, kind, place) {
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
        place: Place,
    ) -> Result<(), Stop> {
        let mut scanner = Scanner::new(text, self.origin, self.inherited);
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
        if !self.inherited.has_ttl() && !has_own_ttl(text, self.origin, self.inherited) {
            if self.alone {
                return Err(Refusal::at(place.line, "no TTL").into());
            }
            record.set_ttl(Ttl::from_secs(DEFAULT_TTL));
            self.notes.no_ttl.push(place);
        }
        Ok(self.take(&record, alike, place)?)
    }
}

/// So many entries of a piece that are not plain are read one by one, and one for so many plain ones;
/// where there are more, the rest of the piece is left to `domain`.
const STRANGE: usize = 64;
const STRANGE_SHARE: usize = 8;

/// The TTL where none is given nor inherited, as other servers have it, in seconds.
pub const DEFAULT_TTL: u32 = 3600;

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
