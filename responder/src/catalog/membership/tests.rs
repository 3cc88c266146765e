use std::path::Path;

use super::*;

fn config() -> Config {
    let text = "[listen]\naddresses = [\"127.0.0.1\"]\n[xdp]\nmode = \"off\"\n[[template]]\nname = \
                \"plain\"\nprimaries = [{ address = \"192.0.2.1\" }]\n[[template]]\nname = \
                \"other\"\nprimaries = [{ address = \"192.0.2.2\" }]\n[[zone]]\nname = \"one.\"\n\
                file = \"one\"\nmembers = \"plain\"\ngroups = [{ name = \"g\", template = \"other\" \
                }]\n[[zone]]\nname = \"two.\"\nfile = \"two\"\nmembers = \"plain\"\n[[zone]]\nname \
                = \"here.\"\nfile = \"here\"\n";
    let reading = Config::parse(Path::new("r.toml"), text);
    assert_eq!(reading.faults, []);
    reading.config
}

type Lines<'a> = Vec<(&'a str, &'a str, &'a [&'a str], Option<&'a str>)>;

/// What a catalog says: zone, unique label, groups, whom it is handed to.
fn says(said: &Lines<'_>) -> Heard {
    let member = |(name, unique, groups, handed): &(&str, &str, &[&str], Option<&str>)| Member {
        name: (*name).to_owned(),
        unique: unique.as_bytes().to_vec(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        handed_to: handed.map(str::to_owned),
        options: BTreeMap::new(),
    };
    let members = said.iter().map(|one| (one.0.to_owned(), member(one))).collect();
    (1, Ok(Content { members, ..Content::default() }))
}

/// Follows what both catalogs say; the members, those of them in the group with a mark.
fn follow(membership: &mut Membership, one: &Lines<'_>, two: &Lines<'_>) -> (String, Vec<String>) {
    let config = config();
    let outcome =
        membership.follow(&config, |name| Some(says(if name == "one." { one } else { two })));
    let told = |zone: &Zone| {
        let grouped = zone.source == config.templates[1].source;
        format!("{}{}", zone.name, if grouped { "*" } else { "" })
    };
    (outcome.zones.iter().map(told).collect::<Vec<_>>().join(" "), outcome.reset)
}

#[test]
fn rfc9432_members_come_and_go_and_groups_choose_templates() {
    let mut membership = Membership::default();
    let (a, b, c) = (("a.", "1", &[][..], None), ("b.", "2", &["g"][..], None), "here.");
    let here = (c, "3", &[][..], None);
    let (zones, reset) = follow(&mut membership, &vec![a, b, here], &vec![]);
    assert_eq!((zones.as_str(), reset.len()), ("a. b.*", 0));
    let (zones, _) = follow(&mut membership, &vec![b], &vec![]);
    assert_eq!(zones, "b.*");
    let again = ("b.", "9", &["g"][..], None);
    let (zones, reset) = follow(&mut membership, &vec![again], &vec![]);
    assert_eq!((zones.as_str(), reset), ("b.*", vec!["b.".to_owned()]));
    assert_eq!(follow(&mut membership, &vec![again], &vec![]).1, Vec::<String>::new());
}

#[test]
fn rfc9432_a_broken_catalog_changes_nothing() {
    let mut membership = Membership::default();
    let a = ("a.", "1", &[][..], None);
    follow(&mut membership, &vec![a], &vec![]);
    let config = config();
    let outcome = membership.follow(&config, |_| Some((2, Err("broken".to_owned()))));
    assert_eq!(outcome.zones.len(), 1);
    assert_eq!(membership.follow(&config, |_| None).zones.len(), 1);
}

#[test]
fn rfc9432_a_zone_changes_its_catalog_only_where_the_old_one_hands_it_on() {
    let mut membership = Membership::default();
    let plain = ("a.", "1", &[][..], None);
    let grouped = ("a.", "1", &["g"][..], None);
    let handed = ("a.", "1", &["g"][..], Some("two."));
    assert_eq!(follow(&mut membership, &vec![grouped], &vec![]).0, "a.*");
    // The other one wants it, and does not get it.
    assert_eq!(follow(&mut membership, &vec![grouped], &vec![plain]).0, "a.*");
    let (zones, reset) = follow(&mut membership, &vec![handed], &vec![plain]);
    assert_eq!((zones.as_str(), reset.len()), ("a.", 0));
    // It is the other one's now, whatever the first one still says.
    assert_eq!(follow(&mut membership, &vec![grouped], &vec![plain]).0, "a.");
    assert_eq!(follow(&mut membership, &vec![grouped], &vec![]).0, "a.*");
}
