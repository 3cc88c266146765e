//! The zones of the check, and what is asked about them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::super::{Args, root};
use crate::{
    gen_zone,
    refereeing::{
        ask,
        contest::Side,
        data::ZoneData,
        peers::Zone,
        queries::{self, Query, Scope},
        sign::{Denial, sign},
    },
    strict::{Name, Record},
};

/// The arena of the sample zones as they are.
pub const UNSIGNED: &str = "plain";
/// Delegations in the zone that is made up.
const DELEGATIONS: usize = 100_000;

/// Zones that the three servers load together.
pub struct Arena {
    /// What the table calls it.
    pub name: &'static str,
    /// The zones.
    pub zones: Vec<Zone>,
    /// The apexes of those that NSD cannot load.
    pub unread_by_nsd: Vec<Name>,
    /// Which share of all queries, in hundredths, is drawn at random about them at least.
    share: usize,
    /// Whether everything that there is to ask is asked: for small zones.
    everything: bool,
}

impl Arena {
    /// Every arena; the zones are made and signed in `folder`.
    ///
    /// # Errors
    /// When a zone cannot be had or signed.
    pub fn all(args: &Args, folder: &Path) -> anyhow::Result<Vec<Self>> {
        let make = |name: &str| -> anyhow::Result<PathBuf> {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            Ok(folder)
        };
        let large = |name, zone| Self {
            name,
            zones: vec![zone],
            unread_by_nsd: Vec::new(),
            share: 30,
            everything: false,
        };
        let mut all = vec![
            large(root::NAME, root::unpack(args.zone.as_deref(), &make("root")?)?),
            large("tld", top_level(args, &make("tld")?)?),
        ];
        let samples = Zone::all_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../zones"))?;
        let samples: Vec<Zone> = samples
            .into_iter()
            .map(|zone| Ok(Zone { file: fs::canonicalize(&zone.file)?, ..zone }))
            .collect::<anyhow::Result<_>>()?;
        for (name, denial) in [
            (UNSIGNED, None),
            ("nsec", Some(Denial::Nsec)),
            ("nsec3", Some(Denial::Nsec3)),
            ("opt-out", Some(Denial::Nsec3OptOut)),
        ] {
            let folder = make(name)?;
            let zones = match denial {
                None => samples.clone(),
                Some(denial) => {
                    let readable = samples.iter().filter(|zone| Zone::is_signable(zone));
                    readable.map(|zone| sign(zone, denial, &folder)).collect::<Result<_, _>>()?
                }
            };
            let unread = |zone: &&Zone| denial.is_some_and(|denial| zone.is_beyond_nsd(denial));
            all.push(Self {
                name,
                unread_by_nsd: zones.iter().filter(unread).map(|zone| zone.apex.clone()).collect(),
                zones,
                share: 10,
                everything: true,
            });
        }
        Ok(all)
    }

    /// The apexes, in the order of the zones.
    pub fn apexes(&self) -> Vec<Name> {
        self.zones.iter().map(|zone| zone.apex.clone()).collect()
    }

    /// The zones that NSD can load.
    pub fn readable_by_nsd(&self) -> Vec<Zone> {
        let readable = |zone: &&Zone| !self.unread_by_nsd.contains(&zone.apex);
        self.zones.iter().filter(readable).cloned().collect()
    }

    /// What a peer has loaded.
    ///
    /// # Errors
    /// When it does not transfer a zone.
    pub fn transfer(&self, peer: &Side<'_>) -> anyhow::Result<Known> {
        let transfer = |zone: &Zone| peer.reach(|address| ask::transfer(address, &zone.apex));
        Ok(Known(self.zones.iter().map(transfer).collect::<Result<_, _>>()?))
    }

    /// The queries: everything about small zones, with and without DO, and a random draw.
    pub fn queries(&self, known: &Known, wanted: usize, seed: u64) -> Vec<Query> {
        let mut all = Vec::new();
        let draws = wanted * self.share / 100 / self.zones.len();
        for (number, (zone, records)) in self.zones.iter().zip(&known.0).enumerate() {
            let seed = seed.wrapping_mul(31).wrapping_add(number as u64);
            if self.everything {
                all.extend(queries::everything(&zone.apex, records, seed, true));
                all.extend(queries::everything(&zone.apex, records, seed, false));
            }
            let names = queries::names(&zone.apex, records);
            all.extend(queries::draw(&zone.apex, &names, draws, seed, Scope::Full));
        }
        all
    }
}

/// The records of an arena's zones, in the order of the zones.
pub struct Known(Vec<Vec<Record>>);

impl Known {
    /// How many there are.
    pub fn records(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The owners of records of a type.
    pub fn owners_of(&self, rtype: u16) -> impl Iterator<Item = &Name> {
        let records = self.0.iter().flatten().filter(move |record| record.rtype == rtype);
        records.map(|record| &record.owner)
    }

    /// What the judge looks up.
    pub fn data(self) -> Vec<ZoneData> {
        self.0.into_iter().map(|records| records.into_iter().collect()).collect()
    }
}

/// A zone shaped like a TLD's, signed with ECDSA and NSEC3 with opt-out.
fn top_level(args: &Args, folder: &Path) -> anyhow::Result<Zone> {
    let file = folder.join("tld.zone");
    gen_zone::generate(&gen_zone::Args {
        names: DELEGATIONS,
        signed: Some(gen_zone::Signed::Nsec3Optout),
        seed: args.seed,
        apex: "lac.".into(),
        out: file.clone(),
        queries: None,
        count: 0,
    })?;
    Ok(Zone { apex: Name::from_text("lac.")?, file })
}
