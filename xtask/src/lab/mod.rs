//! `cargo xtask lab`: the anycast cloud on one machine, with a script of what may befall it.

mod addresses;
mod bird;
mod daemons;
mod examples;
mod load;
mod primary;
mod router;
mod topology;
mod world;
mod zones;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    cleanup::{self, Scratch},
    daemon,
};

/// The anycast cloud in namespaces, and what may befall it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Says which steps there are
    #[arg(long)]
    list: bool,
    /// The responder program to judge [default: it is built]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// The command.
///
/// # Errors
/// When it cannot be built, or a step fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    cleanup::sweep();
    let program = match &args.program {
        Some(program) => {
            std::fs::canonicalize(program).with_context(|| program.display().to_string())?
        }
        None => daemon::build()?,
    };
    let scratch = Scratch::create()?;
    let bpffs = scratch.mount_bpffs()?;
    let start = std::time::Instant::now();
    let world = world::World::create(&topology::WORLD, scratch.path())?;
    println!("{:?}", start.elapsed());
    let t = world.topology;
    let mut primaries = vec![];
    for (i, p) in t.primaries.iter().enumerate() {
        let role = world::primary(i);
        primaries.push(
            primary::Server::start(&primary::Plan {
                primary: p,
                addresses: addresses::of(t.number(p.place), addresses::Segment::Primary),
                distributors: &daemons::distributors(t),
                space: world.space(&role),
                folder: &world.folder(&role)?,
            })
            .with_context(|| role)?,
        );
    }
    let mut dists = vec![];
    for i in 0..2 {
        let mut d = daemons::Distributor::prepare(&world, i, &program)?;
        d.start(&world)?;
        dists.push(d);
    }
    println!("distributors {:?}", start.elapsed());
    let mut nodes = vec![];
    for n in t.nodes.iter().filter(|n| !n.joins_later) {
        let mut h = daemons::NodeHome::prepare(&world, n, &program, &bpffs)?;
        h.start(&world)?;
        h.start_routing(&world)?;
        nodes.push(h);
        println!("{} {:?}", n.id, start.elapsed());
    }
    world.await_routes(Duration::from_secs(30))?;
    println!("{:?}", start.elapsed());
    let zones: Vec<_> = t.zones().collect();
    let load = load::Load::start(&world, &zones)?;
    for _ in 0..10 {
        let a = Instant::now();
        thread::sleep(Duration::from_secs(2));
        let q = load.between(a - Duration::from_secs(1), a);
        let mut m: BTreeMap<(&str, u8), (usize, usize, usize)> = BTreeMap::new();
        let mut who: BTreeMap<(&str, u8, &str), usize> = BTreeMap::new();
        for q in &q {
            let e = m.entry((t.places[q.place as usize].code, q.family)).or_default();
            e.0 += 1;
            if q.is_lost() {
                e.1 += 1
            } else {
                *who.entry((
                    t.places[q.place as usize].code,
                    q.family,
                    t.nodes[q.node as usize].id,
                ))
                .or_default() += 1
            }
            if q.rcode != 0 {
                e.2 += 1
            }
        }
        println!("{:?} {m:?}\n{who:?}", load.take_worst_stall());
    }
    if std::env::var_os("HOLD").is_some() {
        thread::sleep(Duration::from_secs(3600));
    }
    Ok(())
}
