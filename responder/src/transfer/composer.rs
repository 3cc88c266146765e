//! Messages full of records: compressed as far as RFC 3597, section 4, allows, the case of names kept.
//!
//! A pointer leads only to octets that are the same, case included: what a secondary serves then looks as
//! it does here (RFC 5936, section 3.4, leaves it to us).

use responder_common::wire::class;

use crate::zone::fragment::{compressible_names, name_length};

/// Octets of a DNS header (RFC 1035, section 4.1.1).
pub const HEADER: usize = 12;
/// Names that begin here or later cannot be pointed at (RFC 1035, section 4.1.4).
const REACH: usize = 0x4000;
/// The two high bits of a pointer.
const POINTER: u16 = 0xc000;
/// Places for names: about four times as many as a message of 16 KiB has.
const SLOTS: usize = 4096;
/// Places that are looked at for one name.
const PROBES: usize = 4;
/// A name has at most so many labels, the root included (RFC 1035, section 2.3.4).
const LABELS: usize = 128;
/// Where the header counts answers.
const ANCOUNT: usize = 6;

/// A record, uncompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its owner in wire form, case kept.
    pub owner: &'a [u8],
    /// Its type.
    pub rtype: u16,
    /// Its TTL in seconds.
    pub ttl: u32,
    /// Its data.
    pub rdata: &'a [u8],
}

/// A message that is being filled.
pub struct Composer {
    octets: Vec<u8>,
    /// Offsets of names, by hash; zero where there is none.
    names: Box<[u16; SLOTS]>,
    answers: u16,
    /// Where the last owner stands: RRsets of one owner follow each other.
    owner: Option<usize>,
}

impl Default for Composer {
    fn default() -> Self {
        Self { octets: Vec::new(), names: Box::new([0; SLOTS]), answers: 0, owner: None }
    }
}

impl Composer {
    /// Begins a message with a header and perhaps a question, both in wire form.
    pub fn begin(&mut self, header: [u8; HEADER], question: &[u8]) {
        self.octets.clear();
        self.octets.extend_from_slice(&header);
        self.octets.extend_from_slice(question);
        self.names.fill(0);
        self.answers = 0;
        self.owner = None;
        if !question.is_empty() {
            let end = name_length(question);
            self.remember(HEADER, &question[..end]);
        }
    }

    /// Adds a record to the answer section. False, and nothing added, where the message would be longer
    /// than `limit` octets.
    pub fn add(&mut self, record: Record<'_>, limit: usize) -> bool {
        let start = self.octets.len();
        self.write_owner(record.owner);
        self.octets.extend(record.rtype.to_be_bytes());
        self.octets.extend(class::IN.to_be_bytes());
        self.octets.extend(record.ttl.to_be_bytes());
        let length_at = self.octets.len();
        self.octets.extend([0; 2]);
        self.write_data(record.rtype, record.rdata);
        let length = self.octets.len() - length_at - 2;
        let fits = self.octets.len() <= limit && self.answers < u16::MAX;
        match u16::try_from(length) {
            Ok(length) if fits => {
                self.octets[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
                self.answers += 1;
                true
            }
            _ => {
                // Names that were noted beyond this point are never found again: see `find`.
                self.octets.truncate(start);
                self.owner = None;
                false
            }
        }
    }

    /// Records added.
    pub fn answers(&self) -> u16 {
        self.answers
    }

    /// The message as it is now.
    pub fn finish(&mut self) -> &[u8] {
        self.octets[ANCOUNT..ANCOUNT + 2].copy_from_slice(&self.answers.to_be_bytes());
        &self.octets
    }

    fn write_owner(&mut self, owner: &[u8]) {
        if let Some(at) = self.owner
            && self.stands_at(at, owner)
        {
            return self.point(at);
        }
        let at = self.octets.len();
        self.write_name(owner);
        // A pointer may lead to a pointer, but a chain of them would grow with the owner's records.
        self.owner = (at < REACH && self.octets.len() > at + 2 && owner.len() > 1).then_some(at);
    }

    fn write_data(&mut self, kind: u16, rdata: &[u8]) {
        let Some((before, names)) = compressible_names(kind).filter(|(at, _)| rdata.len() >= *at)
        else {
            return self.octets.extend_from_slice(rdata);
        };
        self.octets.extend_from_slice(&rdata[..before]);
        let mut rest = &rdata[before..];
        for _ in 0..names {
            let (name, behind) = rest.split_at(name_length(rest));
            self.write_name(name);
            rest = behind;
        }
        self.octets.extend_from_slice(rest);
    }

    /// Writes a name: labels until one suffix stands in the message already.
    fn write_name(&mut self, name: &[u8]) {
        for (start, hash) in Suffixes::of(name) {
            if let Some(at) = self.find(hash, &name[start..]) {
                return self.point(at);
            }
            self.note(hash, self.octets.len());
            let end = start + 1 + usize::from(name[start]);
            self.octets.extend_from_slice(&name[start..end]);
        }
        self.octets.push(0);
    }

    fn point(&mut self, at: usize) {
        // Only offsets below `REACH` are noted.
        self.octets.extend((POINTER | at as u16).to_be_bytes());
    }

    /// Notes the suffixes of a name that stands written out in the message.
    fn remember(&mut self, at: usize, name: &[u8]) {
        for (start, hash) in Suffixes::of(name) {
            self.note(hash, at + start);
        }
    }

    fn note(&mut self, hash: u32, at: usize) {
        if at >= REACH {
            return;
        }
        let slots = (0..PROBES).map(|probe| (hash as usize + probe) % SLOTS);
        let free = slots.clone().find(|slot| self.names[*slot] == 0);
        // Where all are taken the oldest way is as good as any.
        let slot = free.unwrap_or(hash as usize % SLOTS);
        self.names[slot] = at as u16;
    }

    fn find(&self, hash: u32, name: &[u8]) -> Option<usize> {
        (0..PROBES)
            .map(|probe| usize::from(self.names[(hash as usize + probe) % SLOTS]))
            .take_while(|at| *at != 0)
            .find(|at| self.stands_at(*at, name))
    }

    /// Whether exactly this name stands at an offset, compressed or not.
    fn stands_at(&self, mut at: usize, mut name: &[u8]) -> bool {
        loop {
            match self.octets.get(at) {
                Some(high @ 0xc0..) => {
                    let Some(low) = self.octets.get(at + 1) else { return false };
                    let target = usize::from(u16::from_be_bytes([*high, *low]) & !POINTER);
                    if target >= at {
                        return false;
                    }
                    at = target;
                }
                Some(0) => return name[0] == 0,
                Some(length) => {
                    let end = usize::from(*length) + 1;
                    let label = self.octets.get(at..at + end);
                    if label.is_none() || label != name.get(..end) {
                        return false;
                    }
                    at += end;
                    name = &name[end..];
                }
                None => return false,
            }
        }
    }
}

/// The suffixes of a name, the longest first, the root left out: where each begins, and its hash.
struct Suffixes {
    starts: [(u8, u32); LABELS],
    count: usize,
}

impl Suffixes {
    fn of(name: &[u8]) -> Self {
        const SEED: u32 = 0x811c_9dc5;
        const FACTOR: u32 = 0x0100_0193;
        let mut suffixes = Self { starts: [(0, 0); LABELS], count: 0 };
        let mut at = 0;
        while let Some(length @ 1..) = name.get(at) {
            if suffixes.count == LABELS {
                break;
            }
            // A name has at most 255 octets.
            suffixes.starts[suffixes.count].0 = at as u8;
            suffixes.count += 1;
            at += usize::from(*length) + 1;
        }
        let mut end = at.min(name.len());
        let mut hash = SEED;
        for (start, of) in suffixes.starts[..suffixes.count].iter_mut().rev() {
            let start = usize::from(*start);
            for octet in &name[start..end] {
                hash = (hash ^ u32::from(*octet)).wrapping_mul(FACTOR);
            }
            *of = hash ^ hash >> 15;
            end = start;
        }
        suffixes.starts[..suffixes.count].reverse();
        suffixes
    }
}

impl Iterator for Suffixes {
    type Item = (usize, u32);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let (start, hash) = self.starts[self.count];
        Some((usize::from(start), hash))
    }
}

#[cfg(test)]
mod tests {
    use responder_common::wire::rtype;

    use super::*;
    use crate::strict::Message;

    const MANY: usize = 60_000;
    const SRV: u16 = 33;
    const MX: u16 = 15;

    /// An answer about `lac.`, without records yet.
    fn begun() -> Composer {
        let mut composer = Composer::default();
        let header = [0, 7, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        composer.begin(header, b"\x03lac\0\x00\xfc\x00\x01");
        composer
    }

    /// Everything that a message says: owner, type, TTL, data, names written out. The decoder forgives
    /// nothing.
    fn said(message: &[u8]) -> Vec<(Vec<u8>, u16, u32, Vec<u8>)> {
        let message = Message::parse(message).expect("a message without fault");
        let answer = message.answer.into_iter();
        answer.map(|r| (r.owner.wire().to_vec(), r.rtype, r.ttl, r.rdata)).collect()
    }

    #[test]
    fn rfc1035_names_are_compressed_and_keep_their_case() {
        let records: &[(&[u8], u16, &[u8])] = &[
            (b"\x03lac\0", rtype::NS, b"\x02ns\x03lac\0"),
            (b"\x03lac\0", rtype::NS, b"\x02Ns\x03lac\0"),
            (b"\x03lac\0", rtype::NS, b"\x02ns\x03Lac\0"),
            (b"\x02ns\x03lac\0", rtype::A, &[192, 0, 2, 1]),
            (b"\x03www\x02ns\x03lac\0", rtype::TXT, b"\x02ns"),
            (b"\x03www\x02ns\x03lac\0", MX, b"\0\x0a\x02Ns\x03lac\0"),
            // Not to be compressed (RFC 3597, section 4).
            (b"\x03www\x02ns\x03lac\0", SRV, b"\0\0\0\0\0\0\x02ns\x03lac\0"),
            (b"\x03lac\0", rtype::NS, b"\0"),
        ];
        let mut composer = begun();
        for (owner, rtype, rdata) in records {
            assert!(composer.add(Record { owner, rtype: *rtype, ttl: 60, rdata }, MANY));
        }
        let message = composer.finish();
        let wanted: Vec<_> =
            records.iter().map(|(o, t, d)| (o.to_vec(), *t, 60, d.to_vec())).collect();
        assert_eq!(said(message), wanted);
        // Owners, with labels where they stand for the first time; then data.
        let owners = 5 * 2 + 6 + 2 + 2;
        let data = 5 + 5 + 8 + 4 + 3 + 4 + 14 + 1;
        assert_eq!(message.len(), 12 + 9 + records.len() * 10 + owners + data);
    }

    #[test]
    fn a_full_message_says_what_was_added() {
        let mut composer = begun();
        let text = |number: usize| {
            let owner = format!("\x05{number:05}\x03lac\0").into_bytes();
            (owner, format!("\x02ns\x05{:05}\x03lac\0", number / 3).into_bytes())
        };
        let mut count = 0;
        loop {
            let (owner, rdata) = text(count);
            let (rtype, ttl) = (rtype::NS, count as u32);
            if !composer.add(Record { owner: &owner, rtype, ttl, rdata: &rdata }, MANY) {
                break;
            }
            count += 1;
        }
        let message = composer.finish();
        assert!(message.len() <= MANY && message.len() > MANY - 40, "{}", message.len());
        let said = said(message);
        assert_eq!(said.len(), count);
        for (number, said) in said.into_iter().enumerate() {
            let (owner, rdata) = text(number);
            assert_eq!(said, (owner, rtype::NS, number as u32, rdata));
        }
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let mut composer = begun();
        let record =
            |owner| Record { owner, rtype: rtype::NS, ttl: 1, rdata: b"\x02ns\x01b\x03lac\0" };
        assert!(composer.add(record(b"\x01a\x03lac\0"), 200));
        let before = composer.finish().to_vec();
        assert!(!composer.add(record(b"\x01c\x03LAC\0"), before.len() + 8));
        assert_eq!(composer.finish(), before);
        assert!(composer.add(record(b"\x01c\x03LAC\0"), 200));
        assert_eq!(said(composer.finish())[1].0, b"\x01c\x03LAC\0");
        // Longer than any message.
        let long = vec![0; 70_000];
        let record = Record { owner: b"\0", rtype: rtype::TXT, ttl: 1, rdata: &long };
        assert!(!composer.add(record, usize::MAX));
    }
}
