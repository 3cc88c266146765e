//! The log of a generation: the change that is on its way into the tree.
//!
//! The pages that a change touches lie apart, and a disk takes long over them; the same change is one
//! stretch in the log. So it is made durable there ([`Edit::log`]), may be served then, and goes into the
//! tree behind. The log holds one change at most, the next one in its place, which begins when the tree has
//! this one durably. A generation whose log is one change ahead takes it in when it is opened, and before
//! anything else is written to it.
//!
//! ```text
//! format, checksum of the body      4  each
//! number, octets of the body        8  each
//! checksum of those four            4
//! nothing                           4
//! the body                          see `step`
//! ```
//!
//! The tree counts its changes in `meta`; one that is logged has the next number. What was torn while it
//! was written has another checksum than it says, and was never a version. The file keeps its length, a
//! power of two, so that writing it again changes nothing but its blocks' contents; one that was cut short
//! is told from one that was torn.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use super::{
    Edit,
    error::{At as _, Error},
    generation::{Generation, word},
    step::{self, Step, Which},
};

/// The file in a generation's folder.
const LOG: &str = "log";

/// Changes with every change of what stands in the log.
const FORMAT: u32 = 0x4c4f_4701;

/// Octets in front of the body.
const HEADER: usize = 32;

/// The length of a log to begin with.
const SMALLEST: u64 = 64 << 10;

/// A larger change is not logged: the tree takes about as long as the log then.
pub(super) const LARGEST: usize = 16 << 20;

/// Whole blocks are written: of one that is written in part, the rest would have to be read.
const BLOCK: usize = 4096;

/// A change on its way into a log: room for the header, and the body.
pub(super) struct Record(Option<Vec<u8>>);

impl Record {
    pub fn new() -> Self {
        Self(Some(vec![0; HEADER]))
    }

    /// One that takes nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Notes a step; of a change that becomes too large, nothing is kept.
    pub fn add(&mut self, which: Which, step: Step<'_>) {
        if let Some(octets) = &mut self.0 {
            step::encode(which, step, octets);
            if octets.len() > LARGEST {
                self.0 = None;
            }
        }
    }
}

impl Edit<'_> {
    /// Makes the change durable in the log, so that it may be served before [`Edit::commit`], which is to
    /// come next: whatever happens before or in it, the archive has the change when it is opened again.
    /// False where the change is too large for that: it must not be served before its commit.
    ///
    /// # Errors
    /// [`Error::Io`], on a full disk among others: the archive stays as it was, and the edit is to be
    /// dropped.
    pub fn log(&mut self) -> Result<bool, Error> {
        let number = self.number()?;
        let Some(octets) = self.record().0.take() else { return Ok(false) };
        let generation = self.generation();
        let path = generation.folder.join(LOG);
        if let Err(error) = append(&path, number, octets) {
            // What may stand there all the same was refused: it must not come back.
            let _ = File::options().write(true).open(&path).and_then(|file| {
                file.write_all_at(&[0; HEADER], 0)?;
                file.sync_data()
            });
            return Err(error).at(&path);
        }
        generation.behind.store(true, Ordering::Release);
        Ok(true)
    }
}

fn append(path: &Path, number: u64, mut octets: Vec<u8>) -> io::Result<()> {
    let length = octets.len() - HEADER;
    let body = crc32fast::hash(&octets[HEADER..]);
    let header = [&FORMAT.to_le_bytes()[..], &body.to_le_bytes()].concat();
    let header = [&header[..], &number.to_le_bytes(), &(length as u64).to_le_bytes()].concat();
    octets[..header.len()].copy_from_slice(&header);
    octets[header.len()..][..4].copy_from_slice(&crc32fast::hash(&header).to_le_bytes());
    octets.resize(octets.len().next_multiple_of(BLOCK), 0);
    let options = || File::options().read(true).write(true).create(true).truncate(false).clone();
    let file = options().open(path)?;
    let before = file.metadata()?.len();
    if before < octets.len() as u64 {
        file.set_len((octets.len() as u64).next_power_of_two().max(SMALLEST))?;
    }
    file.write_all_at(&octets, 0)?;
    file.sync_data()?;
    if before == 0 {
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    }
    Ok(())
}

impl Generation {
    /// Whether the log has a change that the tree lacks.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    /// The generation, once it is known whether the log has a change that the tree lacks.
    pub fn looked_at_log(self) -> Result<Self, Error> {
        self.behind.store(self.logged()?.is_some(), Ordering::Release);
        Ok(self)
    }

    /// The body of the change that the tree lacks.
    fn logged(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join(LOG);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.at(&path)?,
        };
        let length = file.metadata().at(&path)?.len();
        if length == 0 {
            return Ok(None);
        }
        let broken = |what| Err(Error::Broken { folder: self.folder.clone(), what });
        let mut header = [0; HEADER];
        if length < HEADER as u64 {
            return broken("the log was cut short");
        }
        file.read_exact_at(&mut header, 0).at(&path)?;
        let Some((body, number, octets)) = said(&header) else { return Ok(None) };
        let txn = self.env.read_txn().at(&self.folder)?;
        let here = self.changes(&txn)?;
        if number <= here {
            return Ok(None);
        }
        if number > here + 1 {
            return broken("the log goes on from another state");
        }
        if octets > length - HEADER as u64 {
            return broken("the log was cut short");
        }
        let mut found = vec![0; octets as usize];
        file.read_exact_at(&mut found, HEADER as u64).at(&path)?;
        Ok((crc32fast::hash(&found) == body).then_some(found))
    }

    /// Puts the change that the tree lacks into an edit.
    pub fn take_in(&self, edit: &mut Edit<'_>) -> Result<(), Error> {
        let Some(body) = self.logged()? else { return Ok(()) };
        edit.redo_all(&body)?;
        edit.recount()
    }

    /// Brings the tree up to the log. Only for whoever has the right to write.
    ///
    /// # Errors
    /// [`Error::Io`] on a full disk: what is in the log stays there.
    pub fn catch_up(&self) -> Result<(), Error> {
        if !self.is_behind() {
            return Ok(());
        }
        let mut edit = Edit::begin(self)?;
        self.take_in(&mut edit)?;
        edit.commit_logged()
    }

    /// Copies the log to another folder, if the tree lacks what is in it; durable.
    pub fn copy_log(&self, folder: &Path) -> Result<(), Error> {
        if !self.is_behind() {
            return Ok(());
        }
        let (from, to): (PathBuf, PathBuf) = (self.folder.join(LOG), folder.join(LOG));
        std::fs::copy(&from, &to).and_then(|_| File::open(&to)?.sync_all()).at(&to)
    }

    /// How many changes the tree has had.
    pub fn changes(&self, txn: &heed::RoTxn<'_, heed::WithoutTls>) -> Result<u64, Error> {
        let octets = self.meta.get(txn, word::CHANGES).at(&self.folder)?;
        Ok(octets.and_then(|octets| octets.try_into().ok()).map_or(0, u64::from_be_bytes))
    }
}

/// What a header says: the body's checksum, the change's number, the body's length. None where it is none.
fn said(header: &[u8; HEADER]) -> Option<(u32, u64, u64)> {
    let short = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u64::from_le_bytes(*header.get(at..)?.first_chunk()?));
    let sound = short(0)? == FORMAT && short(24)? == crc32fast::hash(&header[..24]);
    sound.then_some((short(4)?, long(8)?, long(16)?))
}
