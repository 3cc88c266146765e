//! What a catalog may say of a member beside its group: options, which change its template.
//!
//! ```text
//! options.ext.UNIQUE.zones.CATALOG   TXT   one for each: max-shrink=20, zonemd=required ...
//! ```

use std::collections::BTreeMap;

use crate::{config::Zone, zone::guard::Zonemd};

/// Options by name.
pub type Options = BTreeMap<String, String>;

/// An option that is known, and its value.
enum Option {
    MaxShrink(u8),
    JournalOctets(u64),
    JournalEntries(u64),
    Zonemd(Zonemd),
}

/// Reads `NAME=VALUE`.
///
/// # Errors
/// It is none: one line.
pub fn parse(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("an option is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Whether there is an option of this name that takes this value.
///
/// # Errors
/// There is none: one line.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    Option::of(name, value).map(drop)
}

/// Sets a zone's option.
///
/// # Errors
/// As [`check`].
pub fn apply(zone: &mut Zone, name: &str, value: &str) -> Result<(), String> {
    match Option::of(name, value)? {
        Option::MaxShrink(percent) => zone.guards.max_shrink = Some(percent),
        Option::JournalOctets(octets) => zone.journal.octets = octets,
        Option::JournalEntries(entries) => zone.journal.entries = entries,
        Option::Zonemd(zonemd) => zone.guards.zonemd = zonemd,
    }
    Ok(())
}

impl Option {
    fn of(name: &str, value: &str) -> Result<Self, String> {
        let number = |most: u64| {
            let number = value.parse::<u64>().ok().filter(|number| *number <= most);
            number.ok_or_else(|| format!("{name} is a number from 0 to {most}, not \"{value}\""))
        };
        Ok(match name {
            "max-shrink" => Self::MaxShrink(number(99)? as u8),
            "journal-octets" => Self::JournalOctets(number(1 << 40)?),
            "journal-entries" => Self::JournalEntries(number(1_000_000)?),
            "zonemd" => Self::Zonemd(Zonemd::parse(value)?),
            _ => {
                return Err(format!(
                    "\"{name}\" is no option of a member: there are max-shrink, journal-octets, \
                     journal-entries and zonemd"
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_known_options_with_sound_values_pass() {
        assert_eq!(super::check("max-shrink", "20"), Ok(()));
        assert_eq!(super::check("zonemd", "required"), Ok(()));
        for (name, value) in [("max-shrink", "100"), ("zonemd", "x"), ("file", "/etc/passwd")] {
            assert!(super::check(name, value).is_err(), "{name}={value}");
        }
        assert!(super::parse("max-shrink").is_err());
    }
}
