//! What the node announces, told to whoever asks over a stream: `services.server CH TXT`, beside RFC 4892's
//! names. A string for each family of each service: `cloud ipv4 announced`. A distributor shows it of every
//! node (`responder cloud status`). Routing tells the same to the world, so nobody is kept from asking.

use domain::base::{
    Message, MessageBuilder, Name, ToName as _,
    iana::{Class, Opcode, Rcode, Rtype},
};
use domain::rdata::Txt;

use crate::{
    control::ServiceStatus,
    service::{Family, Wanted},
};

/// The name that is asked for, in wire form.
const NAME: &[u8] = b"\x08services\x06server\0";
/// What says that the routing daemon has not done as it was told.
const UNCONFIRMED: &str = "unconfirmed";

/// A service's family as a node tells of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Announced {
    /// The service.
    pub service: String,
    /// The family.
    pub family: Family,
    /// What is wanted of its routes.
    pub route: Wanted,
    /// Whether the routing daemon has done it, as far as it says.
    pub confirmed: bool,
}

impl Announced {
    /// Whether its routes lead to the node now.
    pub fn is_announced(&self) -> bool {
        self.confirmed && self.route > Wanted::Withdrawn
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (service, family, route) = (words.next()?, words.next()?, words.next()?);
        const ROUTES: [Wanted; 3] = [Wanted::Withdrawn, Wanted::LessPreferred, Wanted::Announced];
        Some(Self {
            service: service.to_owned(),
            family: Family::ALL.into_iter().find(|known| known.label() == family)?,
            route: ROUTES.into_iter().find(|known| known.label() == route)?,
            confirmed: words.next() != Some(UNCONFIRMED),
        })
    }
}

/// The question, to be sent over a stream.
pub fn question(id: u16) -> Option<Vec<u8>> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    let mut builder = builder.question();
    builder.push((Name::from_octets(NAME).ok()?, Rtype::TXT, Class::CH)).ok()?;
    Some(builder.finish())
}

/// Whether a message asks for it.
pub fn is_asked(query: &[u8]) -> bool {
    let Ok(message) = Message::from_slice(query) else { return false };
    let header = message.header();
    let Ok(question) = message.sole_question() else { return false };
    !header.qr()
        && header.opcode() == Opcode::QUERY
        && question.qclass() == Class::CH
        && question.qtype() == Rtype::TXT
        && question.qname().to_name::<Vec<u8>>().as_octets().eq_ignore_ascii_case(NAME)
}

/// The reply to a query that asks for it.
pub fn reply(query: &[u8], services: &[ServiceStatus]) -> Option<Vec<u8>> {
    let message = Message::from_slice(query).ok()?;
    let mut builder = MessageBuilder::new_vec().start_answer(message, Rcode::NOERROR).ok()?;
    builder.header_mut().set_aa(true);
    let owner = Name::from_octets(NAME).ok()?;
    for service in services {
        for family in &service.families {
            let mut text = format!("{} {} {}", service.name, family.family, family.route.label());
            if service.fault.is_some() {
                text += " ";
                text += UNCONFIRMED;
            }
            let text = Txt::<Vec<u8>>::build_from_slice(text.as_bytes()).ok()?;
            builder.push((&owner, Class::CH, 0, text)).ok()?;
        }
    }
    Some(builder.finish())
}

/// What a reply tells; nothing if it is none.
pub fn read(reply: &[u8], id: u16) -> Option<Vec<Announced>> {
    let message = Message::from_slice(reply).ok()?;
    if message.header().id() != id || message.header().rcode() != Rcode::NOERROR {
        return None;
    }
    let records = message.answer().ok()?.limit_to::<Txt<_>>();
    let texts = records.flatten().map(|record| record.data().text::<Vec<u8>>());
    Some(texts.filter_map(|text| Announced::parse(&String::from_utf8(text).ok()?)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::FamilyStatus;

    fn family(family: Family, route: Wanted) -> FamilyStatus {
        FamilyStatus {
            family,
            route,
            cause: String::new(),
            since: 0,
            healthy: true,
            faults: Vec::new(),
            notes: Vec::new(),
            failures: 0,
            held: 0,
        }
    }

    #[test]
    fn what_is_told_is_what_is_read() {
        let mut service = ServiceStatus {
            name: "cloud".to_owned(),
            prefixes: Vec::new(),
            announcer: String::new(),
            families: vec![
                family(Family::V4, Wanted::Announced),
                family(Family::V6, Wanted::Withdrawn),
            ],
            fault: None,
            drained_by: Vec::new(),
            veto: None,
        };
        let mut query = question(7).expect("a question");
        assert!(is_asked(&query));
        query[14] ^= 0x20;
        assert!(is_asked(&query), "letters of either case");
        let told = |service: &ServiceStatus| {
            read(&reply(&query, std::slice::from_ref(service)).expect("a reply"), 7)
                .expect("readable")
        };
        let announced = |service: &ServiceStatus| -> Vec<bool> {
            told(service).iter().map(Announced::is_announced).collect()
        };
        assert_eq!(told(&service)[1].route, Wanted::Withdrawn);
        assert_eq!(announced(&service), [true, false]);
        service.fault = Some("BIRD does not answer".to_owned());
        assert_eq!(announced(&service), [false, false]);
        assert_eq!(read(&reply(&query, &[service]).expect("a reply"), 8), None);
    }

    #[test]
    fn other_questions_are_not_taken_for_it() {
        let query = question(7).expect("a question");
        for at in [2, 13, 30, 32] {
            let mut other = query.clone();
            other[at] ^= 0x80;
            assert!(!is_asked(&other), "octet {at}");
        }
        assert!(!is_asked(&query[..20]));
    }
}
