//! Replies over TCP with names beyond 16,383 octets, where no compression pointer reaches (RFC 1035,
//! section 4.1.4): a fragment there has the names written out that point into itself.
//!
//! Such replies are rare and never the kernel's, so the packet path knows nothing of this.

use responder_common::{
    layout::{Fragment, fragment_start, patch},
    platform::Platform as _,
    reply::Image,
    scratch::{Item, Scratch, item},
    wire::{self, flag},
};
use zerocopy::FromBytes as _;

use crate::{store::Store, zone::fragment::compressible_names};

/// Octets of type, class, TTL and length of a record.
const FIXED: usize = wire::RR_FIXED as usize;

/// The longest message over TCP (RFC 1035, section 4.2.2).
const MESSAGE_MAX: usize = u16::MAX as usize;

/// Writes the settled reply of the scratch memory behind what `reply` holds. What became longer than a
/// message is truncated. False where the store is not what it should be.
pub fn write(store: &Store, s: &Scratch, reply: &mut Vec<u8>) -> bool {
    let start = reply.len();
    let question_end = s.question_end.get() as usize;
    let opt = &s.opt[..s.opt_length.get() as usize];
    reply.extend_from_slice(&s.message[..question_end]);
    let answers = &s.answers[..s.answers_length.get() as usize];
    let items = &s.items[..s.items_length.get() as usize];
    let mut anchor = None;
    for item in answers.iter().chain(items) {
        if fragment(store, s, item, start, &mut anchor, reply).is_none() {
            return false;
        }
    }
    if reply.len() + opt.len() - start > MESSAGE_MAX {
        reply.truncate(start + question_end);
        reply[start + 2] |= flag::TC;
        reply[start + 6..start + 12].fill(0);
        reply[start + 11] = u8::from(!opt.is_empty());
    }
    reply.extend_from_slice(opt);
    true
}

/// A fragment and where it stands in the message.
#[derive(Clone, Copy)]
struct Placed<'a> {
    octets: &'a [u8],
    /// Its patches, as many as there are with signatures.
    patches: &'a [u8],
    offset: usize,
    /// Whether its octets stand in the message as they are here, so that pointers may lead into it.
    whole: bool,
}

fn fragment<'a>(
    store: &'a Store,
    s: &Scratch,
    item: &Item,
    start: usize,
    anchor: &mut Option<Placed<'a>>,
    reply: &mut Vec<u8>,
) -> Option<()> {
    if item.bits & item::MADE != 0 {
        let record = s.made.get(usize::from(item.node)..)?.get(..usize::from(item.apex))?;
        reply.extend_from_slice(record);
        return Some(());
    }
    let image = &store.object::<Image>(item.fragment)?.0;
    let (head, _) = Fragment::read_from_prefix(image).ok()?;
    let extent = if item.bits & item::SIGNED != 0 { head.signed } else { head.plain };
    let records = fragment_start(head.signed.patches) as usize;
    let mut placed = Placed {
        octets: image.get(records..)?.get(..usize::from(extent.length))?,
        patches: image
            .get(size_of::<Fragment>()..records)?
            .get(..usize::from(extent.patches) * 2)?,
        offset: reply.len() - start,
        whole: true,
    };
    let reaches = |patch: u16| {
        let (base, distance) = placed.target(patch);
        match base {
            patch::FRAGMENT => placed.holds(distance),
            patch::ANCHOR => anchor.is_some_and(|anchor| anchor.holds(distance)),
            _ => true,
        }
    };
    placed.whole = placed.patches().all(reaches);
    if item.bits & item::ANCHOR != 0 {
        *anchor = Some(placed);
    }
    let writer = Writer { item, own: placed, anchor: *anchor };
    let mut at = 0;
    for _ in 0..extent.records {
        at = writer.record(at, reply)?;
    }
    (at == placed.octets.len()).then_some(())
}

impl<'a> Placed<'a> {
    fn patches(&self) -> impl Iterator<Item = u16> + 'a {
        self.patches.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]]))
    }

    /// The base of a patch and the distance behind it.
    fn target(&self, patch: u16) -> (u16, usize) {
        let at = usize::from(patch & patch::OFFSET_MAX);
        let pointer =
            self.octets.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
        (patch >> patch::OFFSET_BITS, usize::from(pointer & wire::POINTER_MAX))
    }

    /// Whether a pointer can lead to this place in it.
    fn holds(&self, distance: usize) -> bool {
        self.whole && self.offset + distance <= usize::from(wire::POINTER_MAX)
    }
}

/// Writes the records of one fragment.
struct Writer<'a> {
    item: &'a Item,
    own: Placed<'a>,
    anchor: Option<Placed<'a>>,
}

impl Writer<'_> {
    /// Writes the record at `at`; where the next one begins.
    fn record(&self, at: usize, reply: &mut Vec<u8>) -> Option<usize> {
        let at = self.name(at, reply)?;
        let fixed = self.own.octets.get(at..at + FIXED)?;
        let number = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let (kind, length) = (number(0), usize::from(number(FIXED - 2)));
        reply.extend_from_slice(fixed);
        let data = reply.len();
        let mut at = at + FIXED;
        let end = at + length;
        if let Some((before, names)) = compressible_names(kind)
            && length >= before
        {
            reply.extend_from_slice(self.own.octets.get(at..at + before)?);
            at += before;
            for _ in 0..names {
                at = self.name(at, reply)?;
            }
        }
        reply.extend_from_slice(self.own.octets.get(at..end)?);
        let length = u16::try_from(reply.len() - data).ok()?;
        reply[data - 2..data].copy_from_slice(&length.to_be_bytes());
        Some(end)
    }

    /// Writes the name at `at`; where what is behind it begins.
    fn name(&self, at: usize, reply: &mut Vec<u8>) -> Option<usize> {
        let (mut from, mut at, mut behind) = (self.own, at, None);
        // A name has no more labels and pointers than octets.
        for _ in 0..wire::NAME_MAX {
            let patch = from.patches().find(|patch| usize::from(patch & patch::OFFSET_MAX) == at);
            let Some(patch) = patch else {
                let label = usize::from(*from.octets.get(at)?);
                reply.extend_from_slice(from.octets.get(at..=at + label)?);
                at += label + 1;
                if label == 0 {
                    return Some(behind.unwrap_or(at));
                }
                continue;
            };
            behind = behind.or(Some(at + 2));
            let (base, distance) = from.target(patch);
            let place = match base {
                patch::OWNER => usize::from(self.item.owner) + distance,
                patch::NODE => usize::from(self.item.node) + distance,
                patch::APEX => usize::from(self.item.apex) + distance,
                patch::FRAGMENT if from.holds(distance) => from.offset + distance,
                patch::FRAGMENT => {
                    at = distance;
                    continue;
                }
                _ => {
                    let anchor = self.anchor?;
                    if !anchor.holds(distance) {
                        (from, at) = (anchor, distance);
                        continue;
                    }
                    anchor.offset + distance
                }
            };
            let pointer =
                wire::POINTER | u16::try_from(place).ok().filter(|to| *to <= wire::POINTER_MAX)?;
            reply.extend_from_slice(&pointer.to_be_bytes());
            return behind;
        }
        None
    }
}
