//! The rules of master files, each as a test: RFC 1035, section 5, and what came after.

mod at_sign;
mod entries;
mod faults;
mod files;
mod pieces;
mod types;

use std::{fs, path::Path};

use responder::zone::{
    name,
    read::{Limits, ReadReport, read},
};
use tempfile::TempDir;

/// The beginning of most zones here: two lines.
const HEAD: &str = "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n";

/// Each record as `FILE:LINE OWNER TTL TYPE RDATA-IN-HEX`, and the report; or the error.
type Outcome = Result<(Vec<String>, ReadReport), String>;

/// A folder with files in it.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

/// Reads the zone `lac.` from the file `zone`; paths are told without the folder.
fn read_in(folder: &Path, limits: &Limits) -> Outcome {
    let mut records = Vec::new();
    let report = read(b"\x03lac\0", &folder.join("zone"), limits, &mut |record| {
        let rdata: String = record.rdata.iter().map(|octet| format!("{octet:02x}")).collect();
        let owner = name::to_text(record.owner);
        let (file, line) = (record.file, record.line);
        records.push(format!("{file}:{line} {owner} {} {} {rdata}", record.ttl, record.rtype));
        Ok(())
    });
    let path = format!("{}/", folder.display());
    match report {
        Ok(mut report) => {
            report.warnings.iter_mut().for_each(|warning| *warning = warning.replace(&path, ""));
            Ok((records, report))
        }
        Err(error) => Err(error.to_string().replace(&path, "")),
    }
}

/// Reads a zone of one file.
fn outcome(text: &str) -> Outcome {
    read_in(folder(&[("zone", text)]).path(), &Limits::default())
}

/// The records of a zone of one file that is read without a warning.
fn records(text: &str) -> Vec<String> {
    let (records, report) = outcome(text).expect(text);
    assert_eq!(report.warnings, [""; 0], "{text}");
    assert_eq!(report.records, records.len() as u64);
    assert_eq!(report.octets, text.len() as u64);
    records
}

/// The records that stand below [`HEAD`], without file and line.
fn body(text: &str) -> Vec<String> {
    let records = records(&format!("{HEAD}{text}"));
    let place = |record: &String| record.split_once(' ').map(|(_, rest)| rest.to_owned());
    records[1..].iter().filter_map(place).collect()
}

/// The error of a zone whose third line and those after are `text`.
fn refusal(text: &str) -> String {
    outcome(&format!("{HEAD}{text}")).expect_err(text)
}
