//! The memory in which one query is worked on: one per processor in the kernel, one per thread outside.

use zerocopy::FromZeros;

use crate::{bounds, sha1::Sha1};

/// Octets in front of the message: Ethernet, two VLAN tags, IPv6 and UDP take 70 of them.
pub const HEAD: usize = 80;
/// Longest query taken, in octets: what an unfragmented datagram carries over Ethernet.
pub const QUERY_MAX: usize = 1472;
/// Room for a query and for reading a word at its last octet.
pub const MESSAGE: usize = 1536;
/// Most fragments in an answer section: the links of a chain of aliases, and what it ends at.
pub const ANSWERS_MAX: usize = 20;
/// Most fragments in the sections behind it.
pub const ITEMS_MAX: usize = 48;
/// Room for the OPT record of a reply: 11 octets, NSID, an extended error or EXPIRE, a cookie.
pub const OPT_MAX: usize = 128;

/// Accounts that one reply is charged to.
pub const ACCOUNTS: usize = 5;
/// Of them: that of the answer's class, or of messages for the daemon.
pub const OF_CLASS: usize = 0;
/// Of them: that of octets.
pub const OF_OCTETS: usize = 1;
/// Of them: that of octets of what lies around the source.
pub const OF_WIDE: usize = 2;
/// Of them: the cell of the source in the [`crate::limit::sieve`], and behind it that of what lies around it.
pub const OF_CELL: usize = 3;

/// Room for the records made for one reply.
pub const MADE: usize = 2432;
/// Longest of them, and a word.
pub const MADE_MAX: usize = 288;

/// A number that lives in memory between steps: neither the compiler nor the verifier carries its value
/// along, so a loop over it is verified once and not once per value.
#[derive(FromZeros, Clone, Copy)]
#[repr(transparent)]
pub struct Hidden<T>(T);

impl<T: Copy> Hidden<T> {
    /// A number to hide.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: a reference is valid for reads.
        unsafe { core::ptr::read_volatile(&raw const self.0) }
    }

    /// Changes the value.
    #[inline(always)]
    pub fn set(&mut self, value: T) {
        // SAFETY: an exclusive reference is valid for writes.
        unsafe { core::ptr::write_volatile(&raw mut self.0, value) }
    }
}

/// A fragment that goes into the reply, and what its pointers count from.
#[derive(FromZeros, Clone, Copy)]
#[repr(C)]
pub struct Item {
    /// Where the fragment stands.
    pub fragment: u32,
    /// [`item`] bits.
    pub bits: u16,
    /// Offset of the current name in the message.
    pub owner: u16,
    /// Offset of the node's name.
    pub node: u16,
    /// Offset of the apex's name.
    pub apex: u16,
}

/// Bits of an [`Item`].
pub mod item {
    /// With signatures.
    pub const SIGNED: u16 = 1;
    /// Later fragments may point into this one.
    pub const ANCHOR: u16 = 2;
    /// Not a fragment but octets of `made`: `node` is where they begin, `apex` how many they are.
    pub const MADE: u16 = 4;
}

/// Sections of a message behind the question.
pub mod section {
    /// Answer.
    pub const ANSWER: usize = 0;
    /// Authority.
    pub const AUTHORITY: usize = 1;
    /// Additional.
    pub const ADDITIONAL: usize = 2;
}

/// All that is known of the query and of the reply being made.
#[derive(FromZeros)]
#[repr(C, align(8))]
pub struct Scratch {
    /// The headers of the frame, their end at the end of this field.
    pub head: [u8; HEAD],
    /// The message: the query as it came, then the reply's header and question in its place.
    pub message: [u8; MESSAGE],
    /// The current name, lower-case, zeros behind it.
    pub name: [u8; 256 + 8],
    /// The hash of the current name's last `n` labels, at `n`.
    pub hashes: [u64; 128],
    /// Where each label of the current name begins, from the left; behind the last, the root's.
    pub labels: [u8; 128],
    /// The reply's answer section, fragment by fragment.
    pub answers: [Item; ANSWERS_MAX],
    /// The sections behind it.
    pub items: [Item; ITEMS_MAX],
    /// What pointers count from in proofs that are still to be added.
    pub origin: Item,
    /// The hash of the next closer name in the making.
    pub sha1: Sha1,
    /// A key to look for in the chain, zeros behind it.
    pub key: [u8; 512 + 16],
    /// The reply's OPT record.
    pub opt: [u8; OPT_MAX],
    /// Records made for this reply: the CNAMEs that DNAMEs stand for. Behind them is room for one more.
    pub made: [u8; MADE + MADE_MAX],

    /// IP version of the frame: 4 or 6. Zero: a query from nobody, which nothing limits.
    pub version: Hidden<u32>,
    /// The client's address in memory order; an IPv4 address is the first four octets.
    pub client: Hidden<[u64; 2]>,
    /// Octets of headers in front of the message.
    pub head_length: Hidden<u32>,
    /// Octets of the query.
    pub query_length: Hidden<u32>,
    /// Where reading stands.
    pub position: Hidden<u32>,
    /// A count of what is being read or searched.
    pub count: Hidden<u32>,
    /// A running hash.
    pub hash: Hidden<u64>,
    /// A running sum, or a flag of a step.
    pub sum: Hidden<u64>,
    /// The bucket being searched: where it stands.
    pub bucket: Hidden<u32>,
    /// Buckets searched before it.
    pub probe: Hidden<u32>,
    /// Slots of the bucket not yet looked at begin here.
    pub slot: Hidden<u32>,
    /// A node to look at next.
    pub candidate: Hidden<u32>,
    /// What a comparison found: nonzero is "differs".
    pub differs: Hidden<u64>,

    /// QTYPE.
    pub qtype: Hidden<u32>,
    /// QCLASS.
    pub qclass: Hidden<u32>,
    /// Octets of the question name.
    pub qname_length: Hidden<u32>,
    /// Octets of the header and question.
    pub question_end: Hidden<u32>,
    /// The question's one's-complement sum, not folded.
    pub question_sum: Hidden<u64>,
    /// [`edns`] bits.
    pub edns: Hidden<u32>,
    /// The client's UDP payload size.
    pub edns_size: Hidden<u32>,
    /// Largest reply, in octets.
    pub limit: Hidden<u32>,
    /// For how many seconds the zone may be served, and a bit above them; zero: the reply does not say.
    pub expire: Hidden<u64>,
    /// Where the client cookie stands in the message.
    pub cookie: Hidden<u32>,
    /// The client cookie and the server cookie of the reply, in memory order.
    pub baked: [u64; 3],
    /// Replies over the rate since one was last sent.
    pub slips: Hidden<u32>,
    /// Replies over the rate, to clients that sent a cookie, since one was last BADCOOKIE.
    pub bakes: Hidden<u32>,
    /// When a reply was last judged, in ticks of the limiter.
    pub judged: Hidden<u32>,
    /// A number that changes with each reply that is judged.
    pub unseen: Hidden<u32>,
    /// How far ahead the source's accounts, and what lies around it, are at the least, in ticks:
    /// [`crate::limit::sieve`].
    pub floors: [Hidden<u32>; 2],
    /// How many replies this one is counted for in its accounts, as a shift.
    pub counted: Hidden<u32>,
    /// The accounts that this reply was charged to: [`crate::limit::refund`]. Zero: none.
    pub charged: [Hidden<u32>; ACCOUNTS],
    /// What it was charged.
    pub charge: [Hidden<u32>; ACCOUNTS],
    /// What the source had kept back before: [`crate::limit::around`].
    pub kept: Hidden<u32>,

    /// Offset of the current name in the message.
    pub name_offset: Hidden<u32>,
    /// Octets of the current name.
    pub name_length: Hidden<u32>,
    /// Labels of the current name.
    pub name_labels: Hidden<u32>,
    /// The zone's snapshot.
    pub zone: Hidden<u32>,
    /// The zone's bits of [`crate::layout::switch`].
    pub switches: Hidden<u32>,
    /// The zone's rates in the low octet, bits of its name's hash above.
    pub zone_limits: Hidden<u32>,
    /// The node that the walk ended at: the name's own, a delegation's, or the closest encloser's.
    pub node: Hidden<u32>,
    /// How many labels of the current name that node matches.
    pub depth: Hidden<u32>,
    /// Fragments in `answers`.
    pub answers_length: Hidden<u32>,
    /// Octets of the message up to the end of the answer section.
    pub answers_end: Hidden<u32>,
    /// The alias to follow.
    pub alias: Hidden<u32>,
    /// Links followed.
    pub links: Hidden<u32>,
    /// Octets of `made` in use.
    pub made_length: Hidden<u32>,
    /// CNAME or DNAME.
    pub alias_type: Hidden<u32>,
    /// Where its target will stand in the message.
    pub target: Hidden<u32>,
    /// The node above the wildcard that answers.
    pub encloser: Hidden<u32>,
    /// Fragments in `items`.
    pub items_length: Hidden<u32>,
    /// Octets of the reply so far: header, question, fragments.
    pub size: Hidden<u32>,
    /// Records by section.
    pub records: [Hidden<u32>; 3],
    /// Response code.
    pub rcode: Hidden<u32>,
    /// AA and TC.
    pub flags: Hidden<u32>,
    /// Octets of `opt` in use.
    pub opt_length: Hidden<u32>,
    /// Extended DNS error to add, plus one; zero is none.
    pub ede: Hidden<u32>,
    /// What the reply is, for the counters.
    pub verdict: Hidden<u32>,
}

/// Bits of [`Scratch::edns`].
pub mod edns {
    /// The query has an OPT.
    pub const PRESENT: u32 = 1;
    /// DNSSEC OK (RFC 3225).
    pub const DO: u32 = 2;
    /// The client asks for the name server identifier.
    pub const NSID: u32 = 4;
    /// A version that we do not speak.
    pub const BAD_VERSION: u32 = 8;
    /// The client sends a cookie (RFC 7873).
    pub const COOKIE: u32 = 16;
    /// And one of this server.
    pub const SERVER_COOKIE: u32 = 32;
    /// Which is good: the client is where it says.
    pub const VALIDATED: u32 = 64;
    /// The client asks for how long the zone may be served (RFC 7314).
    pub const EXPIRE: u32 = 128;
}

impl Scratch {
    /// An octet of the message; zero beyond the buffer.
    #[inline(always)]
    pub fn octet(&self, at: u32) -> u32 {
        u32::from(bounds::get(&self.message, at).unwrap_or(0))
    }

    /// Leaves nothing of the planned reply but header and question.
    #[inline(always)]
    pub fn keep_question(&mut self) {
        self.size.set(self.question_end.get());
        self.items_length.set(0);
        self.answers_length.set(0);
        self.records[0].set(0);
        self.records[1].set(0);
        self.records[2].set(0);
    }

    /// A 16-bit number of the message; zero beyond the buffer.
    #[inline(always)]
    pub fn number(&self, at: u32) -> u32 {
        u32::from(bounds::number(&self.message, at))
    }
}
