//! What a new version of a catalog must satisfy before its word counts: an empty one removes nothing, and
//! neither does one that drops more members than the operator allows, until somebody says that it is meant.

use super::Content;

/// So few members may go whatever their share is.
const FEW: usize = 3;

/// Judges a version that follows another. `elsewhere` tells whether another catalog lists a zone;
/// `max_removal` is in hundredths of the members, and 100 lets everything pass.
///
/// # Errors
/// It would remove too much: one line.
pub fn judge(
    before: &Content,
    now: &Content,
    max_removal: u8,
    elsewhere: impl Fn(&str) -> bool,
) -> Result<(), String> {
    if max_removal >= 100 {
        return Ok(());
    }
    let members = before.members.len();
    // A member under a new label begins anew: its data go as well.
    let is_gone = |(name, member): &(&String, &super::Member)| {
        let same = now.members.get(*name).is_some_and(|now| now.unique == member.unique);
        !same && !elsewhere(name)
    };
    let gone = before.members.iter().filter(is_gone).count();
    if gone == 0 {
        return Ok(());
    }
    if now.members.is_empty() {
        return Err(format!("it lists no zone any more, and listed {members}"));
    }
    if gone > FEW && gone * 100 > members * usize::from(max_removal) {
        return Err(format!(
            "{gone} of its {members} zones would go: max-removal = {max_removal} (per cent) forbids that"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Member;

    fn listing(zones: std::ops::Range<u32>, label: &str) -> Content {
        let member = |number: u32| {
            let name = format!("z{number}.");
            let unique = format!("{label}{number}").into_bytes();
            (name.clone(), Member { name, unique, ..Member::default() })
        };
        Content { members: zones.map(member).collect(), ..Content::default() }
    }

    #[test]
    fn mass_removal_and_emptiness_are_held() {
        let before = listing(0..10, "u");
        let nowhere = |_: &str| false;
        assert_eq!(judge(&before, &listing(0..12, "u"), 25, nowhere), Ok(()));
        // Three may go of however few.
        assert_eq!(judge(&before, &listing(3..10, "u"), 25, nowhere), Ok(()));
        assert!(judge(&before, &listing(4..10, "u"), 25, nowhere).is_err());
        assert_eq!(judge(&before, &listing(4..10, "u"), 40, nowhere), Ok(()));
        assert!(judge(&before, &listing(0..0, "u"), 99, nowhere).is_err());
        assert_eq!(judge(&before, &listing(0..0, "u"), 100, nowhere), Ok(()));
        // One zone is all of it.
        assert!(judge(&listing(0..1, "u"), &listing(0..0, "u"), 99, nowhere).is_err());
        // All begin anew.
        assert!(judge(&before, &listing(0..10, "v"), 25, nowhere).is_err());
        // All are another catalog's now.
        assert_eq!(judge(&before, &listing(0..0, "u"), 25, |_| true), Ok(()));
    }
}
