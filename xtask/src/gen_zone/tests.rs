//! The zones and queries made are what the documentation says.

use std::{collections::HashSet, fs};

use super::*;
use crate::cleanup::Scratch;

fn made(names: usize, seed: u64) -> (String, String) {
    let folder = Scratch::create().expect("a folder");
    let args = Args {
        names,
        signed: None,
        seed,
        apex: "lac.".into(),
        out: folder.path().join("lac.zone"),
        queries: Some(folder.path().join("queries")),
        count: 2_000,
    };
    generate(&args).expect("a zone");
    let read = |name| fs::read_to_string(folder.path().join(name)).expect("written");
    (read("lac.zone"), read("queries"))
}

#[test]
fn equal_seeds_make_equal_zones_and_others_do_not() {
    assert_eq!(made(500, 1), made(500, 1));
    assert_ne!(made(500, 1).0, made(500, 2).0);
}

#[test]
fn delegations_are_distinct_and_of_the_promised_mix() {
    let (zone, _) = made(5_000, 3);
    let of_type = |rtype: &str| -> HashSet<&str> {
        let lines = zone.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines.filter(|words| words.get(2) == Some(&rtype)).map(|words| words[0]).collect()
    };
    let mut delegated = of_type("NS");
    delegated.remove("@");
    assert_eq!(delegated.len(), 5_000);
    let hosts = of_type("A");
    let with_glue = hosts.iter().filter_map(|owner| owner.strip_prefix("ns1."));
    let share = with_glue.filter(|owner| delegated.contains(owner)).count() * 100 / 5_000;
    assert!((37..=43).contains(&share), "{share} % with glue");
    let secure = of_type("DS");
    assert!((400..=600).contains(&secure.len()), "{} with DS", secure.len());
}

#[test]
fn queries_ask_for_names_of_the_zone_and_for_absent_ones() {
    let (zone, queries) = made(500, 4);
    let owners: HashSet<&str> = zone.lines().filter_map(|line| line.split(' ').next()).collect();
    let mut absent = 0;
    for line in queries.lines() {
        let name = line.split(' ').next().expect("a name");
        let owner = name.strip_suffix(".lac").map(|name| name.trim_start_matches("www."));
        absent += usize::from(owner.is_some_and(|owner| !owners.contains(owner)));
    }
    assert_eq!(queries.lines().count(), 2_000);
    assert!((340..=460).contains(&absent), "{absent} of 2,000 do not exist");
}

#[test]
fn addresses_are_addresses_beyond_65536_delegations_too() {
    let (zone, _) = made(70_000, 5);
    for line in zone.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let [_, "IN", "A" | "AAAA", address] = words[..] {
            let read: Result<std::net::IpAddr, _> = address.parse();
            assert_eq!(read.map(|address| address.is_ipv6()), Ok(words[2] == "AAAA"), "{line}");
        }
    }
}
