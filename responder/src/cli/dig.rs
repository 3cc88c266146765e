//! A reply as dig prints it.
//!
//! The message as a whole is decoded by hickory-proto, which thereby judges it; the text of records
//! is domain's, which knows every type of a signed zone and writes it as a zone file would.

use std::fmt::Write;

use anyhow::{Context, Result, anyhow};
use domain::{
    base::{
        Message as Octets, ParsedRecord, Rtype,
        message::RecordSection,
        zonefile_fmt::{DisplayKind, ZonefileFmt},
    },
    rdata::AllRecordData,
};
use hickory_proto::op::{Edns, Message};

use crate::answer::Transport;

/// Extended DNS errors that we send or may meet (RFC 8914 and its registry).
const EXTENDED_ERRORS: [(u16, &str); 4] =
    [(14, "Not Ready"), (20, "Not Authoritative"), (21, "Not Supported"), (24, "Invalid Data")];

/// The text of a reply.
///
/// # Errors
/// The reply is no DNS message: that is a fault of the engine.
pub(super) fn show(reply: &[u8], transport: Transport) -> Result<String> {
    let message = Message::from_vec(reply).context("the engine's reply cannot be read")?;
    let octets = Octets::from_octets(reply).map_err(|_| anyhow!("the engine's reply is short"))?;
    let mut text = String::new();
    write_header(&mut text, &message, &octets)?;
    if let Some(edns) = &message.edns {
        write_edns(&mut text, edns)?;
    }
    text += ";; QUESTION SECTION:\n";
    for question in octets.question() {
        let question = question?;
        let name = pad(&format!(";{}", with_dot(question.qname())), 32);
        writeln!(text, "{name}{}\t{}", question.qclass(), question.qtype())?;
    }
    let (_, answer, authority, additional) = octets.sections()?;
    write_section(&mut text, "ANSWER", answer)?;
    write_section(&mut text, "AUTHORITY", authority)?;
    write_section(&mut text, "ADDITIONAL", additional)?;
    let transport = match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    };
    writeln!(text, "\n;; SERVER: the engine of this process ({transport})")?;
    writeln!(text, ";; MSG SIZE  rcvd: {}", reply.len())?;
    if message.metadata.truncation {
        text += ";; truncated: --tcp shows all of it\n";
    }
    Ok(text)
}

fn write_header(text: &mut String, message: &Message, octets: &Octets<&[u8]>) -> Result<()> {
    let (header, counts) = (octets.header(), octets.header_counts());
    let rcode = octets.opt_rcode();
    let opcode = match header.opcode().to_mnemonic() {
        Some(mnemonic) => String::from_utf8_lossy(mnemonic).into_owned(),
        None => format!("RESERVED{}", header.opcode().to_int()),
    };
    let id = message.metadata.id;
    writeln!(text, ";; ->>HEADER<<- opcode: {opcode}, status: {rcode}, id: {id}")?;
    let flags = [
        (header.qr(), " qr"),
        (header.aa(), " aa"),
        (header.tc(), " tc"),
        (header.rd(), " rd"),
        (header.ra(), " ra"),
        (header.ad(), " ad"),
        (header.cd(), " cd"),
    ];
    text.push_str(";; flags:");
    text.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name));
    writeln!(
        text,
        "; QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {}\n",
        counts.qdcount(),
        counts.ancount(),
        counts.nscount(),
        counts.arcount()
    )?;
    Ok(())
}

fn write_edns(text: &mut String, edns: &Edns) -> Result<()> {
    text.push_str(";; OPT PSEUDOSECTION:\n");
    let (version, size) = (edns.version(), edns.max_payload());
    let flags = if edns.flags().dnssec_ok { " do" } else { "" };
    writeln!(text, "; EDNS: version: {version}, flags:{flags}; udp: {size}")?;
    for (code, option) in &edns.options().options {
        let code = u16::from(*code);
        let payload: Vec<u8> = Vec::try_from(option)?;
        match code {
            3 => writeln!(text, "; NSID: {} (\"{}\")", hex(&payload, " "), printable(&payload))?,
            10 => writeln!(text, "; COOKIE: {}", hex(&payload, ""))?,
            15 if payload.len() >= 2 => {
                let info = u16::from_be_bytes([payload[0], payload[1]]);
                let known = EXTENDED_ERRORS.iter().find(|(known, _)| *known == info);
                let name = known.map_or("", |(_, name)| name);
                let extra = printable(&payload[2..]);
                let extra = if extra.is_empty() { extra } else { format!(": ({extra})") };
                writeln!(text, "; EDE: {info} ({name}){extra}")?;
            }
            _ => writeln!(text, "; OPT={code}: {}", hex(&payload, " "))?,
        }
    }
    Ok(())
}

fn write_section(text: &mut String, title: &str, section: RecordSection<'_, &[u8]>) -> Result<()> {
    let mut headed = false;
    for record in section {
        let record = record?;
        if record.rtype() == Rtype::OPT {
            continue;
        }
        if !headed {
            writeln!(text, "\n;; {title} SECTION:")?;
            headed = true;
        }
        write_record(text, &record)?;
    }
    Ok(())
}

fn write_record(text: &mut String, record: &ParsedRecord<'_, &[u8]>) -> Result<()> {
    let name = pad(&with_dot(record.owner()), 24);
    let (ttl, class, rtype) = (record.ttl().as_secs(), record.class(), record.rtype());
    let data = record
        .to_any_record::<AllRecordData<_, _>>()
        .with_context(|| format!("the {rtype} record of {} cannot be read", record.owner()))?;
    let data = match data.data() {
        // As RFC 3597, section 5 has it, with the octets in one word.
        AllRecordData::Unknown(unknown) => {
            let octets = unknown.data();
            format!("\\# {} {}", octets.len(), hex(octets, "")).trim_end().to_owned()
        }
        known => known.display_zonefile(DisplayKind::Simple).to_string(),
    };
    writeln!(text, "{name}{ttl}\t{class}\t{rtype}\t{data}")?;
    Ok(())
}

/// The text and the tabs that lead to `column`, one at least.
fn pad(text: &str, column: usize) -> String {
    let tabs = (column.saturating_sub(text.len())).div_ceil(8).max(1);
    format!("{text}{}", "\t".repeat(tabs))
}

fn with_dot(name: impl domain::base::name::ToName) -> String {
    name.to_name::<Vec<u8>>().fmt_with_dot().to_string()
}

fn hex(octets: &[u8], separator: &str) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(separator)
}

fn printable(octets: &[u8]) -> String {
    let show = |octet: &u8| if (0x20..0x7f).contains(octet) { char::from(*octet) } else { '.' };
    octets.iter().map(show).collect()
}
