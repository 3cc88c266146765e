//! Query files as `kxdpgun` and `dnsperf` read them: a name, a type, and for kxdpgun a flag (`E` for
//! EDNS, `D` for EDNS with DO) on each line.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

/// Writes a query file line by line.
pub struct QueryFile {
    out: BufWriter<File>,
    flag: &'static str,
}

impl QueryFile {
    /// A new file; with `dnssec_ok` every line asks for DNSSEC data.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, dnssec_ok: bool) -> io::Result<Self> {
        let flag = if dnssec_ok { " D" } else { "" };
        Ok(Self { out: BufWriter::new(File::create(path)?), flag })
    }

    /// One more query.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn ask(&mut self, name: impl std::fmt::Display, rtype: &str) -> io::Result<()> {
        writeln!(self.out, "{name} {rtype}{}", self.flag)
    }

    /// Writes out what is held back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}
