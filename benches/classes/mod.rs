//! The classes of answers that the benches time, and queries for each.

mod zones;

pub use zones::Zones;

/// A class of answers.
pub struct Class {
    /// Its name in tables.
    pub label: &'static str,
    /// What the program counts it as.
    pub verdict: &'static str,
    /// About which names.
    pub names: Names,
    /// QTYPE.
    pub qtype: u16,
    /// The forms in which it is asked for.
    pub edns: &'static [Edns],
}

const A: u16 = 1;
const AAAA: u16 = 28;
const DS: u16 = 43;
const PLAIN: &[Edns] = &[Edns::Off, Edns::On];
const SIGNED: &[Edns] = &[Edns::Do];

#[rustfmt::skip] // a table
/// Every class.
pub const CLASSES: &[Class] = &[
    Class { label: "REFUSED", verdict: "refused", names: Names::Elsewhere, qtype: A, edns: PLAIN },
    Class { label: "positive", verdict: "positive", names: Names::Mixed("a"), qtype: A, edns: PLAIN },
    Class { label: "NODATA", verdict: "nodata", names: Names::Mixed("a"), qtype: AAAA, edns: PLAIN },
    Class { label: "wildcard", verdict: "positive", names: Names::Mixed("x.w"), qtype: A, edns: PLAIN },
    Class { label: "CNAME, two links", verdict: "positive", names: Names::Mixed("c"), qtype: A, edns: PLAIN },
    Class { label: "DNAME onto a wildcard", verdict: "positive", names: Names::Mixed("x.d"), qtype: A, edns: PLAIN },
    Class { label: "referral", verdict: "referral", names: Names::Cut("plain", Cut::Hosted), qtype: A, edns: PLAIN },
    Class { label: "referral with glue", verdict: "referral", names: Names::Cut("plain", Cut::Glue), qtype: A, edns: PLAIN },
    Class { label: "www below a referral", verdict: "referral", names: Names::Below("plain", Cut::Hosted), qtype: A, edns: PLAIN },
    Class { label: "NXDOMAIN", verdict: "nxdomain", names: Names::Absent("plain"), qtype: A, edns: PLAIN },
    Class { label: "signed positive (DS)", verdict: "positive", names: Names::Cut("optout", Cut::Secure), qtype: DS, edns: SIGNED },
    Class { label: "secure referral (DS)", verdict: "referral", names: Names::Cut("optout", Cut::Secure), qtype: A, edns: SIGNED },
    Class { label: "insecure referral, opt-out proof", verdict: "referral", names: Names::Cut("optout", Cut::Hosted), qtype: A, edns: SIGNED },
    Class { label: "NXDOMAIN, NSEC3 opt-out", verdict: "nxdomain", names: Names::Absent("optout"), qtype: A, edns: SIGNED },
    Class { label: "NXDOMAIN, NSEC3", verdict: "nxdomain", names: Names::Absent("nsec3"), qtype: A, edns: SIGNED },
    Class { label: "NXDOMAIN, NSEC", verdict: "nxdomain", names: Names::Absent("nsec"), qtype: A, edns: SIGNED },
];

/// What a query carries besides its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edns {
    /// No OPT.
    Off,
    /// OPT without DO.
    On,
    /// OPT with DO.
    Do,
}

/// Which names of which zone are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Names {
    /// In no zone of ours.
    Elsewhere,
    /// A kind of name in the mixed zone: the letters that it begins with.
    Mixed(&'static str),
    /// Delegations of a registry.
    Cut(&'static str, Cut),
    /// `www` below such delegations.
    Below(&'static str, Cut),
    /// Names that a registry does not have.
    Absent(&'static str),
}

/// A kind of delegation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// With servers elsewhere, without DS.
    Hosted,
    /// With glue, without DS.
    Glue,
    /// With DS.
    Secure,
}
