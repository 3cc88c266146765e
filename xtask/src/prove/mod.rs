//! `cargo xtask prove`: the long checks behind our claims. Each writes its figures as JSON and fails
//! if its claim does not hold.

mod atomic;
mod catalog;
pub mod clock;
mod crash_commit;
mod ferret;
mod fuzz;
mod interfaces;
mod ixfr_million;
mod kill;
mod kill_anywhere;
mod limits;
mod load;
mod million;
mod off_equal;
pub mod root;
mod root_nsd;
pub mod servers;
mod soak;
mod systemd;
mod transfers;
mod trial;
mod validate;

pub use ferret::is_here as ferret_is_here;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// The long checks; each writes its figures as JSON.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which check
    #[arg(required_unless_present = "list")]
    pub name: Option<String>,
    /// Says which checks there are
    #[arg(long)]
    pub list: bool,
    /// Where the figures go [default: target/prove/NAME.json]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The signed root zone to ask about (may be gzipped) [default: the one beside the repository]
    #[arg(long, value_name = "FILE")]
    pub zone: Option<PathBuf>,
    /// How many queries [default: 10,000,000 for atomic, 1,000,000 for million, 100,000 for validate, else
    /// 200,000]
    #[arg(long)]
    pub count: Option<usize>,
    /// The conformance cases (may be gzipped) [default: those beside the repository]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How many packets `fuzz` makes
    #[arg(long, default_value_t = 20_000_000)]
    pub packets: u64,
    /// Equal seeds ask equal queries
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The responder program to judge [default: it is built]
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// A responder program with a store of another layout, for `kill` [default: it is built]
    #[arg(long, value_name = "FILE")]
    pub other_program: Option<PathBuf>,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 5)]
    pub seconds: u32,
    /// Queries per second that the generator attempts
    #[arg(long, default_value_t = 1_500_000)]
    pub rate: u32,
    /// Over how many links the queries of `load-10k` and `load-signed-nxdomain` come, one or two [default: one,
    /// and for the latter two]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub links: Option<u8>,
    /// How often each load, and each change of `ixfr-million`, is repeated; the median counts
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// How long `soak` lasts, in minutes [default: 15]
    #[arg(long)]
    pub minutes: Option<f64>,
}

impl Args {
    /// Where the figures of a check go.
    pub fn file(&self, name: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            root.join("target/prove").join(format!("{name}.json"))
        })
    }
}

/// What a check found.
pub struct Outcome {
    /// Whether the claim holds.
    pub holds: bool,
    /// The figures.
    pub figures: Value,
}

struct Check {
    name: &'static str,
    claim: &'static str,
    run: fn(&Args) -> anyhow::Result<Outcome>,
}

const CHECKS: &[Check] = &[
    Check {
        name: "root-nsd",
        claim: "the real root zone is answered as NSD answers it, 99 % and more in the kernel",
        run: root_nsd::run,
    },
    Check {
        name: "off-equal",
        claim: "with xdp.mode = \"off\" the same queries give the same octets",
        run: off_equal::run,
    },
    Check {
        name: "fuzz",
        claim: "mutated packets: the kernel's verdicts, octets and counters are the host engine's",
        run: fuzz::run,
    },
    Check {
        name: "million",
        claim: "a million replies about signed zones are NSD's or Knot's or in the table of our rules, \
                all from the kernel",
        run: million::run,
    },
    Check {
        name: "ferret",
        claim: "3,178 recorded cases: what all servers say, or what one says, in every mode",
        run: ferret::run,
    },
    Check {
        name: "validate",
        claim: "a validating resolver finds our signed replies secure or insecure as they should be",
        run: validate::run,
    },
    Check {
        name: "atomic",
        claim: "10,000 commits back to back under a flood: 10,000,000 answers, each of one version, none \
                older than one seen before, none lost; memory does not grow",
        run: atomic::run,
    },
    Check {
        name: "crash-commit",
        claim: "300 writers and 300 daemons killed at random moments of a commit: the programs show one \
                version whole, and a daemon that starts again the last one",
        run: crash_commit::run,
    },
    Check {
        name: "catalog",
        claim: "1,000 zones of a catalog are served within 30 s of being named, and gone within 5 s of \
                being dropped",
        run: catalog::run,
    },
    Check {
        name: "kill",
        claim: "kill -9, restart, stop with keep, upgrade and downgrade across another layout, under a \
                steady load: no answer lost; a restart goes on with the store and is ready within a \
                second; after the lease the kernel passes everything; stop with detach leaves nothing",
        run: kill::run,
    },
    Check {
        name: "kill-anywhere",
        claim: "1,000 kills at random moments of start, load, commit, transfer and stop, 200 with the disk \
                full and 200 with files of the state cut short: every start is clean, serves whole \
                versions, none older than one that was seen, and fetches anew what was damaged",
        run: kill_anywhere::run,
    },
    Check {
        name: "clock",
        claim: "the wall clock is set a year on and back: neither the lease nor a zone's expiry heeds it; both \
                end when they should, with nobody but the kernel there",
        run: clock::run,
    },
    Check {
        name: "soak",
        claim: "floods, reloads, transfers, kills and restarts for 15 minutes: the verdicts are as many as \
                the interface's packets, exactly; memory, descriptors and kernel objects do not grow",
        run: soak::run,
    },
    Check {
        name: "systemd",
        claim: "the package under a systemd of its own, as another user: killed, restarted, reloaded, frozen \
                until the watchdog acts, no answer is lost; stopped, it leaves nothing attached",
        run: systemd::run,
    },
    Check {
        name: "interfaces",
        claim: "an interface that is pulled and put back, gets another MTU, goes down and up: XDP answers \
                again by itself, each event is one line of the log",
        run: interfaces::run,
    },
    Check {
        name: "kill-million",
        claim: "the same with a million delegations, the lease left out",
        run: kill::million,
    },
    Check {
        name: "kill-transfers",
        claim: "500 kills at random moments during transfers: every start serves a whole version, none \
                older than one that was seen",
        run: transfers::kill,
    },
    Check {
        name: "ixfr-root",
        claim: "real revisions of the root zone come from Knot as differences, and each is answered as NSD \
                answers it",
        run: transfers::root,
    },
    Check {
        name: "ixfr-million",
        claim: "a million delegations, 1,000 changed names by IXFR from Knot under a flood: in the replies \
                50 ms after the last octet, none lost, none mixed; and how long NSD and Knot take",
        run: ixfr_million::run,
    },
    Check {
        name: "reflection",
        claim: "floods from forged sources, in one /16 and in 200 networks /24, at three paces: no more octets \
                out than in after a second, while 1,000 resolvers, also those that share a network with \
                them, lose less than 0.1 %",
        run: limits::reflection,
    },
    Check {
        name: "limit-peers",
        claim: "the same floods against the limits of Knot, NSD and BIND: ours hold",
        run: limits::peers,
    },
    Check {
        name: "subdomain-flood",
        claim: "random absent names in a signed zone from everywhere: resolvers keep 99.9 % at 0.8 of the \
                capacity, and at the generator's limit the rate is within 10 % of its peak",
        run: limits::subdomain_flood,
    },
    Check {
        name: "limit-neighbours",
        claim: "100 resolvers in one /16 that together get more octets than octets-wide allows ask a tenth of \
                their questions twice, over TCP, and lose less than 0.1 %",
        run: limits::neighbours,
    },
    Check {
        name: "control-under-flood",
        claim: "while a flood of queries comes in that is more than the node can answer, or one of datagrams for \
                the daemon, a change at Knot is taken by NOTIFY and given to another Knot, a whole zone is \
                given out, each within 5 s, and BIRD's session with BFD (3 x 100 ms) stays",
        run: limits::control,
    },
    Check {
        name: "limit-cost",
        claim: "with limits on, a load of 60,000 networks of resolvers gets 0.93 of the replies per second and more",
        run: limits::cost,
    },
    Check {
        name: "limit-memory",
        claim: "100 million random sources leave the memory of the limits as it was",
        run: limits::memory,
    },
    Check {
        name: "load-10k",
        claim: "10,000 delegations: 0.65 of a bare reflector's rate, 2.5 times the best peer's",
        run: load::mixed,
    },
    Check {
        name: "load-signed-nxdomain",
        claim: "random absent names, DO, 100,000 delegations signed with NSEC3, over two links: 0.40 of \
                a bare reflector's rate, 3 times the best peer's",
        run: load::signed_nxdomain,
    },
    Check {
        name: "load-signed-nxdomain-frames",
        claim: "the same by a generator that hardly takes time, in frames with room: 3 times the best \
                peer's rate, 0.15 of a bare reflector's",
        run: load::signed_nxdomain_frames,
    },
];

/// The command.
///
/// # Errors
/// When there is no such check, it cannot be run, or its claim does not hold.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        for Check { name, claim, .. } in CHECKS {
            println!("{name:20} {claim}");
        }
        return Ok(());
    }
    let name = args.name.as_deref().context("clap asks for a name")?;
    let Some(check) = CHECKS.iter().find(|check| check.name == name) else {
        let names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        bail!("there is no check {name:?}; there are: {}", names.join(", "));
    };
    println!("{name}: {}", check.claim);
    let start = Instant::now();
    let outcome = (check.run)(args)?;
    let report = json!({
        "name": check.name,
        "claim": check.claim,
        "holds": outcome.holds,
        "seconds": start.elapsed().as_secs_f64().round(),
        "at": SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        "figures": outcome.figures,
    });
    let file = args.file(name);
    let context = || file.display().to_string();
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(context)?;
    }
    fs::write(&file, serde_json::to_string_pretty(&report)? + "\n").with_context(context)?;
    println!("{}", serde_json::to_string_pretty(&report["figures"])?);
    println!("figures: {}", file.display());
    if !outcome.holds {
        bail!("{name}: the claim does not hold (see above)");
    }
    println!("{name}: holds");
    Ok(())
}
