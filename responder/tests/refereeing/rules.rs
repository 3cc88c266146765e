//! What we answer where servers differ and may: each class of replies that a peer gives otherwise, our
//! rule for it, and where that rule comes from.
//!
//! The judge names one of these for every reply that is not the peer's record for record; what no rule
//! covers is a difference, and a fault.

/// A class of replies in which servers differ, and what we do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// What is asked, and how the peer differs.
    pub class: &'static str,
    /// What we answer.
    pub ours: &'static str,
    /// The document that says so, or that leaves it open.
    pub source: &'static str,
}

macro_rules! rules {
    ($($name:ident: $class:literal, $ours:literal, $source:literal;)*) => {
        $(#[doc = $class] pub const $name: Rule =
            Rule { class: $class, ours: $ours, source: $source };)*

        /// Every rule.
        pub const ALL: &[Rule] = &[$($name,)*];
    };
}

rules! {
    ANY: "ANY, answered with more by the peer",
        "one RRset of those at the name, with its signatures", "RFC 8482, sections 4.1 and 4.3";
    ANY_OTHER: "ANY, answered with another RRset by the peer",
        "one RRset of those at the name, with its signatures", "RFC 8482, sections 4.1 and 4.3";
    RRSIG: "RRSIG asked for: another RRset's",
        "the signatures of one RRset", "RFC 8482, sections 4.1 and 7";
    APEX_NS: "positive, and the peer adds the zone's NS set",
        "answer only", "RFC 1034, section 4.3.2, asks for none";
    MORE_DATA: "positive, and the peer adds addresses",
        "answer only, but for an apex NS set", "RFC 2181, section 5.2; RFC 1035, section 6.3: may";
    PRIMING: "an apex NS set, and the peer adds addresses that ours leaves out",
        "the addresses of its servers in the zone, if they all fit", "RFC 9609, section 4.2";
    SIBLING_ROOM: "sibling glue left out though a record of it fits",
        "sibling glue whole or not at all", "RFC 9471, section 3.2: may be left out";
    SIBLING_SIZE: "sibling glue left out for its size",
        "sibling glue when it fits", "RFC 9471, section 3.2: may be left out";
    SIBLING_MORE: "sibling glue that the peer leaves out",
        "sibling glue when it fits", "RFC 9471, section 3.2: should be there";
    CHAIN_EDGE: "a chain that we leave where the peer goes on",
        "aliases are followed inside the zone, eight links",
        "RFC 1034, sections 3.6.2 and 4.3.2; clients' zones do not mix";
    CHAIN_FIVE: "a chain that Knot leaves after five links",
        "eight links; rcode and proof of the last name", "RFC 1034, section 3.6.2; RFC 6604";
    CIRCLE: "a circle of DNAMEs, followed not equally far",
        "eight links, what was gathered, NOERROR", "RFC 6672, section 3.2";
    ORPHAN_DS: "DS at an apex to which the parent zone holds no cut",
        "the parent's word", "RFC 4035, section 3.1.4.1";
    NSEC3_ALIAS: "NSEC3 asked for at an alias, which NSD does not follow",
        "the alias and what it leads to", "RFC 1034, section 4.3.2";
    WILDCARD_NAME: "no data at the name of a wildcard, and one NSEC3 too many with NSD",
        "the NSEC3 that matches it", "RFC 5155, section 7.2.3";
    NAMED_LIKE_WILDCARD: "a name that begins with * and is made from a wildcard, without proof with Knot",
        "no closer name exists, and for no data the wildcard and its encloser",
        "RFC 5155, sections 7.2.5 and 7.2.6";
    OPT_OUT_GAP: "no such name, or no DS, where opt-out leaves a name without an NSEC3",
        "the closest provable encloser and what covers the next closer name",
        "RFC 5155, sections 7.2.1, 7.2.2 and 7.2.4";
    NSEC_EXPANDED: "no closer name: the NSEC asked for, again under its own name",
        "it stands in the authority section too", "RFC 4035, section 3.1.3.3";
    EMPTY_WILDCARD: "no data at a wildcard that only has names below it",
        "the NSEC that denies the type at the wildcard", "RFC 4035, section 3.1.3.4";
    END_OF_DNAME: "no such name where a DNAME leads",
        "an NSEC for the name besides that for the wildcard", "RFC 4035, section 3.1.3.2";
    WILDCARD_OF_DNAME: "a wildcard stands in where a DNAME leads, and an NSEC beside the name with NSD",
        "the NSEC that covers the name", "RFC 4035, section 3.1.3.3";
}
