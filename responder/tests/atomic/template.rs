//! What a reply looks like in every version, and where it tells the version.

use std::collections::BTreeSet;

use responder::{
    dataplane::{DataPlane, trial::HookPoint},
    strict,
};
use responder_common::verdict::Action;

use super::{
    packet::{Headers, Packet, query},
    versions::{mark, questions, wire},
    writer::Writer,
};

/// Two versions of which every digit and every octet of the serial differ.
const TWO: [u32; 2] = [12_345_678, 87_654_321];

/// A question and the replies to it.
pub struct Template {
    /// For messages: name, type, DO.
    pub asked: String,
    /// The query, with an identifier of zero.
    pub query: Vec<u8>,
    /// The reply in the first version.
    reply: Vec<u8>,
    /// Where the digits of a version stand.
    marks: Vec<usize>,
    /// Where a serial stands.
    serials: Vec<usize>,
    /// Stretches that are alike in all versions.
    alike: Vec<(usize, usize)>,
}

impl Template {
    /// Asks everything while nothing changes, in two versions: `ask` takes a query, what to call it and
    /// the version that was committed.
    pub fn all(mut ask: impl FnMut(&[u8], &str, u32) -> Vec<u8>) -> Vec<Self> {
        let mut asked = Vec::new();
        for (name, rtype) in questions() {
            for edns in [None, Some((1232, true))] {
                let told = format!("{name} type {rtype}, DO {}", edns.is_some());
                asked.push((told, query(0, &wire(&name), rtype, edns)));
            }
        }
        let [first, second] = TWO.map(|version| {
            asked.iter().map(|(told, query)| ask(query, told, version)).collect::<Vec<_>>()
        });
        let each = asked.into_iter().zip(first.into_iter().zip(second));
        each.map(|((told, query), (one, two))| Self::of(told, query, one, &two)).collect()
    }

    fn of(asked: String, query: Vec<u8>, reply: Vec<u8>, other: &[u8]) -> Self {
        strict::Message::parse(&reply).unwrap_or_else(|error| panic!("{asked}: {error}"));
        assert_eq!(reply.len(), other.len(), "{asked}: {}", reply.escape_ascii());
        assert_eq!(reply[2] & 2, 0, "{asked}: the reply fits");
        let find = |pattern: &[u8]| -> Vec<usize> {
            let windows = reply.windows(pattern.len()).enumerate();
            windows.filter(|(_, window)| *window == pattern).map(|(place, _)| place).collect()
        };
        let marks = find(mark(TWO[0]).as_bytes());
        let serials = find(&TWO[0].to_be_bytes());
        let mut different: BTreeSet<usize> = BTreeSet::new();
        different.extend(marks.iter().flat_map(|place| place + 1..place + 9));
        different.extend(serials.iter().flat_map(|place| *place..place + 4));
        // The identifier is the asker's.
        let (mut alike, mut start) = (Vec::new(), 2);
        for place in different.iter().copied().chain([reply.len()]) {
            if place > start {
                assert_eq!(reply[start..place], other[start..place], "{asked}");
                alike.push((start, place));
            }
            start = place + 1;
        }
        let template = Self { asked, query, reply, marks, serials, alike };
        for (version, reply) in TWO.into_iter().zip([&template.reply[..], other]) {
            assert_eq!(template.version_of(reply), Ok(version), "{}", template.asked);
        }
        template
    }

    /// The one version that a reply tells, everywhere where it tells one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn version_of(&self, reply: &[u8]) -> Result<u32, String> {
        if reply.len() != self.reply.len() {
            return Err(format!("{} octets instead of {}", reply.len(), self.reply.len()));
        }
        for &(start, end) in &self.alike {
            if reply[start..end] != self.reply[start..end] {
                return Err(format!("octets {start} to {end} are others"));
            }
        }
        let mut version = None;
        let marks = self.marks.iter().map(|place| {
            let digits = &reply[place + 1..place + 9];
            digits.iter().fold(0_u32, |number, digit| {
                number.wrapping_mul(10).wrapping_add(u32::from(digit.wrapping_sub(b'0')))
            })
        });
        let serials = self.serials.iter().map(|place| {
            u32::from_be_bytes(reply[*place..place + 4].try_into().expect("four octets"))
        });
        for told in marks.chain(serials) {
            if *version.get_or_insert(told) != told {
                return Err("a mixture of versions".into());
            }
        }
        version.ok_or_else(|| "no version".into())
    }
}

/// The templates of what the kernel programs answer from a store that `writer` writes.
pub fn of_kernel(writer: &mut Writer, plane: &DataPlane) -> Vec<Template> {
    let mut committed = 0;
    Template::all(|query, told, version| {
        if committed != version {
            writer.commit(version);
            committed = version;
        }
        ask(plane, query, told)
    })
}

/// Asks the kernel programs: XDP, and tc for what it passes on.
pub fn ask(plane: &DataPlane, query: &[u8], told: &str) -> Vec<u8> {
    let frame = Headers::v4().frame(query);
    for hook in [HookPoint::Xdp, HookPoint::Tc] {
        let trial = plane.trial(hook, &frame).expect("a run");
        if trial.action == Action::Reply {
            return Packet::read(&trial.frame).expect("a sound frame").message.to_vec();
        }
    }
    panic!("{told}: no reply");
}
