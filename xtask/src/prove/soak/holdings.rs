//! What a daemon holds: memory, descriptors, programs, maps and links of the kernel.

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::process;

/// How long the kernel may take to free what nobody holds.
const FREED: Duration = Duration::from_secs(10);

/// At one moment.
#[derive(Debug, Clone)]
pub struct Holdings {
    /// Resident octets of the process, the store that it has looked at included.
    pub resident: u64,
    /// Those that are its own.
    pub private: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Numbers of the kernel's maps that it, its programs and its pins hold.
    pub maps: BTreeSet<u64>,
    /// The memory of those, in octets.
    pub map_octets: u64,
    /// Numbers of the programs.
    pub programs: BTreeSet<u64>,
    /// Numbers of the links.
    pub links: BTreeSet<u64>,
    /// Files in the folder of the pins, where something is pinned.
    pub pins: Option<u64>,
}

impl Holdings {
    /// Of a process and its folder of pins, if it has one.
    ///
    /// # Errors
    /// When the process is gone, or bpftool says something unknown.
    pub fn of(process: u32, pins: Option<&Path>) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let octets = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kibibytes =
                line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            Ok(kibibytes.with_context(|| format!("/proc/…/status has no {name}"))? * 1024)
        };
        let mut held = Self {
            resident: octets("VmRSS")?,
            private: octets("RssAnon")?,
            descriptors: 0,
            maps: BTreeSet::new(),
            map_octets: 0,
            programs: BTreeSet::new(),
            links: BTreeSet::new(),
            pins: pins.map(count).transpose()?,
        };
        for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
            held.descriptors += 1;
            // One may be closed meanwhile.
            let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
            for line in text.lines() {
                let Some((key, number)) = line.split_once(':') else { continue };
                let Ok(number) = number.trim().parse() else { continue };
                _ = match key {
                    "map_id" => held.maps.insert(number),
                    "prog_id" => held.programs.insert(number),
                    "link_id" => held.links.insert(number),
                    _ => false,
                };
            }
        }
        let used = objects("prog")?;
        let used = used.iter().filter(|program| held.programs.contains(&id(program)));
        held.maps.extend(used.flat_map(|program| {
            let maps = program["map_ids"].as_array().into_iter().flatten();
            maps.filter_map(Value::as_u64)
        }));
        let maps = objects("map")?;
        let maps = maps.iter().filter(|map| held.maps.contains(&id(map)));
        held.map_octets = maps.map(|map| map["bytes_memlock"].as_u64().unwrap_or(0)).sum();
        Ok(held)
    }

    /// For the report.
    pub fn figures(&self) -> Value {
        json!({
            "resident octets": self.resident,
            "private octets": self.private,
            "descriptors": self.descriptors,
            "maps": self.maps.len(),
            "octets of maps": self.map_octets,
            "programs": self.programs.len(),
            "links": self.links.len(),
            "pins": self.pins,
        })
    }
}

impl std::fmt::Display for Holdings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mebibytes = |octets: u64| octets as f64 / f64::from(1 << 20);
        write!(
            f,
            "resident {:.1} MiB, private {:.1}, {} descriptors, {} maps of {:.0} MiB, {} programs, {} \
             links, {} pins",
            mebibytes(self.resident),
            mebibytes(self.private),
            self.descriptors,
            self.maps.len(),
            mebibytes(self.map_octets),
            self.programs.len(),
            self.links.len(),
            self.pins.unwrap_or(0)
        )
    }
}

/// Kernel objects of all daemons so far, by kind and number. Numbers are not given out again.
#[derive(Debug, Default)]
pub struct Seen(BTreeSet<(&'static str, u64)>);

impl Seen {
    /// Notes what a daemon holds.
    pub fn add(&mut self, held: &Holdings) {
        for (kind, numbers) in
            [("map", &held.maps), ("prog", &held.programs), ("link", &held.links)]
        {
            self.0.extend(numbers.iter().map(|number| (kind, *number)));
        }
    }

    /// How many of them are there still, when the kernel has had time to free them.
    ///
    /// # Errors
    /// When bpftool says something unknown.
    pub fn left(&self) -> anyhow::Result<usize> {
        let deadline = Instant::now() + FREED;
        loop {
            let left = self.now()?;
            if left == 0 || Instant::now() > deadline {
                return Ok(left);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn now(&self) -> anyhow::Result<usize> {
        let mut left = 0;
        for kind in ["map", "prog", "link"] {
            let now = objects(kind)?;
            left += now.iter().filter(|object| self.0.contains(&(kind, id(object)))).count();
        }
        Ok(left)
    }
}

fn objects(kind: &str) -> anyhow::Result<Vec<Value>> {
    let text = process::output(std::process::Command::new("bpftool").args(["-j", kind, "show"]))?;
    Ok(serde_json::from_str(&text)?)
}

fn id(object: &Value) -> u64 {
    object["id"].as_u64().unwrap_or(0)
}

/// Files below a folder.
fn count(folder: &Path) -> io::Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}
