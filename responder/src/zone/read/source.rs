//! A master file in pieces: whole entries, a block at a time, and directives one by one.
//!
//! Blocks keep memory small whatever the size of the file, and let each piece begin at a known line.

use std::{fs::File, io, io::Read, ops::Range, os::unix::fs::OpenOptionsExt, path::Path};

use super::words::{Open, entry_end, words};

/// How much of a file is read at a time, in octets.
const BLOCK: usize = 256 << 10;

/// The largest entry, in octets: the largest rdata, each octet written as `\DDD`, takes a quarter.
const LARGEST_ENTRY: usize = 1 << 20;

/// A run of whole entries of one file.
#[derive(Debug)]
pub struct Piece<'a> {
    /// The entries; the last one ends with a line feed too.
    pub text: &'a [u8],
    /// The line on which they begin, from 1.
    pub line: u64,
    /// Those that go over more than one line, in order.
    pub long: &'a [Range<usize>],
    /// Whether this is one entry and its first word begins with `$`.
    pub directive: bool,
}

/// Why there is no further piece.
#[derive(Debug)]
pub enum Broken {
    /// The file cannot be read.
    Io(io::Error),
    /// The files together are larger than the limit.
    TooLarge,
    /// An entry that begins on this line does not end.
    Unended(u64, Open),
    /// An entry that begins on this line is larger than any record.
    LongEntry(u64),
}

/// An open master file.
pub struct Source {
    file: File,
    buffer: Vec<u8>,
    /// Where the next piece begins in `buffer`.
    start: usize,
    /// The line on which it begins.
    line: u64,
    long: Vec<Range<usize>>,
    ended: bool,
    size: u64,
}

impl Source {
    /// Opens a file, which must be a regular one: a pipe or a device could block or never end.
    pub fn open(path: &Path) -> io::Result<Self> {
        // A pipe without a writer must not hold up the daemon: it is opened at once, and refused.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let (buffer, long) = (Vec::with_capacity(BLOCK), Vec::new());
        let size = metadata.len();
        Ok(Self { file, buffer, start: 0, line: 1, long, ended: false, size })
    }

    /// The size of the file when it was opened, in octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next piece, or `None` at the end. What is read is taken off `allowance`, in octets.
    pub fn next(&mut self, allowance: &mut u64) -> Result<Option<Piece<'_>>, Broken> {
        let (end, directive) = loop {
            match self.cut() {
                Ok(found) => break found,
                Err(_) if !self.ended && self.buffer.len() - self.start <= LARGEST_ENTRY => {
                    self.fill(allowance)?;
                }
                Err(_) if !self.ended => return Err(Broken::LongEntry(self.line)),
                Err(None) => return Ok(None),
                Err(Some(open)) => return Err(Broken::Unended(self.line, open)),
            }
        };
        let (text, line) = (&self.buffer[self.start..end], self.line);
        self.start = end;
        self.line += memchr::memchr_iter(b'\n', text).count() as u64;
        Ok(Some(Piece { text, line, long: &self.long, directive }))
    }

    /// Finds the end of the largest piece in the buffer, and whether it is a directive. When there
    /// is no whole entry, tells what is open, or nothing if the buffer is empty.
    fn cut(&mut self) -> Result<(usize, bool), Option<Open>> {
        let text = &self.buffer[self.start..];
        self.long.clear();
        let mut at = 0;
        // Lines without these octets are entries of one line each, or comments: skipped at the
        // speed of memory. An entry with one of them is looked at octet by octet.
        while let Some(special) = memchr::memchr3(b'(', b'"', b'$', &text[at..]) {
            let start =
                memchr::memrchr(b'\n', &text[at..at + special]).map_or(at, |lf| at + lf + 1);
            match entry_end(text, start) {
                Ok(end) if is_directive(&text[start..end]) => {
                    let end = if start > 0 { start } else { end };
                    return Ok((self.start + end, start == 0));
                }
                Ok(end) => {
                    if text[start..end - 1].contains(&b'\n') {
                        self.long.push(start..end);
                    }
                    at = end;
                }
                Err(_) if start > 0 => return Ok((self.start + start, false)),
                Err(open) => return Err(Some(open)),
            }
        }
        let end = match memchr::memrchr(b'\n', &text[at..]) {
            Some(lf) => at + lf + 1,
            None if at > 0 => at,
            None => return Err((!text.is_empty()).then_some(Open::Line)),
        };
        let end = if self.ended { end } else { before_an_owner(text, end, &self.long) };
        Ok((self.start + end, false))
    }

    /// Reads one more block behind what is left in the buffer.
    fn fill(&mut self, allowance: &mut u64) -> Result<(), Broken> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        // Less what is left over, so that the buffer need not grow.
        let wanted = if before < BLOCK { BLOCK - before } else { BLOCK };
        let read = (&mut self.file)
            .take(wanted as u64)
            .read_to_end(&mut self.buffer)
            .map_err(Broken::Io)?;
        *allowance = allowance.checked_sub(read as u64).ok_or(Broken::TooLarge)?;
        if read == 0 {
            self.ended = true;
            // The last line may lack its end.
            if self.buffer.last().is_some_and(|&last| last != b'\n') {
                self.buffer.push(b'\n');
            }
        }
        Ok(())
    }
}

/// The last place, at `end` or before it, where an entry with an owner begins: behind a cut there the
/// rest can be read by itself. `end` where there is none.
fn before_an_owner(text: &[u8], end: usize, long: &[Range<usize>]) -> usize {
    let mut long = long.iter().rev().peekable();
    let mut start = end;
    while start > 0 {
        while long.next_if(|long| long.start > start).is_some() {}
        let inside = long.peek().is_some_and(|long| long.start < start && start < long.end);
        let owner = |first: &u8| !matches!(first, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(');
        if !inside && text.get(start).is_some_and(owner) {
            return start;
        }
        start = memchr::memrchr(b'\n', &text[..start - 1]).map_or(0, |lf| lf + 1);
    }
    end
}

/// Whether an entry is a directive, perhaps a disguised one: `domain` obeys one behind a parenthesis
/// or a quote too.
fn is_directive(entry: &[u8]) -> bool {
    match entry {
        [b'$', ..] => true,
        [b'(' | b'"', ..] => words(entry).first().is_some_and(|word| {
            let word = &entry[word.clone()];
            word.strip_prefix(b"\"").unwrap_or(word).starts_with(b"$")
        }),
        _ => false,
    }
}
