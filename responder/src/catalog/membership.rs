//! Which catalog's word counts for which zone, and which version of it.
//!
//! What a catalog said last while it was sound is kept on disk: a version that was held back does not count
//! after a restart either.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::{Content, Member, Switchboard, guard, options};
use crate::{
    config::{Config, Zone},
    serve::replace,
};

/// The zones of all catalogs that are followed.
#[derive(Default)]
pub struct Membership {
    /// What each catalog said last of what counts, by its name.
    said: BTreeMap<String, Said>,
    /// Which catalog a zone belongs to, and under which label.
    owners: BTreeMap<String, Owner>,
    /// Why the version of a catalog does not count, so that it is told once.
    faults: BTreeMap<String, Fault>,
    /// Versions that an operator accepted, whatever the guards say.
    accepted: BTreeMap<String, u32>,
    /// Where all this outlives the process.
    file: Option<PathBuf>,
}

/// What a catalog said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    serial: u32,
    content: Content,
}

/// Why a version does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// It is no catalog.
    Broken(String),
    /// The guards hold it back.
    Held(String),
}

/// To whom a zone belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    catalog: String,
    unique: Vec<u8>,
}

/// A version of a catalog: its serial, and what it says or why it is broken.
pub type Heard = (u32, Result<Content, String>);

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The zones of all members.
    pub zones: Vec<Zone>,
    /// Those among them that begin anew: what is known of them is to be dropped first (RFC 9432, section
    /// 5.4).
    pub reset: Vec<String>,
    /// What the catalog says that switches this node, if one does.
    pub switchboard: Option<Switchboard>,
}

/// How it stands with a catalog that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CatalogStatus {
    /// Its name.
    pub name: String,
    /// The serial whose word counts; none where there was none yet.
    pub serial: Option<u32>,
    /// Its members.
    pub members: usize,
    /// Why the version that is served does not count, if it does not.
    pub held: Option<String>,
}

impl Membership {
    /// Goes on from what an earlier start kept in a state directory.
    pub fn kept_in(state: &Path) -> Self {
        let file = state.join("catalogs").join("followed.json");
        let said = match fs::read(&file) {
            Ok(octets) => serde_json::from_slice(&octets).unwrap_or_else(|fault| {
                // The catalogs on disk tell all there is to know but for what was held back.
                error!("{}: {fault}: what was held back counts now", file.display());
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self { said, file: Some(file), ..Self::default() }
    }

    /// Lets the version of a catalog that is held back count.
    ///
    /// # Errors
    /// Nothing is held back: one line.
    pub fn accept(&mut self, catalog: &str, serial: u32) -> Result<(), String> {
        match self.faults.get(catalog) {
            None => {
                Err(format!("catalog \"{catalog}\" is followed as it is: nothing is held back"))
            }
            Some(Fault::Broken(fault)) => Err(format!("catalog \"{catalog}\" is broken: {fault}")),
            Some(Fault::Held(_)) => {
                self.accepted.insert(catalog.to_owned(), serial);
                Ok(())
            }
        }
    }

    /// How it stands with the catalogs of a configuration.
    pub fn status(&self, config: &Config) -> Vec<CatalogStatus> {
        let followed = config.zones.iter().filter(|zone| zone.members.is_some());
        let status = |zone: &Zone| {
            let said = self.said.get(&zone.name);
            CatalogStatus {
                name: zone.name.clone(),
                serial: said.map(|said| said.serial),
                members: said.map_or(0, |said| said.content.members.len()),
                held: self.faults.get(&zone.name).map(|fault| match fault {
                    Fault::Broken(fault) | Fault::Held(fault) => fault.clone(),
                }),
            }
        };
        followed.map(status).collect()
    }

    /// Follows what the catalogs of a configuration say. `read` gives a catalog's version, none where it
    /// is not served yet. What is broken does not count, nor what the guards hold back: then what it said
    /// before goes on to count.
    pub fn follow(&mut self, config: &Config, read: impl Fn(&str) -> Option<Heard>) -> Outcome {
        let catalogs: Vec<&Zone> =
            config.zones.iter().filter(|zone| zone.members.is_some()).collect();
        let before = self.said.clone();
        self.said.retain(|name, _| catalogs.iter().any(|catalog| catalog.name == *name));
        let heard: BTreeMap<&String, Heard> = catalogs
            .iter()
            .filter_map(|catalog| Some((&catalog.name, read(&catalog.name)?)))
            .collect();
        for catalog in &catalogs {
            let Some((serial, content)) = heard.get(&catalog.name) else { continue };
            let judged = content.clone().map_err(Fault::Broken).and_then(|content| {
                let elsewhere = |zone: &str| lists_elsewhere(&heard, &catalog.name, zone);
                self.judge(catalog, *serial, content, elsewhere)
            });
            match judged {
                Ok(content) => {
                    self.faults.remove(&catalog.name);
                    self.said.insert(catalog.name.clone(), Said { serial: *serial, content });
                }
                Err(fault) => self.hold(catalog, *serial, fault),
            }
        }
        if self.said != before
            && let Err(fault) = self.keep()
        {
            error!("what catalogs say is not kept: after a restart it is read anew: {fault}");
        }
        Outcome { switchboard: self.switchboard(&catalogs), ..self.assign(config, &catalogs) }
    }

    /// What is to count of a version; its switches stay as they were where too few nodes would be left.
    fn judge(
        &mut self,
        catalog: &Zone,
        serial: u32,
        mut content: Content,
        elsewhere: impl Fn(&str) -> bool,
    ) -> Result<Content, Fault> {
        let before = self.said.get(&catalog.name);
        let known = before.is_some_and(|said| said.serial == serial && said.content == content);
        if known || self.accepted.get(&catalog.name) == Some(&serial) {
            return Ok(content);
        }
        let members = catalog.members.as_ref();
        if let Some(before) = before {
            let most = members.map_or(100, |members| members.max_removal);
            guard::judge(&before.content, &content, most, elsewhere).map_err(Fault::Held)?;
        }
        if members.is_some_and(|members| members.switchboard)
            && let Err(fault) = content.switchboard.check()
        {
            error!(zone = catalog.name, serial, "its switches stay as they were: {fault}");
            let before = before.map(|said| said.content.switchboard.clone());
            content.switchboard = before.unwrap_or_default();
        }
        Ok(content)
    }

    fn hold(&mut self, catalog: &Zone, serial: u32, fault: Fault) {
        let name = &catalog.name;
        if self.faults.get(name) != Some(&fault) {
            match &fault {
                Fault::Broken(fault) => error!(
                    zone = name,
                    serial, "the catalog is broken, its members stay as they were: {fault}"
                ),
                Fault::Held(fault) => error!(
                    zone = name,
                    serial,
                    "the catalog is held back, its members stay as they were: {fault}; if this is \
                     meant: `responder catalog accept {name}`"
                ),
            }
        }
        self.faults.insert(name.clone(), fault);
    }

    fn keep(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        replace(file, &serde_json::to_vec(&self.said)?)
    }

    fn switchboard(&self, catalogs: &[&Zone]) -> Option<Switchboard> {
        let switches =
            |catalog: &&&Zone| catalog.members.as_ref().is_some_and(|members| members.switchboard);
        let said = self.said.get(&catalogs.iter().find(switches)?.name)?;
        Some(said.content.switchboard.clone())
    }

    fn assign(&mut self, config: &Config, catalogs: &[&Zone]) -> Outcome {
        let before = std::mem::take(&mut self.owners);
        let mut outcome = Outcome::default();
        // In the order of the configuration: where nobody has a zone yet, the first one gets it.
        let mut claims: BTreeMap<&String, Vec<(&Zone, &Member)>> = BTreeMap::new();
        for catalog in catalogs {
            let said = self.said.get(&catalog.name);
            for (name, member) in said.iter().flat_map(|said| &said.content.members) {
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
    let mut zone = Zone { name: member.name.clone(), ..template.clone() };
    for (name, value) in &member.options {
        if let Err(fault) = options::apply(&mut zone, name, value) {
            warn!(zone = member.name, catalog = catalog.name, "an option is ignored: {fault}");
        }
    }
    Some(zone)
}

/// Whether another catalog lists a zone.
fn lists_elsewhere(heard: &BTreeMap<&String, Heard>, catalog: &str, zone: &str) -> bool {
    let others = heard.iter().filter(|(name, _)| name.as_str() != catalog);
    let mut sound = others.filter_map(|(_, (_, content))| content.as_ref().ok());
    sound.any(|content| content.members.contains_key(zone))
}

#[cfg(test)]
mod tests;
