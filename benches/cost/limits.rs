//! What the limits add to a reply, where nobody is over a rate: sources all over, each with a line of its own.

use std::sync::Arc;

use responder::{
    dataplane::trial::HookPoint,
    limits::RateLimit,
    store::{Store, limiter::Settings},
};
use responder_common::limit::{TICK, switch};
use serde_json::{Value, json};

use crate::{
    Bench,
    classes::{CLASSES, Edns},
    feed::{QUERIES, Target},
    packet::Headers,
    silence::Silence,
};

/// Resolvers' networks, as `prove limit-cost` has them: each /24 far below its rate, and each /16.
const NETWORKS: u32 = 60_000;
const STRIDE: u32 = 7 << 8;
const FIRST: u32 = 16 << 24;
/// Asked for, with DO.
const ASKED: [&str; 2] = ["insecure referral, opt-out proof", "NXDOMAIN, NSEC3 opt-out"];
/// Off and on in turns, so often: a machine is slower at one moment than at another.
const ROUNDS: usize = 41;

/// The rates of a configuration that only switches limits on.
fn settings(switches: u32) -> Settings {
    let limits = RateLimit::default();
    Settings {
        switches,
        rates: limits.rates,
        burst: (limits.burst.as_nanos() / u128::from(TICK)) as u32,
        slip: limits.slip,
        octets: limits.octets,
        octets_wide: limits.octets_wide,
        ipv4_prefix: limits.ipv4_prefix,
        ipv6_prefix: limits.ipv6_prefix,
        ipv4_prefix_wide: limits.ipv4_prefix_wide,
        ipv6_prefix_wide: limits.ipv6_prefix_wide,
        passed_per_source: 0,
        passed: 0,
    }
}

impl Bench {
    /// Cold replies in XDP without limits and with them.
    pub fn limits(
        &mut self,
        store: &Arc<Store>,
        silence: &mut Silence,
    ) -> anyhow::Result<Vec<Value>> {
        println!("\n{:<34}{:>9}{:>9}{:>9}", "ns, XDP cold, 60,000 networks", "off", "on", "more");
        let mut rows = Vec::new();
        for class in CLASSES.iter().filter(|class| ASKED.contains(&class.label)) {
            silence.begin()?;
            let messages = self.zones.messages(class.names, class.qtype, Edns::Do, QUERIES)?;
            let frames: Vec<Vec<u8>> = messages
                .iter()
                .zip(0_u32..)
                .map(|(query, number)| {
                    // In an order that no prefetcher follows.
                    let network = number.wrapping_mul(0x9e37_79b1) >> 8;
                    let address = FIRST + network % NETWORKS * STRIDE + (number & 0xff);
                    let source = address.to_be_bytes().to_vec();
                    Headers { source, ..Headers::v4() }.frame(query)
                })
                .collect();
            self.feed.fill(&frames)?;
            let (empty, _) = self.feed.time(HookPoint::Xdp, Target::Empty)?;
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                let mut round = [0.0; 2];
                for (time, switches) in round.iter_mut().zip([0, switch::REPLIES | switch::ENFORCE])
                {
                    store.set_limits(&settings(switches));
                    let before = self.counted(HookPoint::Xdp, class.verdict);
                    let (whole, runs) =
                        self.feed.time_once(HookPoint::Xdp, Target::Responder(&self.plane))?;
                    let answered = self.counted(HookPoint::Xdp, class.verdict) - before;
                    anyhow::ensure!(answered == runs, "{answered} of {runs} runs are not limited");
                    *time = whole - empty;
                }
                rounds.push(round);
            }
            let more = |round: &[f64; 2]| round[1] - round[0];
            rounds.sort_by(|one, other| more(one).total_cmp(&more(other)));
            let [off, on] = rounds[ROUNDS / 2];
            println!("{:<34}{off:>9}{on:>9}{:>9}", class.label, on - off);
            rows.push(json!({ "class": class.label, "off": off, "on": on, "rounds": rounds }));
        }
        store.set_limits(&settings(0));
        Ok(rows)
    }
}
