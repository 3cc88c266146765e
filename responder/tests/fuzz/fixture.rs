//! Frames with a name, as text: findings, kept so that they stay mended.

use std::{fs, io, path::Path};

/// A frame and why it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixture {
    /// The file's name without its ending.
    pub name: String,
    /// What was found, in lines.
    pub note: String,
    /// The octets.
    pub frame: Vec<u8>,
}

impl Fixture {
    /// Writes `NAME.hex`: the note as comments, then sixteen octets a line.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let note: String = self.note.lines().map(|line| format!("# {line}\n")).collect();
        let lines = self.frame.chunks(16).map(|octets| {
            let octets: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            octets.join(" ") + "\n"
        });
        fs::write(folder.join(&self.name).with_extension("hex"), note + &lines.collect::<String>())
    }

    /// Every fixture of a folder, by name.
    ///
    /// # Errors
    /// When the folder cannot be read or a file is no fixture.
    pub fn all_in(folder: &Path) -> io::Result<Vec<Self>> {
        let mut fixtures = Vec::new();
        for entry in fs::read_dir(folder)? {
            let file = entry?.path();
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let (mut note, mut frame) = (String::new(), Vec::new());
            for line in fs::read_to_string(&file)?.lines() {
                if let Some(comment) = line.strip_prefix('#') {
                    note += comment.trim();
                    note.push('\n');
                    continue;
                }
                for octet in line.split_whitespace() {
                    let octet = u8::from_str_radix(octet, 16).map_err(|error| {
                        io::Error::other(format!("{}: {error}", file.display()))
                    })?;
                    frame.push(octet);
                }
            }
            fixtures.push(Self { name, note, frame });
        }
        fixtures.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(fixtures)
    }
}
