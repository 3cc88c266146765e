//! The keys of catalog zones (RFC 9432): `members` and `groups` of one that is followed, `produce-catalog`,
//! `catalog` and `group` of one that is produced.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::{Zone, name::canonical_name, read::parse_address, table::Table};
use crate::catalog::options::{self, Options};

/// See [`Members::max_removal`].
const MAX_REMOVAL: u8 = 25;

/// What the members of a catalog are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The template of those without a group that is known.
    pub template: String,
    /// Groups (RFC 9432, section 4.3.2) and their templates.
    pub groups: Vec<(String, String)>,
    /// The share of the members, in hundredths, that may go at once without an operator's word; 100 lets
    /// everything pass.
    pub max_removal: u8,
    /// Whether it also switches this node: who may write it commands the cloud.
    pub switchboard: bool,
}

/// The nodes of a cloud, as a produced catalog tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The unicast addresses of each, by its `node.id` in lower case.
    pub nodes: BTreeMap<String, BTreeSet<IpAddr>>,
    /// So many nodes are never drained as a whole without force.
    pub drain_floor: usize,
}

/// How a produced catalog lists a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The catalog's apex, canonical.
    pub catalog: String,
    /// The group property, if any.
    pub group: Option<String>,
    /// What it says of the zone beside that.
    pub options: Options,
}

/// The names of all `[[template]]`.
pub(super) type Templates = BTreeSet<String>;

/// `members` and `groups`.
pub(super) fn read_members(table: &Table<'_>, templates: &Templates) -> Option<Members> {
    let known = |text: &str| {
        let name = canonical_name(text)?;
        match templates.contains(&name) {
            true => Ok(name),
            false => Err("there is no such [[template]]: add one with this name".to_owned()),
        }
    };
    let template = table.parsed("members", known);
    let mut groups = Vec::new();
    for group in table.sections("groups") {
        let name = group.string("name").map(|(name, _)| name.to_owned());
        let template = group.parsed("template", known);
        for key in ["name", "template"] {
            if !group.has(key) {
                let message = format!("{} has no {key}: give it one", group.title);
                group.reader().fault(&group.span, message);
            }
        }
        groups.extend(name.zip(template.map(|(template, _)| template)));
        group.finish();
    }
    if !groups.is_empty() && !table.has("members") {
        let message = format!(
            "groups in {}: name the template of members without a group with members",
            table.title
        );
        table.reader().fault(&table.span_of("groups"), message);
    }
    let max_removal = table.integer("max-removal", 0..=100).map(|percent| percent as u8);
    let switchboard = table.boolean("switchboard");
    for key in ["max-removal", "switchboard"] {
        if table.has(key) && !table.has("members") {
            let message =
                format!("{key} in {} is for catalogs that are followed: see members", table.title);
            table.reader().fault(&table.span_of(key), message);
        }
    }
    Some(Members {
        template: template?.0,
        groups,
        max_removal: max_removal.unwrap_or(MAX_REMOVAL),
        switchboard: switchboard.unwrap_or(false),
    })
}

/// `nodes` and `drain-floor`.
pub(super) fn read_inventory(table: &Table<'_>, is_produced: bool) -> Inventory {
    let mut nodes = BTreeMap::new();
    for node in table.sections("nodes") {
        let id = node.parsed("id", |text| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            match text {
                "" => Err("the identity is empty".to_owned()),
                _ if text.len() > 63 || !text.chars().all(plain) => Err(
                    "it must be one label: letters, digits, hyphens and underscores, 63 at most"
                        .to_owned(),
                ),
                _ => Ok(text.to_ascii_lowercase()),
            }
        });
        let addresses = node.list("addresses", parse_address);
        for key in ["id", "addresses"] {
            if !node.has(key) {
                node.reader().fault(&node.span, format!("{} has no {key}: give it", node.title));
            }
        }
        let addresses = addresses.into_iter().map(|(address, _)| address).collect();
        if let Some((id, span)) = id
            && nodes.insert(id.clone(), addresses).is_some()
        {
            node.reader().fault(&span, format!("node \"{id}\" is listed twice"));
        }
        node.finish();
    }
    let drain_floor = table.integer("drain-floor", 0..=10_000).unwrap_or(0) as usize;
    for key in ["nodes", "drain-floor"] {
        if table.has(key) && !is_produced {
            let message = format!("{key} in {} is for a catalog that is produced", table.title);
            table.reader().fault(&table.span_of(key), message);
        }
    }
    Inventory { nodes, drain_floor }
}

/// `catalog` and `group`.
pub(super) fn read_listed(table: &Table<'_>) -> Option<Listed> {
    let catalog = table.parsed("catalog", canonical_name);
    let group = table.parsed("group", |text| match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err("a group has 1 to 255 octets".to_owned()),
    });
    let options = table.list("catalog-options", |text| {
        let (name, value) = options::parse(text)?;
        options::check(&name, &value)?;
        Ok((name, value))
    });
    for key in ["group", "catalog-options"] {
        if table.has(key) && !table.has("catalog") {
            let message = format!("{key} in {} has no effect without catalog", table.title);
            table.reader().warn(&table.span_of(key), message);
        }
    }
    Some(Listed {
        catalog: catalog?.0,
        group: group.map(|(group, _)| group),
        options: options.into_iter().map(|(option, _)| option).collect(),
    })
}

/// Where a produced catalog is written.
pub(super) fn file(state: &Path, name: &str) -> PathBuf {
    // Letters, digits, hyphens and dots stay as they are; a name has no slash unless it is escaped.
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '%' };
    state.join("catalogs").join(format!("{}zone", name.chars().map(safe).collect::<String>()))
}

/// Whether every catalog that lists a zone is there, to be told where it is not.
pub(super) fn missing<'a>(zones: &'a [Zone], templates: &'a [Zone]) -> Option<(&'a Zone, &'a str)> {
    let produced: BTreeSet<&str> =
        zones.iter().filter(|zone| zone.is_produced).map(|zone| zone.name.as_str()).collect();
    zones.iter().chain(templates).find_map(|zone| {
        let listed = zone.listed.as_ref()?;
        (!produced.contains(listed.catalog.as_str())).then_some((zone, listed.catalog.as_str()))
    })
}
