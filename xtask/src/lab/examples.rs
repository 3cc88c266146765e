//! The files of `examples/cloud/`, with the laboratory's values in the place of the documentation's.

use anyhow::{Context as _, ensure};

/// Puts values in the place of what an example says.
///
/// # Errors
/// When the example does not say it: the laboratory would run something else than what it shows.
pub fn fill(text: &str, values: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut values = values.to_vec();
    // One example may be the beginning of another.
    values.sort_by_key(|(example, _)| std::cmp::Reverse(example.len()));
    let mut filled = text.to_owned();
    for (number, (example, _)) in values.iter().enumerate() {
        ensure!(text.contains(example), "the example does not contain {example:?}");
        filled = filled.replace(example, &mark(number));
    }
    for (number, (_, value)) in values.iter().enumerate() {
        filled = filled.replace(&mark(number), value);
    }
    Ok(filled)
}

/// Stands for a value until all are known to be free of examples.
fn mark(number: usize) -> String {
    format!("\u{1}{number}\u{2}")
}

/// Writes the lines between two marks of an example once for each of several sets of values.
///
/// # Errors
/// When the marks are not there, or as [`fill`].
pub fn repeat<'a>(
    text: &str,
    from: &str,
    to: &str,
    sets: impl IntoIterator<Item = Vec<(&'a str, String)>>,
) -> anyhow::Result<String> {
    let start = text.find(from).with_context(|| format!("no {from:?}"))?;
    let length = text[start..].find(to).with_context(|| format!("no {to:?} after {from:?}"))?;
    let (before, rest) = text.split_at(start);
    let (part, after) = rest.split_at(length);
    let mut filled = before.to_owned();
    for set in sets {
        let set: Vec<_> = set.iter().map(|(example, value)| (*example, &value[..])).collect();
        filled += &fill(part, &set)?;
    }
    Ok(filled + after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_examples_go_first_and_values_are_not_filled_again() {
        let filled =
            fill("a 10.0.0.1 b 10.0.0.12", &[("10.0.0.1", "10.0.0.12"), ("10.0.0.12", "x")]);
        assert_eq!(filled.ok().as_deref(), Some("a 10.0.0.12 b x"));
        assert!(fill("a", &[("b", "c")]).is_err());
    }

    #[test]
    fn a_part_is_repeated() {
        let sets = ["1", "2"].map(|value| vec![("n", value.to_owned())]);
        assert_eq!(repeat("[ n,]", " n", "]", sets).ok().as_deref(), Some("[ 1, 2,]"));
    }
}
