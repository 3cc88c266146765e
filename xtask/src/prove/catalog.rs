//! A thousand zones that a catalog names and then drops (RFC 9432): how long until they are served by the
//! node that follows it, and until they are gone. Asked over the wire, where the kernel answers.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::{Args, Outcome, servers};
use crate::{
    cleanup::Scratch,
    daemon::Daemon,
    net::{CLIENT, Pair, SERVER, SERVER_INTERFACE},
    refereeing::ask,
};

/// Zones, and how long they may take to be served, and to be gone.
const ZONES: usize = 1000;
const SERVED: Duration = Duration::from_secs(30);
const GONE: Duration = Duration::from_secs(5);
/// How long is waited for what takes too long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The check.
///
/// # Errors
/// When a daemon cannot be started or asked.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let scratch = Scratch::create()?;
    let program = servers::program(args)?;
    let pair = Pair::create()?;
    let folder = |name: &str| -> anyhow::Result<_> {
        let folder = scratch.path().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    };
    let (above, below) = (folder("distributor")?, folder("follower")?);
    fs::write(
        above.join("zone"),
        "$TTL 3600\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\nwww A \
         192.0.2.80\n",
    )?;
    let list = |listed: bool| fs::write(above.join("r.toml"), distributor(listed));
    list(false)?;
    fs::write(below.join("r.toml"), follower())?;
    let start = |namespace, folder: &Path| {
        Daemon::start(namespace, &program, &folder.join("r.toml"), folder, PATIENCE)
    };
    let distributor = start(&pair.client, &above)?;
    let node = start(&pair.server, &below)?;
    let change = |listed: bool, wanted: Answer| -> anyhow::Result<Duration> {
        list(listed)?;
        let begun = Instant::now();
        // SAFETY: no memory is involved; the child has not been waited for, so its id is its own.
        unsafe { libc::kill(distributor.process() as i32, libc::SIGHUP) };
        pair.client.enter(|| until_all(wanted, begun))??;
        Ok(begun.elapsed())
    };
    let served = change(true, Answer::Served).with_context(|| node.log_tail())?;
    println!("{ZONES} zones served after {:.2} s", served.as_secs_f64());
    let status = node.status()?;
    let positive = |hook| servers::counters(&status, hook)["replies"]["positive"].clone();
    let answered = |hook| positive(hook).as_u64().unwrap_or(0);
    let by_kernel = answered("xdp") + answered("tc");
    let gone = change(false, Answer::Refused).with_context(|| node.log_tail())?;
    println!("gone after {:.2} s", gone.as_secs_f64());
    let figures = json!({
        "zones": ZONES,
        "served after seconds": served.as_secs_f64(),
        "gone after seconds": gone.as_secs_f64(),
        "answered by the kernel": by_kernel,
    });
    let holds = served <= SERVED && gone <= GONE && by_kernel >= ZONES as u64;
    Ok(Outcome { holds, figures })
}

/// What a zone is asked for until it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Served,
    Refused,
}

/// Asks for the SOA of every zone until each has answered as wanted.
fn until_all(wanted: Answer, begun: Instant) -> anyhow::Result<()> {
    let server = SocketAddr::new(SERVER[0], 53);
    let mut left: Vec<usize> = (0..ZONES).collect();
    while !left.is_empty() {
        if begun.elapsed() > PATIENCE {
            bail!("{} of {ZONES} zones do not answer as they should", left.len());
        }
        let mut still = Vec::new();
        for number in left {
            let reply = ask::exchange_datagram(server, &query(number))?.unwrap_or_default();
            let is = |rcode: u8| reply.len() > 12 && reply[3] & 15 == rcode;
            let right = match wanted {
                Answer::Served => is(0) && reply[7] == 1,
                Answer::Refused => is(5),
            };
            if !right {
                still.push(number);
            }
        }
        left = still;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("member{number:04}.test.")
}

fn query(number: usize) -> Vec<u8> {
    let [high, low] = (number as u16).to_be_bytes();
    let mut message = vec![high, low, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name(number).split_terminator('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend([0, 0, 6, 0, 1]);
    message
}

fn distributor(listed: bool) -> String {
    let (here, node) = (CLIENT[0], SERVER[0]);
    let catalog = if listed { "catalog = \"catalog.test.\"\n" } else { "" };
    let mut text = format!(
        "[node]\nstate = \"state\"\n[listen]\naddresses = [\"{here}\"]\n[xdp]\nmode = \"off\"\n[transfer]\n\
         source = [\"{here}\"]\n[[zone]]\nname = \"catalog.test.\"\nproduce-catalog = true\ntransfer-to = [{{ \
         address = \"{node}\" }}]\nnotify-to = [{{ address = \"{node}\" }}]\n"
    );
    for number in 0..ZONES {
        let name = name(number);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[[zone]]\nname = \"{name}\"\nfile = \"zone\"\n{catalog}transfer-to = [{{ address = \
             \"{node}\" }}]\n"
        );
    }
    text
}

fn follower() -> String {
    let (here, above) = (SERVER[0], CLIENT[0]);
    let primaries = format!("primaries = [{{ address = \"{above}\" }}]\n");
    format!(
        "[node]\nstate = \"state\"\n[listen]\naddresses = [\"{here}\"]\n[xdp]\nmode = \"native\"\ninterfaces = \
         [\"{SERVER_INTERFACE}\"]\n[transfer]\nsource = [\"{here}\"]\n[[template]]\nname = \"member\"\n\
         {primaries}[[zone]]\nname = \"catalog.test.\"\n{primaries}members = \"member\"\nmax-removal = 100\n"
    )
}
