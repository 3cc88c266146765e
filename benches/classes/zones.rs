//! The zones of the benches, and queries about names anywhere in them.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use anyhow::{Context as _, anyhow};
use responder::{
    store::Store,
    zone::{self, read},
};

use super::{Cut, Edns, Names};
use crate::{packet, random::Random};

/// Zones in the folder of the bench, each `APEX.zone`: shaped like a TLD's.
const REGISTRIES: [&str; 4] = ["plain", "optout", "nsec3", "nsec"];
/// The zone that the bench makes itself.
const MIXED: &str = "mixed";

/// The loaded zones' names.
pub struct Zones {
    /// Groups of five names in the mixed zone.
    groups: usize,
    cuts: HashMap<(&'static str, Cut), Vec<Vec<u8>>>,
}

impl Zones {
    /// Loads every zone.
    ///
    /// # Errors
    /// When a file is missing or refused.
    pub fn load(store: &Store, folder: &Path, names: usize) -> anyhow::Result<Self> {
        let groups = names / 5;
        let mixed = folder.join(format!("{MIXED}.zone"));
        fs::write(&mixed, mixed_zone(groups)).with_context(|| mixed.display().to_string())?;
        for apex in REGISTRIES.into_iter().chain([MIXED]) {
            zone::load(store, apex, &folder.join(format!("{apex}.zone")))?;
        }
        let mut cuts = HashMap::new();
        for apex in REGISTRIES {
            let file = folder.join(format!("{apex}.zone"));
            for (kind, names) in delegations(apex, &file)? {
                cuts.insert((apex, kind), names);
            }
        }
        Ok(Self { groups, cuts })
    }

    /// So many messages, each a query about a name of its own, drawn at random.
    ///
    /// # Errors
    /// When there is no such name.
    pub fn messages(
        &self,
        names: Names,
        qtype: u16,
        edns: Edns,
        count: usize,
    ) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut random = Random::new(11);
        let edns = match edns {
            Edns::Off => None,
            Edns::On => Some((1232, false)),
            Edns::Do => Some((1232, true)),
        };
        let mut message =
            || Ok(packet::query(0x1234, &self.name(names, &mut random)?, qtype, edns));
        (0..count).map(|_| message()).collect()
    }

    fn name(&self, names: Names, random: &mut Random) -> anyhow::Result<Vec<u8>> {
        let wire = |text: &str| zone::name::from_text(text).map_err(|fault| anyhow!(fault));
        let mut cut = |apex, kind| {
            let names = self.cuts.get(&(apex, kind)).context("no such delegation")?;
            anyhow::Ok(random.choose(names).clone())
        };
        match names {
            Names::Elsewhere => wire(&format!("www.{:08x}.example", random.next() as u32)),
            Names::Mixed(kind) => wire(&format!("{kind}{:x}.{MIXED}", random.below(self.groups))),
            Names::Cut(apex, kind) => cut(apex, kind),
            Names::Below(apex, kind) => Ok([&b"\x03www"[..], &cut(apex, kind)?].concat()),
            // No label of a registry has such an end.
            Names::Absent(apex) => wire(&format!("{:010x}--0.{apex}", random.next() >> 24)),
        }
    }
}

/// Five names a group: an address, an alias of it, an alias of the alias, a wildcard, a DNAME onto the
/// parent of the wildcard.
fn mixed_zone(groups: usize) -> String {
    let mut text = format!(
        "$ORIGIN {MIXED}.\n$TTL 3600\n@ SOA ns.example. hostmaster.example. 1 7200 3600 1209600 900\n\
         @ NS ns.example.\n"
    );
    for number in 0..groups {
        let (high, low) = (number >> 8 & 255, number & 255);
        let _ = writeln!(
            text,
            "a{number:x} A 192.0.{high}.{low}\nb{number:x} CNAME a{number:x}\n\
             c{number:x} CNAME b{number:x}\n*.w{number:x} A 198.51.{high}.{low}\n\
             d{number:x} DNAME w{number:x}"
        );
    }
    text
}

/// The delegations of a zone file by kind.
fn delegations(apex: &str, file: &Path) -> anyhow::Result<HashMap<Cut, Vec<Vec<u8>>>> {
    let apex = zone::name::from_text(apex).map_err(|fault| anyhow!(fault))?;
    let (mut servers, mut secure) = (HashMap::new(), HashSet::new());
    read::read(&apex, file, &read::Limits::default(), &mut |record| {
        match record.rtype {
            2 if record.owner != apex => {
                let own = record.rdata.ends_with(record.owner);
                *servers.entry(record.owner.to_vec()).or_insert(false) |= own;
            }
            43 => _ = secure.insert(record.owner.to_vec()),
            _ => {}
        }
        Ok(())
    })?;
    let mut cuts: HashMap<Cut, Vec<Vec<u8>>> = HashMap::new();
    for (name, own) in servers {
        let kind = match (secure.contains(&name), own) {
            (true, _) => Cut::Secure,
            (false, true) => Cut::Glue,
            (false, false) => Cut::Hosted,
        };
        cuts.entry(kind).or_default().push(name);
    }
    cuts.values_mut().for_each(|names| names.sort_unstable()); // equal runs ask equal names
    Ok(cuts)
}
