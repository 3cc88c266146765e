//! The keys of catalog zones (RFC 9432): `members` and `groups` of one that is followed, `produce-catalog`,
//! `catalog` and `group` of one that is produced.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{Zone, name::canonical_name, table::Table};

/// What the members of a catalog are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The template of those without a group that is known.
    pub template: String,
    /// Groups (RFC 9432, section 4.3.2) and their templates.
    pub groups: Vec<(String, String)>,
}

/// How a produced catalog lists a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The catalog's apex, canonical.
    pub catalog: String,
    /// The group property, if any.
    pub group: Option<String>,
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
    Some(Members { template: template?.0, groups })
}

/// `catalog` and `group`.
pub(super) fn read_listed(table: &Table<'_>) -> Option<Listed> {
    let catalog = table.parsed("catalog", canonical_name);
    let group = table.parsed("group", |text| match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err("a group has 1 to 255 octets".to_owned()),
    });
    if table.has("group") && !table.has("catalog") {
        let message = format!("group in {} has no effect without catalog", table.title);
        table.reader().warn(&table.span_of("group"), message);
    }
    Some(Listed { catalog: catalog?.0, group: group.map(|(group, _)| group) })
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
