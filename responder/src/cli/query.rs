//! `responder query`.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use domain::base::iana::Rtype;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name, RecordType, rdata::opt::EdnsOption},
};

use super::{ask::print, dig};
use crate::{
    answer::{Answerer, Outcome, Transport},
    config::{Config, ZoneSource, canonical_name},
    store::Store,
    zone,
};

/// The EDNS option that asks for the node's identity (RFC 5001).
const NSID: u16 = 3;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The name to ask for; it is absolute with or without a final dot.
    name: String,
    /// The record type, such as A, DS or TYPE65535.
    #[arg(value_name = "TYPE", default_value = "A")]
    record_type: String,
    /// Ask for signatures and proofs (DO).
    #[arg(long)]
    dnssec: bool,
    /// Ask as over TCP: the reply is not bounded by UDP's limits.
    #[arg(long)]
    tcp: bool,
    /// The EDNS size of the client in octets; 0 sends no EDNS.
    #[arg(long, value_name = "N", default_value_t = 1232)]
    bufsize: u16,
    /// Ask for the node's identity.
    #[arg(long)]
    nsid: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let (config, _) = Config::load(&arguments.config)?;
    let query = build(arguments)?.to_vec().context("the query cannot be written")?;
    let store = load(&config, &canonical(&arguments.name)?)?;
    let transport = if arguments.tcp { Transport::Tcp } else { Transport::Udp };
    let mut reply = Vec::new();
    match Answerer::new(store).answer(&query, transport, &mut reply) {
        Outcome::Reply => print(&dig::show(&reply, transport)?),
        Outcome::Drop => bail!("the engine drops this query: there is no reply"),
        Outcome::Pass => {
            bail!(
                "the engine leaves this query to the daemon: NOTIFY, transfers and signed queries"
            )
        }
    }
}

fn canonical(name: &str) -> Result<String> {
    canonical_name(name).map_err(|error| anyhow!("\"{name}\" is no domain name: {error}"))
}

fn build(arguments: &Arguments) -> Result<Message> {
    // Only parsed here: the query keeps the case in which it was asked.
    canonical(&arguments.name)?;
    let mut name = Name::from_ascii(&arguments.name)
        .map_err(|error| anyhow!("\"{}\" is no domain name: {error}", arguments.name))?;
    name.set_fqdn(true);
    let record_type = Rtype::from_str(&arguments.record_type.to_uppercase()).map_err(|_| {
        anyhow!(
            "\"{}\" is no record type: write its mnemonic, or TYPE and its number",
            arguments.record_type
        )
    })?;
    let query = Query::query(name, RecordType::from(record_type.to_int()));
    let id = std::process::id() as u16;
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(query);
    if arguments.bufsize == 0 {
        if arguments.dnssec || arguments.nsid {
            bail!("--dnssec and --nsid need EDNS: leave --bufsize 0 out");
        }
        return Ok(message);
    }
    let mut edns = Edns::new();
    edns.set_max_payload(arguments.bufsize).set_version(0).set_dnssec_ok(arguments.dnssec);
    if arguments.nsid {
        edns.options_mut().insert(EdnsOption::Unknown(NSID, Vec::new()));
    }
    message.set_edns(edns);
    Ok(message)
}

/// A store with those zones that can have a say in the answer: the ones at or above the name.
fn load(config: &Config, name: &str) -> Result<Arc<Store>> {
    let store = Store::in_memory(&config.store_options()).context("no memory for the store")?;
    for zone in config.zones.iter().filter(|zone| is_at_or_below(name, &zone.name)) {
        match &zone.source {
            ZoneSource::File(file) => {
                let loaded = zone::load(&store, &zone.name, file)?;
                for warning in loaded.warnings {
                    eprintln!("zone \"{}\": {warning}", zone.name);
                }
            }
            ZoneSource::Primaries(_) => eprintln!(
                "zone \"{}\" comes from primaries: only the running daemon has its data",
                zone.name
            ),
        }
    }
    Ok(Arc::new(store))
}

/// Whether a canonical name is at or below an apex.
fn is_at_or_below(name: &str, apex: &str) -> bool {
    if apex == "." {
        return true;
    }
    name.strip_suffix(apex).is_some_and(|rest| rest.is_empty() || ends_in_dot(rest))
}

/// Whether a text ends in a dot that separates labels, rather than in an escaped one.
fn ends_in_dot(text: &str) -> bool {
    text.strip_suffix('.').is_some_and(|rest| {
        let backslashes = rest.len() - rest.trim_end_matches('\\').len();
        backslashes.is_multiple_of(2)
    })
}

#[cfg(test)]
mod tests {
    use super::is_at_or_below;

    #[test]
    fn only_whole_labels_are_below() {
        assert!(is_at_or_below("www.lac.", "lac."));
        assert!(is_at_or_below("lac.", "lac."));
        assert!(is_at_or_below("lac.", "."));
        assert!(!is_at_or_below("black.", "lac."));
        assert!(!is_at_or_below("b\\.lac.", "lac."));
        assert!(is_at_or_below("b\\\\.lac.", "lac."));
        assert!(!is_at_or_below(".", "lac."));
    }
}
