//! Which catalog's word counts for which zone.

use std::collections::BTreeMap;

use tracing::{error, info, warn};

use super::Member;
use crate::config::{Config, Zone};

/// The zones of all catalogs that are followed.
#[derive(Default)]
pub struct Membership {
    /// What each catalog said last while it was not broken, by its name.
    said: BTreeMap<String, BTreeMap<String, Member>>,
    /// Which catalog a zone belongs to, and under which label.
    owners: BTreeMap<String, Owner>,
    /// What was wrong with each catalog, so that it is told once.
    faults: BTreeMap<String, String>,
}

/// To whom a zone belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    catalog: String,
    unique: Vec<u8>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The zones of all members.
    pub zones: Vec<Zone>,
    /// Those among them that begin anew: what is known of them is to be dropped first (RFC 9432, section
    /// 5.4).
    pub reset: Vec<String>,
}

impl Membership {
    /// Follows what the catalogs of a configuration say. `read` gives the members of a catalog, none where
    /// it is not served yet, or why it is broken: then what it said before goes on to count.
    pub fn follow(
        &mut self,
        config: &Config,
        read: impl Fn(&str) -> Option<Result<BTreeMap<String, Member>, String>>,
    ) -> Outcome {
        let catalogs: Vec<&Zone> =
            config.zones.iter().filter(|zone| zone.members.is_some()).collect();
        self.said.retain(|name, _| catalogs.iter().any(|catalog| catalog.name == *name));
        for catalog in &catalogs {
            match read(&catalog.name) {
                None => {}
                Some(Ok(members)) => {
                    self.faults.remove(&catalog.name);
                    self.said.insert(catalog.name.clone(), members);
                }
                Some(Err(fault)) => {
                    if self.faults.get(&catalog.name) != Some(&fault) {
                        error!(
                            zone = catalog.name,
                            "the catalog is broken, its members stay as they were: {fault}"
                        );
                    }
                    self.faults.insert(catalog.name.clone(), fault);
                }
            }
        }
        self.assign(config, &catalogs)
    }

    fn assign(&mut self, config: &Config, catalogs: &[&Zone]) -> Outcome {
        let before = std::mem::take(&mut self.owners);
        let mut outcome = Outcome::default();
        // In the order of the configuration: where nobody has a zone yet, the first one gets it.
        let mut claims: BTreeMap<&String, Vec<(&Zone, &Member)>> = BTreeMap::new();
        for catalog in catalogs {
            for (name, member) in self.said.get(&catalog.name).into_iter().flatten() {
                claims.entry(name).or_default().push((catalog, member));
            }
        }
        for (name, claims) in claims {
            if config.zones.iter().any(|zone| zone.name == *name) {
                warn!(
                    zone = name,
                    "the zone is configured here: the catalog's word does not count"
                );
                continue;
            }
            let owner = before.get(name);
            let Some((catalog, member)) = choose(owner, &claims) else { continue };
            if claims.len() > 1 {
                warn!(zone = name, catalog = catalog.name, "several catalogs list the zone");
            }
            let Some(zone) = zone_of(config, catalog, member) else { continue };
            let now = Owner { catalog: catalog.name.clone(), unique: member.unique.clone() };
            match owner {
                None => info!(zone = name, catalog = catalog.name, "the catalog lists a new zone"),
                Some(owner) if owner.unique != now.unique => {
                    info!(zone = name, catalog = catalog.name, "the zone begins anew");
                    outcome.reset.push(name.clone());
                }
                Some(owner) if owner.catalog != now.catalog => {
                    info!(zone = name, catalog = catalog.name, "the zone has another catalog now");
                }
                Some(_) => {}
            }
            self.owners.insert(name.clone(), now);
            outcome.zones.push(zone);
        }
        outcome
    }
}

/// The claim that counts: the owner's, unless it hands the zone to another that claims it (RFC 9432,
/// section 4.3.1).
fn choose<'a>(
    owner: Option<&Owner>,
    claims: &[(&'a Zone, &'a Member)],
) -> Option<(&'a Zone, &'a Member)> {
    let of = |name: &str| claims.iter().find(|(catalog, _)| catalog.name == name).copied();
    let mut chosen = owner.and_then(|owner| of(&owner.catalog)).or(claims.first().copied())?;
    // Handed on from one to the next, but never round in a circle.
    for _ in claims {
        match chosen.1.handed_to.as_deref().and_then(of) {
            Some(next) if next.0.name != chosen.0.name => chosen = next,
            _ => break,
        }
    }
    Some(chosen)
}

/// The zone that a member is, after its template.
fn zone_of(config: &Config, catalog: &Zone, member: &Member) -> Option<Zone> {
    let members = catalog.members.as_ref()?;
    let of_group = members.groups.iter().find(|(group, _)| member.groups.contains(group));
    let template = of_group.map_or(&members.template, |(_, template)| template);
    let template = config.templates.iter().find(|one| one.name == *template)?;
    Some(Zone { name: member.name.clone(), ..template.clone() })
}

#[cfg(test)]
mod tests {
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

    type Said<'a> = Vec<(&'a str, &'a str, &'a [&'a str], Option<&'a str>)>;

    /// What a catalog says: zone, unique label, groups, whom it is handed to.
    fn says(said: &Said<'_>) -> Result<BTreeMap<String, Member>, String> {
        let member =
            |(name, unique, groups, handed): &(&str, &str, &[&str], Option<&str>)| Member {
                name: (*name).to_owned(),
                unique: unique.as_bytes().to_vec(),
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
                handed_to: handed.map(str::to_owned),
            };
        Ok(said.iter().map(|one| (one.0.to_owned(), member(one))).collect())
    }

    /// Follows what both catalogs say; the members, those of them in the group with a mark.
    fn follow(
        membership: &mut Membership,
        one: &Said<'_>,
        two: &Said<'_>,
    ) -> (String, Vec<String>) {
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
        let outcome = membership.follow(&config, |_| Some(Err("broken".to_owned())));
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
}
