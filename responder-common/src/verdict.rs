//! What became of a packet: the counter's index and the metric's label, in one place.

/// What the caller does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The next step of the engine.
    Continue,
    /// The current name changed to an alias's target: walk again.
    Chase,
    /// The next closer name is still to be covered, then the reply is planned.
    Cover,
    /// The name is an alias that is to be followed.
    Follow,
    /// Both, in this order.
    CoverAndFollow,
    /// The reply is planned: write it.
    Reply,
    /// No reply from here.
    Stop(Verdict),
}

impl Next {
    /// As a number, for functions that the verifier treats as black boxes.
    #[inline(always)]
    pub fn to_number(self) -> u32 {
        match self {
            Self::Continue => 0,
            Self::Chase => 1,
            Self::Reply => 2,
            Self::Cover => 3,
            Self::Follow => 4,
            Self::CoverAndFollow => 5,
            Self::Stop(verdict) => 6 + verdict as u32,
        }
    }

    /// From a number; what is none is a fault of the engine.
    #[inline(always)]
    pub fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Continue,
            1 => Self::Chase,
            2 => Self::Reply,
            3 => Self::Cover,
            4 => Self::Follow,
            5 => Self::CoverAndFollow,
            _ => Self::Stop(Verdict::from_number(number - 6)),
        }
    }
}

/// What is done with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Sent back as a reply.
    Reply,
    /// Left to whoever comes next: tc, then the sockets.
    Pass,
    /// Forgotten.
    Drop,
}

macro_rules! verdicts {
    ($($(#[$doc:meta])* $name:ident = $action:ident $label:literal,)*) => {
        /// What became of a packet.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u32)]
        pub enum Verdict { $($(#[$doc])* $name,)* }

        impl Verdict {
            /// Every verdict, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The label of the counter.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// What is done with the packet.
            #[inline(always)]
            pub const fn action(self) -> Action {
                match self { $(Self::$name => Action::$action,)* }
            }

            /// The verdict with this number, or [`Verdict::Fault`].
            #[inline(always)]
            pub fn from_number(number: u32) -> Self {
                if number >= Self::ALL.len() as u32 {
                    return Self::Fault;
                }
                // SAFETY: the variants are numbered from zero without a gap, and there are as many.
                unsafe { core::mem::transmute::<u32, Self>(number) }
            }
        }
    };
}

verdicts! {
    /// An RRset, perhaps behind aliases.
    Positive = Reply "positive",
    /// An alias whose target is not in the zone.
    Alias = Reply "alias",
    /// The name is there, the type is not.
    NoData = Reply "nodata",
    /// The name is not there.
    NxDomain = Reply "nxdomain",
    /// The name belongs to another zone below a cut.
    Referral = Reply "referral",
    /// The reply did not fit: TC=1.
    Truncated = Reply "truncated",
    /// Not a zone of ours, or a class that we do not serve.
    Refused = Reply "refused",
    /// The query cannot be read.
    FormErr = Reply "formerr",
    /// An opcode that we do not implement.
    NotImp = Reply "notimp",
    /// An EDNS version that we do not speak.
    BadVersion = Reply "badvers",
    /// A substitution by DNAME grew too long.
    TooLong = Reply "yxdomain",
    /// The identity of the node.
    Identity = Reply "identity",
    /// The zone cannot be answered from for now.
    ServFail = Reply "servfail",
    /// More than its source may have: sent without what was asked for, no longer than the query.
    Slipped = Reply "limited-slip",
    /// The same, to a client that can come back with the cookie (RFC 7873, section 5.2.3).
    BadCookie = Reply "badcookie",
    /// Nothing but a cookie, to a client that asks for nothing else (RFC 7873, section 5.4).
    Cookie = Reply "cookie",

    /// A response, not a query: answering would make loops.
    NotQuery = Drop "drop-response",
    /// Shorter than a DNS header.
    Runt = Drop "drop-runt",
    /// A source from which no query can come: multicast, loopback, unspecified, port 0.
    Martian = Drop "drop-martian",
    /// IPv6 without a UDP checksum (RFC 8200, section 8.1).
    NoChecksum = Drop "drop-no-checksum",
    /// Lengths of the headers that contradict each other.
    BadLength = Drop "drop-length",

    /// More replies than the source may have.
    Limited = Drop "drop-limited",
    /// More messages for the daemon than the source, or all together, may send.
    PassLimited = Drop "drop-pass-limit",
    /// A source that is not served.
    Denied = Drop "drop-denied",

    /// Writing the reply failed half-way: what is left of the frame is nobody's.
    Torn = Drop "drop-torn",

    /// Neither IPv4 nor IPv6.
    NotIp = Pass "pass-not-ip",
    /// Not UDP.
    NotUdp = Pass "pass-not-udp",
    /// Not our port or not our address.
    NotOurs = Pass "pass-not-ours",
    /// IPv4 options or IPv6 extension headers.
    IpOptions = Pass "pass-ip-options",
    /// A fragment of a datagram.
    IpFragment = Pass "pass-ip-fragment",
    /// A query larger than we take.
    Oversize = Pass "pass-oversize",
    /// NOTIFY (RFC 1996).
    Notify = Pass "pass-notify",
    /// A zone transfer.
    Transfer = Pass "pass-transfer",
    /// Signed by TSIG or SIG(0).
    Tsig = Pass "pass-tsig",
    /// The frame cannot hold the reply: the next hook can.
    NoRoom = Pass "pass-no-room",
    /// No daemon has renewed the lease in time: nobody knows how old the zones are.
    Lease = Pass "pass-lease",
    /// An operator has switched the kernel's answers off, for all zones or for this one.
    SwitchedOff = Pass "pass-switched-off",
    /// The engine met what cannot be: a fault of the program or of the store.
    Fault = Pass "pass-fault",
}

/// How many counters a hook has.
pub const COUNTERS: usize = Verdict::ALL.len();

/// Rows of counters: both hooks, what is over the rate, and runs by the daemon itself.
pub const ROWS: u32 = 4;

/// How the daemon marks a packet that it runs the programs on, so that they do not count it as one that came:
/// by so many octets of metadata in front of the frame, which no driver leaves there, and by this mark of an
/// skb.
pub mod probe {
    /// Octets of metadata.
    pub const METADATA: usize = 4;
    /// `skb->mark`.
    pub const MARK: u32 = 0x7072_6f62;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_numbered_without_a_gap() {
        for (number, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, number);
            assert_eq!(Verdict::from_number(number as u32), *verdict);
        }
        assert_eq!(Verdict::from_number(COUNTERS as u32), Verdict::Fault);
    }
}
