//! The sample's cases: a zone, a question, and what four servers said when they were asked.
//!
//! One JSON object a line: `id`, `origin`, `zone`, `name`, `type`, and `accepted`, the recorded responses
//! grouped where servers agree. The responses are text; here they become the strict decoder's messages.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, bail, ensure};
use responder::strict::{Header, Message, Name, Question, Record, rtype};
use serde::Deserialize;

/// A case.
#[derive(Debug)]
pub struct Case {
    /// Its number in the data set.
    pub id: u64,
    /// The apex.
    pub origin: Name,
    /// The master file.
    pub zone: String,
    /// QNAME.
    pub name: Name,
    /// QTYPE.
    pub qtype: u16,
    /// What was recorded: one entry where all servers agree.
    pub recorded: Vec<Recorded>,
}

/// What some servers said.
#[derive(Debug)]
pub struct Recorded {
    /// Who.
    pub servers: Vec<String>,
    /// What.
    pub response: Message,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: u64,
    origin: String,
    zone: String,
    name: String,
    r#type: String,
    accepted: Vec<Accepted>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    servers: Vec<String>,
    response: Vec<String>,
}

/// Reads the sample.
///
/// # Errors
/// A line that is not as described above, with its number.
pub fn read(text: &str) -> anyhow::Result<Vec<Case>> {
    let numbered = text.lines().enumerate();
    numbered.map(|(at, line)| case(line).with_context(|| format!("line {}", at + 1))).collect()
}

fn case(line: &str) -> anyhow::Result<Case> {
    let line: Line = serde_json::from_str(line)?;
    let recorded = |accepted: Accepted| {
        let response = message(&accepted.response)
            .with_context(|| format!("the response of {}", accepted.servers.join(", ")))?;
        Ok(Recorded { servers: accepted.servers, response })
    };
    Ok(Case {
        id: line.id,
        origin: Name::from_text(&line.origin)?,
        zone: line.zone,
        name: Name::from_text(&line.name)?,
        qtype: type_code(&line.r#type)?,
        recorded: line.accepted.into_iter().map(recorded).collect::<anyhow::Result<_>>()?,
    })
}

/// A response: `id`, `opcode`, `rcode` and `flags`, then the sections, each begun by its name.
fn message(lines: &[String]) -> anyhow::Result<Message> {
    let [id, opcode, rcode, flags, sections @ ..] = lines else { bail!("no header") };
    let value = |line: &'_ str, field: &str| -> anyhow::Result<String> {
        let rest = line.strip_prefix(field).with_context(|| format!("{line:?} is no {field}"))?;
        Ok(rest.trim().to_owned())
    };
    ensure!(value(opcode, "opcode")? == "QUERY", "{opcode}");
    let rcode = match value(rcode, "rcode")?.as_str() {
        "NOERROR" => 0,
        "SERVFAIL" => 2,
        "NXDOMAIN" => 3,
        "REFUSED" => 5,
        "YXDOMAIN" => 6,
        other => bail!("the rcode {other:?} is not known here"),
    };
    let flags = value(flags, "flags")?;
    let has = |flag: &str| flags.split(' ').any(|word| word == flag);
    let known = ["QR", "AA", "TC", "RD", "RA", "AD", "CD"];
    ensure!(flags.split(' ').all(|word| known.contains(&word)), "the flags {flags:?}");
    let mut message = Message {
        header: Header {
            id: value(id, "id")?.parse()?,
            qr: has("QR"),
            opcode: 0,
            aa: has("AA"),
            tc: has("TC"),
            rd: has("RD"),
            ra: has("RA"),
            ad: has("AD"),
            cd: has("CD"),
            rcode,
        },
        question: Vec::new(),
        answer: Vec::new(),
        authority: Vec::new(),
        additional: Vec::new(),
        edns: None,
        octets: 0,
    };
    let mut section = "";
    for line in sections {
        match (section, line.strip_prefix(';')) {
            (_, Some(name)) => section = name,
            ("QUESTION", _) => message.question.push(question(line)?),
            ("ANSWER", _) => message.answer.push(record(line)?),
            ("AUTHORITY", _) => message.authority.push(record(line)?),
            ("ADDITIONAL", _) => message.additional.push(record(line)?),
            _ => bail!("{line:?} stands in no section"),
        }
    }
    Ok(message)
}

fn question(line: &str) -> anyhow::Result<Question> {
    let [name, "IN", qtype] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        bail!("{line:?} is no question");
    };
    Ok(Question { name: Name::from_text(name)?, qtype: type_code(qtype)?, qclass: 1 })
}

fn record(line: &str) -> anyhow::Result<Record> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [owner, ttl, "IN", kind, data @ ..] = &words[..] else { bail!("{line:?} is no record") };
    let name =
        |text: &&str| -> anyhow::Result<Vec<u8>> { Ok(Name::from_text(text)?.wire().to_vec()) };
    let rtype = type_code(kind)?;
    let rdata = match (rtype, data) {
        (rtype::A, [address]) => address.parse::<Ipv4Addr>()?.octets().to_vec(),
        (rtype::AAAA, [address]) => address.parse::<Ipv6Addr>()?.octets().to_vec(),
        (rtype::NS | rtype::CNAME | rtype::DNAME, [target]) => name(target)?,
        (rtype::SOA, [primary, mailbox, numbers @ ..]) if numbers.len() == 5 => {
            let mut rdata = [name(primary)?, name(mailbox)?].concat();
            for number in numbers {
                rdata.extend(number.parse::<u32>()?.to_be_bytes());
            }
            rdata
        }
        (rtype::TXT, [text]) => {
            let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            let text = text.filter(|text| !text.contains(['"', '\\']));
            let text = text.with_context(|| format!("{line:?} is no plain text"))?;
            [&[u8::try_from(text.len())?], text.as_bytes()].concat()
        }
        _ => bail!("{line:?}: a type or data that is not known here"),
    };
    // No letter outside of names is in lower case but in TXT, whose data are compared as they are; the
    // numbers of the SOA are kept as they are too.
    let canonical = match rtype {
        rtype::NS | rtype::CNAME | rtype::DNAME => rdata.to_ascii_lowercase(),
        rtype::SOA => {
            let (names, numbers) = rdata.split_at(rdata.len() - 20);
            [&names.to_ascii_lowercase(), numbers].concat()
        }
        _ => rdata.clone(),
    };
    let owner = Name::from_text(owner)?;
    // What it took in the message is not recorded; the compressed form has about this many octets.
    let octets = 12 + rdata.len();
    Ok(Record { owner, rtype, class: 1, ttl: ttl.parse()?, rdata, canonical, octets })
}

fn type_code(text: &str) -> anyhow::Result<u16> {
    Ok(match text {
        "A" => rtype::A,
        "NS" => rtype::NS,
        "CNAME" => rtype::CNAME,
        "SOA" => rtype::SOA,
        "TXT" => rtype::TXT,
        "AAAA" => rtype::AAAA,
        "DNAME" => rtype::DNAME,
        other => bail!("the type {other:?} is not known here"),
    })
}
