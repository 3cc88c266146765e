//! Where a distributor's operator switches the cloud. What is switched, and each version of each catalog that
//! was published, is kept in the state directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::Version;
use crate::{
    catalog::{Content, produce, switchboard::ALL},
    config::{Zone, ZoneSource, canonical_name},
    serve::replace,
};

/// Versions that are kept of a catalog; the oldest go first.
const KEPT: usize = 200;

/// The catalogs that are produced here.
pub struct Desk {
    folder: PathBuf,
    drafts: BTreeMap<String, Draft>,
}

/// What an operator has switched of one catalog.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Draft {
    /// What is drained, by node.
    drained: BTreeMap<String, BTreeSet<String>>,
    /// Whether fewer nodes than the floor may stay.
    forced: bool,
    /// A former version whose members and nodes are published instead of those of the configuration.
    pinned: Option<Published>,
}

/// A version that was published.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Published {
    serial: u32,
    at: u64,
    content: Content,
}

/// What to switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch<'s> {
    /// The node, by its identity.
    pub node: &'s str,
    /// The service; all of them where there is none.
    pub service: Option<&'s str>,
    /// Whether it is to leave the routing.
    pub drain: bool,
    /// Whether fewer nodes than the floor may be left.
    pub force: bool,
}

impl Desk {
    /// Goes on from what is kept in a state directory.
    pub fn kept_in(state: &Path) -> Self {
        let folder = state.join("catalogs");
        let file = folder.join("desk.json");
        let drafts = fs::read(&file).ok().and_then(|octets| {
            let told = |fault: &serde_json::Error| {
                error!("{}: {fault}: nothing is drained by the switchboard", file.display());
            };
            serde_json::from_slice(&octets).inspect_err(told).ok()
        });
        Self { folder, drafts: drafts.unwrap_or_default() }
    }

    /// The catalog that an operator means: of those produced here the one of this name, or the only one
    /// with nodes.
    ///
    /// # Errors
    /// There is none, or several: one line.
    pub fn catalog<'z>(zones: &'z [Zone], name: Option<&str>) -> Result<&'z Zone> {
        let mut produced = zones.iter().filter(|zone| zone.is_produced);
        if let Some(name) = name {
            let canonical = canonical_name(name).map_err(|fault| anyhow!("\"{name}\": {fault}"))?;
            return produced
                .find(|zone| zone.name == canonical)
                .with_context(|| format!("no catalog \"{canonical}\" is produced here"));
        }
        let mut clouds = produced.filter(|zone| !zone.inventory.nodes.is_empty());
        let first = clouds.next().context(
            "no catalog with nodes is produced here: the switchboard is on the distributor that has one",
        )?;
        ensure!(clouds.next().is_none(), "several catalogs have nodes: name one with --catalog");
        Ok(first)
    }

    /// What a catalog says now.
    pub fn content(&self, catalog: &Zone, zones: &[Zone]) -> Content {
        let draft = self.drafts.get(&catalog.name).cloned().unwrap_or_default();
        draft.content(catalog, zones)
    }

    /// The former version that is published, if an operator went back to one.
    pub fn pinned(&self, catalog: &str) -> Option<u32> {
        Some(self.drafts.get(catalog)?.pinned.as_ref()?.serial)
    }

    /// Drains or undrains; it is published with the next [`Desk::publish`].
    ///
    /// # Errors
    /// There is no such node, or too few would be left: one line, and nothing has changed.
    pub fn switch(&mut self, catalog: &Zone, zones: &[Zone], switch: &Switch<'_>) -> Result<()> {
        let node = switch.node.to_ascii_lowercase();
        let mut draft = self.drafts.get(&catalog.name).cloned().unwrap_or_default();
        let before = draft.content(catalog, zones).switchboard;
        ensure!(
            before.nodes.contains_key(&node),
            "the cloud has no node \"{node}\": there are {}",
            before.nodes.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        let drained = draft.drained.entry(node.clone()).or_default();
        match (switch.drain, switch.service) {
            (true, service) => drop(drained.insert(service.unwrap_or(ALL).to_owned())),
            (false, None) => drained.clear(),
            (false, Some(service)) => ensure!(
                drained.remove(service),
                "service \"{service}\" of node \"{node}\" is not drained by itself"
            ),
        }
        draft.drained.retain(|_, services| !services.is_empty());
        draft.forced = false;
        // To give back is always allowed.
        if switch.drain
            && let Err(fault) = draft.content(catalog, zones).switchboard.check()
        {
            ensure!(switch.force, "{fault} (drain-floor): --force drains all the same");
        }
        draft.forced = draft.content(catalog, zones).switchboard.check().is_err();
        let (drain, force) = (switch.drain, draft.forced);
        info!(zone = catalog.name, node, service = switch.service, drain, force, "switched");
        self.keep(&catalog.name, draft)
    }

    /// Publishes a former version again; the members and nodes are its until [`Desk::release`].
    ///
    /// # Errors
    /// There is no such version, or it leaves too few nodes: one line, and nothing has changed.
    pub fn roll_back(&mut self, catalog: &Zone, serial: u32, force: bool) -> Result<()> {
        let file = self.history_of(&catalog.name).join(format!("{serial}.json"));
        let octets = fs::read(&file)
            .with_context(|| format!("no version {serial} is kept: `responder cloud history`"))?;
        let former: Published = serde_json::from_slice(&octets)
            .with_context(|| format!("{} is damaged", file.display()))?;
        let mut board = former.content.switchboard.clone();
        board.forced = false;
        let check = board.check();
        if let (Err(fault), false) = (&check, force) {
            bail!("{fault} (drain-floor): --force publishes it all the same");
        }
        let drained = board.nodes.into_iter().map(|(id, node)| (id, node.drained));
        let drained = drained.filter(|(_, services)| !services.is_empty()).collect();
        warn!(zone = catalog.name, serial, "a former version is published again");
        self.keep(&catalog.name, Draft { drained, forced: check.is_err(), pinned: Some(former) })
    }

    /// Publishes the members and nodes of the configuration again; what is drained stays so.
    ///
    /// # Errors
    /// It cannot be written down: one line.
    pub fn release(&mut self, catalog: &Zone) -> Result<()> {
        let draft = self.drafts.get(&catalog.name).cloned().unwrap_or_default();
        self.keep(&catalog.name, Draft { pinned: None, ..draft })
    }

    /// The versions that were published, the last one first.
    pub fn history(&self, catalog: &str) -> Vec<Version> {
        let mut versions: Vec<Version> = self
            .versions(catalog)
            .into_iter()
            .filter_map(|(_, file)| serde_json::from_slice(&fs::read(file).ok()?).ok())
            .map(|Published { serial, at, content }| {
                let nodes = content.switchboard.nodes.into_iter();
                let drained = nodes.map(|(id, node)| (id, node.drained));
                let drained = drained.filter(|(_, services)| !services.is_empty()).collect();
                Version { serial, at, zones: content.members.len(), drained }
            })
            .collect();
        versions.sort_by_key(|version| std::cmp::Reverse((version.at, version.serial)));
        versions
    }

    /// Writes the catalogs among `zones`, where what they say has changed.
    ///
    /// # Errors
    /// A file cannot be written: one line.
    pub fn publish(&mut self, zones: &[Zone]) -> Result<()> {
        for catalog in zones.iter().filter(|zone| zone.is_produced) {
            let ZoneSource::File(file) = &catalog.source else { continue };
            let content = self.content(catalog, zones);
            let written = produce::write(file, &catalog.name, &content);
            let context = || format!("cannot write {}", file.display());
            let Some(serial) = written.with_context(context)? else { continue };
            let at =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let version = Published { serial, at, content };
            let folder = self.history_of(&catalog.name);
            replace(&folder.join(format!("{serial}.json")), &serde_json::to_vec(&version)?)
                .with_context(|| format!("cannot write to {}", folder.display()))?;
            self.forget_the_oldest(&catalog.name);
        }
        Ok(())
    }

    fn keep(&mut self, catalog: &str, draft: Draft) -> Result<()> {
        let mut drafts = self.drafts.clone();
        drafts.insert(catalog.to_owned(), draft);
        let file = self.folder.join("desk.json");
        replace(&file, &serde_json::to_vec(&drafts)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        self.drafts = drafts;
        Ok(())
    }

    /// The folder of a catalog's versions: a name's dots and letters are no danger, a slash is escaped.
    fn history_of(&self, catalog: &str) -> PathBuf {
        self.folder.join(format!("{}history", catalog.replace('/', "%")))
    }

    /// The versions that are kept: when each was written, and its file.
    fn versions(&self, catalog: &str) -> Vec<(SystemTime, PathBuf)> {
        let entries = fs::read_dir(self.history_of(catalog)).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        let files = files.filter(|file| file.extension().is_some_and(|kind| kind == "json"));
        let dated = |file: PathBuf| Some((fs::metadata(&file).ok()?.modified().ok()?, file));
        files.filter_map(dated).collect()
    }

    fn forget_the_oldest(&self, catalog: &str) {
        let mut versions = self.versions(catalog);
        versions.sort();
        let surplus = versions.len().saturating_sub(KEPT);
        for (_, file) in versions.into_iter().take(surplus) {
            if let Err(fault) = fs::remove_file(&file) {
                warn!("{}: {fault}", file.display());
            }
        }
    }
}

impl Draft {
    fn content(&self, catalog: &Zone, zones: &[Zone]) -> Content {
        let mut content = match &self.pinned {
            Some(former) => former.content.clone(),
            None => produce::content(catalog, zones),
        };
        for (id, node) in &mut content.switchboard.nodes {
            node.drained = self.drained.get(id).cloned().unwrap_or_default();
        }
        content.switchboard.forced = self.forced;
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(zones: &[&str]) -> Config {
        let mut text = "[listen]\naddresses = [\"127.0.0.1\"]\n[xdp]\nmode = \"off\"\n[[zone]]\nname = \
                        \"cloud.\"\nproduce-catalog = true\ndrain-floor = 2\nnodes = [{ id = \"SCL1\", \
                        addresses = [\"192.0.2.1\"] }, { id = \"mia1\", addresses = [\"192.0.2.2\"] }, { \
                        id = \"mvd1\", addresses = [\"2001:db8::3\"] }]\n"
            .to_owned();
        for zone in zones {
            text += &format!(
                "[[zone]]\nname = \"{zone}\"\nfile = \"z\"\ncatalog = \"cloud.\"\ncatalog-options = \
                 [\"max-shrink=20\"]\n"
            );
        }
        let reading = Config::parse(Path::new("/r.toml"), &text);
        assert_eq!(reading.faults, []);
        reading.config
    }

    fn drain(node: &str, force: bool) -> Switch<'_> {
        Switch { node, service: None, drain: true, force }
    }

    #[test]
    fn switches_are_versions_and_any_of_them_comes_back() {
        let state = tempfile::tempdir().expect("a folder");
        let mut config = config(&["a.", "b."]);
        let file = state.path().join("catalogs/cloud.zone");
        let place = |config: &mut Config| {
            config.zones[0].source = ZoneSource::File(file.clone());
        };
        place(&mut config);
        let mut desk = Desk::kept_in(state.path());
        let publish = |desk: &mut Desk, config: &Config| {
            desk.publish(&config.zones).expect("published");
            fs::read_to_string(&file).expect("a catalog")
        };
        let first = publish(&mut desk, &config);
        assert!(first.contains("scl1.nodes.ext.cloud. 0 A 192.0.2.1\n"), "{first}");
        assert!(first.contains("0 TXT \"max-shrink=20\"\n"), "{first}");
        desk.switch(&config.zones[0], &config.zones, &drain("scl1", false)).expect("drained");
        let second = publish(&mut desk, &config);
        assert!(second.contains("drain.scl1.nodes.ext.cloud. 0 TXT \"*\"\n"), "{second}");
        // Two must stay.
        let refused = desk.switch(&config.zones[0], &config.zones, &drain("mia1", false));
        let fault = refused.expect_err("too few").to_string();
        assert!(fault.contains("1 of 3 nodes") && fault.contains("--force"), "{fault}");
        assert_eq!(publish(&mut desk, &config), second);
        assert!(desk.switch(&config.zones[0], &config.zones, &drain("gru1", false)).is_err());
        // It outlives the process.
        let mut desk = Desk::kept_in(state.path());
        desk.switch(&config.zones[0], &config.zones, &drain("mia1", true)).expect("forced");
        let third = publish(&mut desk, &config);
        assert!(third.contains("force.ext.cloud. 0 TXT \"drain\"\n"), "{third}");
        let versions = desk.history("cloud.");
        assert_eq!(versions.len(), 3, "{versions:?}");
        let drained = |version: &Version| version.drained.len();
        assert_eq!(versions.iter().map(drained).collect::<Vec<_>>(), [2, 1, 0]);
        // Back to the second, though a zone has come to the configuration meanwhile.
        let mut more = self::config(&["a.", "b.", "c."]);
        place(&mut more);
        desk.roll_back(&more.zones[0], versions[1].serial, false).expect("rolled back");
        let again = publish(&mut desk, &more);
        let records = |text: &str| text.split_once('\n').expect("a SOA").1.to_owned();
        assert_eq!(records(&again), records(&second));
        assert_ne!(again, second, "under a serial of its own");
        assert_eq!(desk.pinned("cloud."), Some(versions[1].serial));
        desk.release(&more.zones[0]).expect("released");
        assert!(publish(&mut desk, &more).contains("PTR c.\n"));
        assert!(desk.roll_back(&more.zones[0], versions[0].serial, false).is_err(), "too few stay");
    }
}
