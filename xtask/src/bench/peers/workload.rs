//! The zones and the queries that every server gets.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::ensure;

use crate::{
    bench::zones::{self, Wanted},
    gen_zone::Signed,
    prove::root,
    queries::QueryFile,
    refereeing::{peers::Zone, random::Random},
    strict::Name,
};

/// What is loaded and asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// 10,000 delegations, unsigned
    #[value(name = "10k")]
    TenThousand,
    /// 1,000,000 delegations, unsigned, names uniform
    #[value(name = "1m")]
    Million,
    /// The same, names by Zipf's law, as resolvers ask
    #[value(name = "1m-popular")]
    Popular,
    /// 10,000,000 delegations, unsigned, names uniform
    #[value(name = "10m")]
    TenMillion,
    /// 1,000,000 delegations, ECDSA and NSEC3 with opt-out, DO
    #[value(name = "1m-signed")]
    SignedMillion,
    /// 100,000 delegations, ECDSA and NSEC3 with opt-out, DO
    #[value(name = "100k-signed")]
    Signed,
    /// The real root zone, DO
    Root,
    /// The signed zone, every name random and absent, DO
    #[value(name = "nxdomain-signed")]
    Absent,
}

impl Workload {
    /// All of them that a machine with 8 GB of memory can hold beside every peer.
    pub const ALL: [Self; 5] =
        [Self::TenThousand, Self::Million, Self::Signed, Self::Absent, Self::Root];

    /// All that there are, in the order of reports.
    pub const EVERY: [Self; 8] = [
        Self::TenThousand,
        Self::Million,
        Self::Popular,
        Self::TenMillion,
        Self::SignedMillion,
        Self::Signed,
        Self::Absent,
        Self::Root,
    ];

    /// Its name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::TenThousand => "10,000 delegations, unsigned",
            Self::Million => "1,000,000 delegations, unsigned",
            Self::Popular => "1,000,000 delegations, unsigned, names by Zipf's law",
            Self::TenMillion => "10,000,000 delegations, unsigned",
            Self::SignedMillion => "1,000,000 delegations, ECDSA, NSEC3 opt-out, DO",
            Self::Signed => "100,000 delegations, ECDSA, NSEC3 opt-out, DO",
            Self::Root => "the root zone, DO",
            Self::Absent => "NXDOMAIN flood: 100,000 delegations, ECDSA, NSEC3 opt-out, DO",
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether the queries carry DO.
    pub fn dnssec_ok(self) -> bool {
        matches!(self, Self::Signed | Self::SignedMillion | Self::Root | Self::Absent)
    }

    /// Makes the zone and the queries, unless they are there from another time.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn prepare(self, root: Option<&Path>) -> anyhow::Result<Prepared> {
        let folder = zones::folder("peers")?;
        let registry = |name: &str, names, signed| -> anyhow::Result<Prepared> {
            let file = folder.join(format!("{name}.zone"));
            let queries = folder.join(format!("{name}.queries"));
            let wanted = Wanted { apex: "lac.", names, signed, count: QUERIES };
            zones::make(&wanted, &file, Some(&queries))?;
            let zone = Zone { apex: Name::from_text("lac.")?, file };
            Prepared::new(self, zone, queries)
        };
        let million = || registry("1m", 1_000_000, None);
        let signed = || registry("100k-signed", 100_000, Some(Signed::Nsec3Optout));
        match self {
            Self::TenThousand => registry("10k", 10_000, None),
            Self::Million => million(),
            Self::Popular => {
                let Prepared { zone, queries: uniform, .. } = million()?;
                let queries = folder.join("1m-popular.queries");
                zones::once(&queries, |begun| by_zipf(&uniform, begun))?;
                Prepared::new(self, zone, queries)
            }
            Self::TenMillion => registry("10m", 10_000_000, None),
            Self::SignedMillion => registry("1m-signed", 1_000_000, Some(Signed::Nsec3Optout)),
            Self::Signed => signed(),
            Self::Absent => {
                let wanted = Wanted { apex: "lac.", names: 0, signed: None, count: ABSENT };
                let queries = folder.join("absent.queries");
                zones::absent(&wanted, &queries)?;
                Prepared::new(self, signed()?.zone, queries)
            }
            Self::Root => {
                let zone = root::unpack(root, &folder)?;
                let queries = folder.join("root.queries");
                zones::once(&queries, |begun| ask_root(&zone.file, begun))?;
                Prepared::new(self, zone, queries)
            }
        }
    }
}

/// Queries in a file.
const QUERIES: usize = 200_000;
/// And where no name is to come twice soon.
const ABSENT: usize = 500_000;

/// What a workload needs.
pub struct Prepared {
    /// The zone.
    pub zone: Zone,
    /// Queries as kxdpgun reads them.
    pub queries: PathBuf,
    /// The same as dnsperf reads them: without flags.
    pub plain: PathBuf,
    /// Whether they carry DO.
    pub dnssec_ok: bool,
}

impl Prepared {
    fn new(workload: Workload, zone: Zone, queries: PathBuf) -> anyhow::Result<Self> {
        let plain = queries.with_extension("plain");
        zones::once(&plain, |begun| {
            let text = fs::read_to_string(&queries)?;
            Ok(fs::write(begun, text.replace(" D\n", "\n"))?)
        })?;
        Ok(Self { zone, queries, plain, dnssec_ok: workload.dnssec_ok() })
    }
}

/// Asks the queries of a file by Zipf's law: each as often as its place in the file is near the front.
fn by_zipf(uniform: &Path, file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(uniform)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut random = Random::new(7);
    let mut popular = String::with_capacity(text.len());
    for _ in 0..lines.len() {
        // The logarithm of a rank is spread evenly where its frequency is one by its number.
        let even = random.below(1 << 30) as f64 / f64::from(1 << 30);
        let rank = (lines.len() as f64).powf(even) as usize;
        popular.push_str(lines[rank.min(lines.len()) - 1]);
        popular.push('\n');
    }
    Ok(fs::write(file, popular)?)
}

/// A registry's mix for the root: 45 % delegated names, 30 % below them, 20 % names that are not there,
/// and of the rest the apex and DS.
fn ask_root(zone: &Path, file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(zone)?;
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [owner, _, _, "NS", ..] if owner != "." => Some(owner),
            _ => None,
        })
        .collect();
    names.dedup();
    ensure!(names.len() > 1000, "only {} delegations in the root zone", names.len());
    let mut random = Random::new(7);
    let mut out = QueryFile::create(file, true)?;
    for _ in 0..QUERIES {
        let name = random.choose(&names).to_string();
        match random.below(100) {
            0..30 => out.ask(name, "A")?,
            30..45 => out.ask(name, "AAAA")?,
            45..65 => out.ask(format_args!("www.{name}"), "A")?,
            65..75 => out.ask(format_args!("www.{name}"), "AAAA")?,
            75..95 => out.ask(format_args!("{:010x}--0.", random.next() >> 24), "A")?,
            95..97 => out.ask(".", "NS")?,
            97 => out.ask(".", "SOA")?,
            _ => out.ask(name, "DS")?,
        }
    }
    Ok(out.finish()?)
}
