//! What speaks BGP for a node: BIRD, FRR or ExaBGP, configured as `examples/cloud/` shows.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::{
    addresses::{self, CLOUD_AS, Segment},
    bird,
    examples::fill,
    topology::{Node, Routing},
    world::{UP, World},
};
use crate::process::{self, Running};

const BIRD: &str = include_str!("../../../examples/cloud/bird/bird.conf");
const BIRD_SERVICE: &str = include_str!("../../../examples/cloud/bird/service.toml");
const FRR: &str = include_str!("../../../examples/cloud/frr/frr.conf");
const FRR_SERVICE: &str = include_str!("../../../examples/cloud/frr/service.toml");
const EXABGP: &str = include_str!("../../../examples/cloud/exabgp/exabgp.conf");
const EXABGP_BFD: &str = include_str!("../../../examples/cloud/exabgp/bfd.conf");
const EXABGP_SERVICE: &str = include_str!("../../../examples/cloud/exabgp/service.toml");
/// Where Debian has FRR's daemons.
const FRR_FOLDER: &str = "/usr/lib/frr";

/// The service's part of a node's configuration.
///
/// # Errors
/// When the example does not say what is to be replaced.
pub fn service(routing: Routing, folder: &Path) -> anyhow::Result<String> {
    let path = |name: &str| folder.join(name).display().to_string();
    match routing {
        Routing::Bird => fill(
            BIRD_SERVICE,
            &[
                ("/run/bird/bird.ctl", &path(bird::SOCKET)),
                ("/run/responder/bird.conf", &path("run/bird.conf")),
            ],
        ),
        Routing::Frr => Ok(FRR_SERVICE.to_owned()),
        Routing::ExaBgp => fill(EXABGP_SERVICE, &[("/run/responder/exabgp", &path("run/exabgp"))]),
    }
}

/// Starts a node's routing daemons; `program` is what ExaBGP runs.
///
/// # Errors
/// When they cannot be configured or started.
pub fn start(
    world: &World,
    node: &Node,
    folder: &Path,
    program: &Path,
) -> anyhow::Result<Vec<Running>> {
    let number = world.topology.number(node.place);
    let [router, own] =
        addresses::segment(number, Segment::Node).map(|end| end.map(|address| address.to_string()));
    let (cloud, place) = (CLOUD_AS.to_string(), addresses::place_as(number).to_string());
    let values = [
        ("198.51.100.2", &own[0][..]),
        ("198.51.100.1", &router[0]),
        ("2001:db8:100::1", &router[1]),
        ("64512", &cloud),
        ("64601", &place),
    ];
    let with = |more: &[(&'static str, &str)], text: &str| {
        let values: Vec<(&str, &str)> =
            values.iter().copied().chain(more.iter().copied()).collect();
        fill(text, &values)
    };
    let space = world.space(node.id);
    let log = ("log syslog", "log stderr");
    let run = folder.join("run").display().to_string();
    match node.routing {
        Routing::Bird => {
            let config = folder.join("bird.conf");
            fs::write(&config, with(&[log, ("/run/responder", &run)], BIRD)?)?;
            Ok(vec![bird::start(space, &config, folder)?])
        }
        Routing::ExaBgp => {
            let bfd = folder.join("bfd.conf");
            let text = fill(
                EXABGP_BFD,
                &[
                    log,
                    ("198.51.100.2", &own[0]),
                    ("198.51.100.1", &router[0]),
                    ("2001:db8:100::1", &router[1]),
                    ("\"eth0\"", &format!("\"{UP}\"")),
                ],
            )?;
            fs::write(&bfd, text)?;
            let config = folder.join("exabgp.conf");
            let program = program.display().to_string();
            let more = [
                ("2001:db8:100::2", &own[1][..]),
                ("/usr/bin/responder", &program),
                ("/run/responder", &run),
            ];
            fs::write(&config, with(&more, EXABGP)?)?;
            let mut command = space.command("exabgp");
            let log = File::create(folder.join("exabgp.log"))?;
            command
                .arg(&config)
                // It runs as whoever started the laboratory, and without pipes of its own in /run.
                .env("exabgp_daemon_user", "root")
                .env("exabgp_daemon_drop", "false")
                .env("exabgp_api_cli", "false")
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log);
            process::hurry(&mut command);
            Ok(vec![bird::start(space, &bfd, folder)?, Running::start(&mut command)?])
        }
        Routing::Frr => {
            let config = folder.join("frr.conf");
            fs::write(&config, with(&[], FRR)?)?;
            frr(world, node, folder, &config)
        }
    }
}

/// FRR's daemons, each by itself, and then their common configuration.
fn frr(world: &World, node: &Node, folder: &Path, config: &Path) -> anyhow::Result<Vec<Running>> {
    let run = folder.join("frr");
    // Its sockets must not be there: a daemon would take a dead one for a living one.
    _ = fs::remove_dir_all(&run);
    fs::create_dir_all(&run)?;
    // It runs as a user of its own, who may come as far as here.
    process::output(Command::new("chown").arg("frr:frr").arg(&run))?;
    let empty = run.join("empty.conf");
    fs::write(&empty, "")?;
    let mut daemons = Vec::new();
    let space = world.space(node.id);
    for name in ["zebra", "bfdd", "bgpd"] {
        let log = File::create(folder.join(format!("{name}.log")))?;
        let mut command = space.command(Path::new(FRR_FOLDER).join(name));
        command
            .args(["--log", "stdout", "-f"])
            .arg(&empty)
            .arg("-i")
            .arg(run.join(format!("{name}.pid")))
            .arg("-z")
            .arg(run.join("zserv.api"))
            .arg("--vty_socket")
            .arg(&run)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        match name {
            "bfdd" => _ = command.arg("--bfdctl").arg(run.join("bfdd.sock")),
            "bgpd" => _ = command.args(["-p", "179"]),
            _ => {}
        }
        process::hurry(&mut command);
        daemons.push(Running::start(&mut command)?);
        let socket = run.join(format!("{name}.vty"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !socket.exists() {
            ensure!(Instant::now() < deadline, "{name} does not start: see its log in {run:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
    let mut vtysh = space.command("vtysh");
    process::output(vtysh.arg("--vty_socket").arg(&run).arg("-f").arg(config))?;
    Ok(daemons)
}
