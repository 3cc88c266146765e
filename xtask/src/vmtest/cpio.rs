//! An archive that the kernel unpacks at boot: cpio in its "newc" form.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Component, Path},
};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive in the making.
pub struct Archive<W: Write> {
    out: W,
    present: BTreeSet<String>,
    inode: u32,
}

impl Archive<BufWriter<File>> {
    /// A new archive in a file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(file: &Path) -> io::Result<Self> {
        Ok(Self::new(BufWriter::new(File::create(file)?)))
    }
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self { out, present: BTreeSet::new(), inode: 0 }
    }

    /// Adds a folder, and those above it.
    ///
    /// # Errors
    /// When the archive cannot be written.
    pub fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut so_far = String::new();
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            if !so_far.is_empty() {
                so_far.push('/');
            }
            so_far.push_str(&name.to_string_lossy());
            if self.present.insert(so_far.clone()) {
                self.entry(&so_far, DIRECTORY, (0, 0), &[])?;
            }
        }
        Ok(())
    }

    /// Adds a copy of a file, as what everybody may read and run. One that is there already stays.
    ///
    /// # Errors
    /// When the file cannot be read or the archive not be written.
    pub fn copy(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.folder(to.parent().unwrap_or(Path::new("/")))?;
        let name = to.to_string_lossy().trim_start_matches('/').to_owned();
        if self.present.insert(name.clone()) {
            let content = fs::read(from).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", from.display()))
            })?;
            self.entry(&name, PROGRAM, (0, 0), &content)?;
        }
        Ok(())
    }

    /// Adds every file of a folder, and of the folders in it.
    ///
    /// # Errors
    /// As [`Archive::copy`].
    pub fn copy_all(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.folder(to)?;
        for entry in from.read_dir()? {
            let path = entry?.path();
            let to = to.join(path.file_name().unwrap_or_default());
            if path.is_dir() { self.copy_all(&path, &to)? } else { self.copy(&path, &to)? }
        }
        Ok(())
    }

    /// Adds a character device.
    ///
    /// # Errors
    /// When the archive cannot be written.
    pub fn device(&mut self, path: &Path, major: u32, minor: u32) -> io::Result<()> {
        self.folder(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.to_string_lossy();
        self.entry(name.trim_start_matches('/'), CHARACTER_DEVICE, (major, minor), &[])
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(
        &mut self,
        name: &str,
        mode: u32,
        device: (u32, u32),
        content: &[u8],
    ) -> io::Result<()> {
        self.inode += 1;
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        let name_length = name.len() as u32 + 1;
        let fields =
            [self.inode, mode, 0, 0, 1, 0, length, 0, 0, device.0, device.1, name_length, 0];
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08X}")?;
        }
        self.out.write_all(name.as_bytes())?;
        // The header is 110 octets; name and content each end at a multiple of four.
        let zeros = [0; 4];
        self.out.write_all(&zeros[..1 + (4 - (110 + name.len() + 1) % 4) % 4])?;
        self.out.write_all(content)?;
        self.out.write_all(&zeros[..(4 - content.len() % 4) % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and contents of an archive, by the format's own rules.
    fn read(octets: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            let header = std::str::from_utf8(&octets[at..at + 110]).expect("text");
            assert!(header.starts_with("070701"), "{header}");
            let field = |number: usize| {
                let digits = &header[6 + 8 * number..14 + 8 * number];
                usize::from_str_radix(digits, 16).expect("a number")
            };
            let (length, name_length) = (field(6), field(11));
            let name = octets[at + 110..at + 110 + name_length - 1].to_vec();
            let name = String::from_utf8(name).expect("a name");
            let content = (at + 110 + name_length).next_multiple_of(4);
            if name == "TRAILER!!!" {
                return entries;
            }
            entries.push((name, octets[content..content + length].to_vec()));
            at = (content + length).next_multiple_of(4);
        }
    }

    #[test]
    fn an_archive_holds_each_folder_once_and_whole_files() {
        let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/vmtest/cpio.rs"));
        let mut archive = Archive::new(Vec::new());
        archive.folder(Path::new("/a/bc")).expect("written");
        archive.copy(source, Path::new("/a/def/file")).expect("written");
        archive.copy(source, Path::new("/a/def/file")).expect("written");
        archive.folder(Path::new("/a")).expect("written");
        let entries = read(&archive.finish().expect("written"));
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "a/bc", "a/def", "a/def/file"]);
        assert_eq!(entries[3].1, fs::read(source).expect("readable"));
    }
}
