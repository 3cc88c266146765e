//! The queries of a file as frames.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use anyhow::{Context as _, ensure};

use crate::{
    net::{CLIENT, CLIENT_INTERFACE, Pair, SERVER, SERVER_INTERFACE},
    packet::{self, Headers},
    strict::{self, Name},
};

/// Octets of a query's frame, at the most.
pub(super) const OCTETS: usize = 254;

/// A query as `frames.c` has it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Query {
    pub(super) length: u16,
    octets: [u8; OCTETS],
}
// SAFETY: numbers without gaps.
unsafe impl aya::Pod for Query {}

/// The queries of a file as frames, from many ports.
pub(super) fn queries(pair: &Pair, file: &Path) -> anyhow::Result<Vec<Query>> {
    let hardware =
        [pair.server.hardware(SERVER_INTERFACE)?, pair.client.hardware(CLIENT_INTERFACE)?];
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut queries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let frame = frame(number, line)
            .with_context(|| format!("{}, line {}: {line:?}", file.display(), number + 1))?;
        ensure!(frame.len() <= OCTETS, "{} octets are too many: {line:?}", frame.len());
        let mut query = Query { length: frame.len() as u16, octets: [0; OCTETS] };
        query.octets[..frame.len()].copy_from_slice(&frame);
        query.octets[..12].copy_from_slice(hardware.as_flattened());
        queries.push(query);
    }
    ensure!(!queries.is_empty(), "no queries in {}", file.display());
    Ok(queries)
}

/// A line, as kxdpgun reads it: name, type, and perhaps how EDNS is asked with.
fn frame(number: usize, line: &str) -> anyhow::Result<Vec<u8>> {
    let mut words = line.split_whitespace();
    let (name, kind) = words.next().zip(words.next()).context("a name and a type")?;
    let edns = match words.next() {
        Some("D") => Some((1232, true)),
        Some("E") => Some((1232, false)),
        _ => None,
    };
    let number_of_type = strict::type_number(kind).context("an unknown type")?;
    let name = Name::from_text(name)?;
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => Ipv4Addr::octets(&address).to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let headers = Headers {
        source: octets(CLIENT[0]),
        destination: octets(SERVER[0]),
        source_port: 2000 + (number % 60_000) as u16,
        ..Headers::v4()
    };
    Ok(headers.frame(&packet::query(number as u16, name.wire(), number_of_type, edns)))
}
