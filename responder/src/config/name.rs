//! Domain names as a configuration writes them.

use std::str::FromStr;

use domain::base::{Name, name::ToName};

/// The canonical form of a name: lower case, with the final dot; without one the name is absolute
/// all the same. Escapes (`\.`, `\032`) are understood.
///
/// # Errors
/// Why the text is no domain name.
pub fn canonical_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name is empty: the root is \".\"".to_owned());
    }
    let name = Name::<Vec<u8>>::from_str(text).map_err(|error| error.to_string())?;
    let mut lower = name.to_canonical_name::<Vec<u8>>();
    lower.make_canonical();
    Ok(lower.fmt_with_dot().to_string())
}

#[cfg(test)]
mod tests {
    use super::canonical_name;

    #[test]
    fn names_are_lowered_and_end_in_a_dot() {
        assert_eq!(canonical_name("LAC."), Ok("lac.".to_owned()));
        assert_eq!(canonical_name("Example.ORG"), Ok("example.org.".to_owned()));
        assert_eq!(canonical_name("."), Ok(".".to_owned()));
    }

    #[test]
    fn rfc1035_limits_are_kept() {
        assert!(canonical_name("").is_err());
        assert!(canonical_name("a..b").is_err());
        assert!(canonical_name(&"a".repeat(64)).is_err());
        assert!(canonical_name(&"abcdefg.".repeat(32)).is_err());
    }
}
