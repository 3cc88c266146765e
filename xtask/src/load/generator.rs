//! The generators, run on the clients' side of a pair.

use std::{path::Path, thread};

use anyhow::Context as _;

use super::beside::Beside;
use crate::{
    net::{CLIENT_INTERFACE, Namespace, Pair, SERVER},
    process,
};

/// What `kxdpgun` counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Flood {
    /// Queries sent.
    pub queries: u64,
    /// Replies.
    pub replies: u64,
    /// Replies per second.
    pub rate: u64,
    /// Replies of a hundred queries sent, as it says it.
    pub share: String,
    /// Average octets of a reply, as it says it.
    pub size: String,
}

/// One run of `kxdpgun`: so many queries per second, if it can.
///
/// # Errors
/// When it is missing, or says something unknown.
pub fn kxdpgun(pair: &Pair, queries: &Path, rate: u32, seconds: u32) -> anyhow::Result<Flood> {
    pair.with_free_client_interface(|| run(&pair.client, 0, queries, rate, seconds))?
}

/// A run from each of the server's two clients at once, each on a processor of its own: so many queries per
/// second together. Each has its own queries.
///
/// # Errors
/// As [`kxdpgun`].
pub fn two_kxdpguns(
    pair: &Pair,
    beside: &Beside,
    queries: [&Path; 2],
    rate: u32,
    seconds: u32,
) -> anyhow::Result<Flood> {
    pair.with_free_client_interface(|| {
        thread::scope(|scope| {
            let other = scope.spawn(|| run(&beside.space, 1, queries[1], rate / 2, seconds));
            let one = run(&pair.client, 0, queries[0], rate / 2, seconds);
            let other = other.join().map_err(|_| anyhow::anyhow!("a generator's thread failed"))?;
            Ok(one?.and(&other?))
        })
    })?
}

/// Runs it on a client's side, on the processor of this number.
fn run(
    client: &Namespace,
    processor: usize,
    queries: &Path,
    rate: u32,
    seconds: u32,
) -> anyhow::Result<Flood> {
    let mut generator = client.command("kxdpgun");
    generator.args(["-t", &seconds.to_string(), "-Q", &rate.to_string()]);
    generator.args(["-F", &processor.to_string(), "-i"]).arg(queries).arg(SERVER[0].to_string());
    let output = process::tie(&mut generator).output();
    // It leaves its program attached.
    let mut ip = client.command("ip");
    process::output(ip.args(["link", "set", "dev", CLIENT_INTERFACE, "xdp", "off"]))?;
    let output = output.context("remedy: cargo xtask setup")?;
    // It says everything on the one or the other.
    let said = [output.stdout, output.stderr].concat();
    Flood::read(&String::from_utf8_lossy(&said))
}

impl Flood {
    /// This flood and one at the same time.
    fn and(self, other: &Self) -> Self {
        let (queries, replies) = (self.queries + other.queries, self.replies + other.replies);
        let share = format!("{}%", replies * 100 / queries.max(1));
        Self { queries, replies, rate: self.rate + other.rate, share, size: self.size }
    }

    fn read(said: &str) -> anyhow::Result<Self> {
        let line = |start: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(start));
            line.map(str::trim).with_context(|| format!("kxdpgun does not say {start:?}: {said}"))
        };
        // total replies:   6057348 (1211469 pps) (99%)
        let total = line("total replies:")?;
        let mut brackets = total.split('(');
        let mut number = || brackets.next().and_then(|text| text.split(' ').next()?.parse().ok());
        let (replies, rate) = (number(), number());
        let share = brackets.next().unwrap_or_default().trim_end_matches(')').to_owned();
        let queries = line("total queries:")?;
        let queries = queries.split(' ').next().and_then(|text| text.parse().ok());
        Ok(Self {
            queries: queries.context("kxdpgun does not say how many queries it sent")?,
            replies: replies.with_context(|| format!("no replies in {total:?}"))?,
            rate: rate.with_context(|| format!("no rate in {total:?}"))?,
            share,
            size: line("average DNS reply size:").unwrap_or_default().to_owned(),
        })
    }
}

/// Queries per second that `dnsperf` gets answered: 500 under way from 8 sockets of one thread. The
/// query file has a name and a type on each line.
///
/// # Errors
/// When it is missing, or says something unknown.
pub fn dnsperf(pair: &Pair, queries: &Path, dnssec_ok: bool, seconds: u32) -> anyhow::Result<u64> {
    let mut generator = pair.client.command("dnsperf");
    generator.args(["-s", &SERVER[0].to_string(), "-l", &seconds.to_string()]);
    generator.args(["-c", "8", "-T", "1", "-q", "500"]);
    if dnssec_ok {
        generator.args(["-e", "-D"]);
    }
    let said = process::output(generator.arg("-d").arg(queries))?;
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Queries per second:"));
    let rate = rate.and_then(|rate| rate.trim().parse::<f64>().ok());
    Ok(rate.with_context(|| format!("dnsperf tells no rate: {said}"))? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kxdpgun_is_understood() {
        let said = "using interface vc, XDP threads 1\ntotal queries:     100 (50 pps)\n\
                    total replies:     6057348 (1211469 pps) (99%)\n\
                    average DNS reply size: 91 B\n";
        let flood = Flood::read(said).expect("its own words");
        assert_eq!(flood.queries, 100);
        assert_eq!((flood.replies, flood.rate), (6_057_348, 1_211_469));
        assert_eq!((flood.share.as_str(), flood.size.as_str()), ("99%", "91 B"));
        assert!(Flood::read("using interface vc").is_err());
        let two = flood.clone().and(&Flood { queries: 300, replies: 200, rate: 100, ..flood });
        assert_eq!((two.queries, two.replies, two.rate), (400, 6_057_548, 1_211_569));
    }
}
