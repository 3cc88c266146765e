//! What is announced: a prefix and how it is marked.

use std::{fmt, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// An address family; each is judged, announced and withdrawn by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// That of a prefix.
    pub fn of(prefix: &IpNet) -> Self {
        if prefix.addr().is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Its name in files and in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A BGP community: standard (RFC 1997) or large (RFC 8092).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Community {
    /// Two numbers of 16 bits.
    Standard(u16, u16),
    /// Three of 32 bits.
    Large(u32, u32, u32),
}

impl Community {
    /// Peers that know it prefer any other route (RFC 8326, section 3.1).
    pub const GRACEFUL_SHUTDOWN: Self = Self::Standard(65_535, 0);
    /// Those with a name: RFC 1997, RFC 3765, RFC 8326.
    const NAMED: [(&str, Self); 4] = [
        ("no-export", Self::Standard(65_535, 65_281)),
        ("no-advertise", Self::Standard(65_535, 65_282)),
        ("no-peer", Self::Standard(65_535, 65_284)),
        ("graceful-shutdown", Self::GRACEFUL_SHUTDOWN),
    ];
}

impl FromStr for Community {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, community)) = Self::NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*community);
        }
        let numbers: Option<Vec<u32>> = text.split(':').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some([high, low]) => match (u16::try_from(*high), u16::try_from(*low)) {
                (Ok(high), Ok(low)) => Ok(Self::Standard(high, low)),
                _ => {
                    Err("each number is 65535 at the most: a larger one needs a large community, \
                          such as \"4200000001:100:1\""
                        .to_owned())
                }
            },
            Some([global, first, second]) => Ok(Self::Large(*global, *first, *second)),
            _ => {
                let names: Vec<&str> = Self::NAMED.iter().map(|(name, _)| *name).collect();
                Err(format!(
                    "a community is \"65000:100\", \"65000:100:1\" or one of {}",
                    names.join(", ")
                ))
            }
        }
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(high, low) => write!(f, "{high}:{low}"),
            Self::Large(global, first, second) => write!(f, "{global}:{first}:{second}"),
        }
    }
}

/// How routes of a service are marked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Marks {
    /// Communities.
    pub communities: Vec<Community>,
    /// The multi-exit discriminator; lower is preferred (RFC 4271, section 5.1.4).
    pub med: Option<u32>,
    /// The number of the autonomous system that is prepended to the path, and how often.
    pub prepend: Option<(u32, u8)>,
}

/// A prefix as it is to be announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// What is announced.
    pub prefix: IpNet,
    /// How it is marked.
    pub marks: Marks,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn communities_are_read_as_they_are_written() {
        for text in ["65000:100", "0:65535", "4200000001:1:4294967295"] {
            assert_eq!(text.parse::<Community>().unwrap().to_string(), text);
        }
        assert_eq!("no-export".parse(), Ok(Community::Standard(0xffff, 0xff01)));
        assert_eq!("graceful-shutdown".parse(), Ok(Community::GRACEFUL_SHUTDOWN));
        for text in ["", "1", "65536:1", "1:2:3:4", "1:2:4294967296", "no-exports", "-1:2"] {
            assert!(text.parse::<Community>().is_err(), "{text}");
        }
    }
}
