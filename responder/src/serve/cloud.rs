//! The switchboard, at both of its ends: what an operator switches here, and what the cloud switches of this
//! node.

use std::{collections::BTreeSet, sync::Mutex};

use anyhow::Result;
use tracing::{error, info};

use super::Daemon;
use crate::{
    catalog::switchboard::ALL,
    cloud::{Desk, ListedZone, Overview, Version, desk::Switch},
    locks::lock,
    service::Origin,
};

/// What the cloud wants out of the routing here, as it was followed last.
#[derive(Default)]
pub struct Followed(Mutex<Option<BTreeSet<String>>>);

impl Daemon {
    /// What this distributor says of its cloud.
    ///
    /// # Errors
    /// It has none: one line.
    pub fn cloud(&self, catalog: Option<&str>) -> Result<Overview> {
        let status = self.zones.status();
        let serial = |name: &str| status.iter().find(|zone| zone.name == name)?.serial;
        self.look_at_desk(|desk, zones| {
            let catalog = Desk::catalog(zones, catalog)?;
            let content = desk.content(catalog, zones);
            let listed = content.members.into_values().map(|member| ListedZone {
                serial: serial(&member.name),
                group: member.groups.into_iter().next(),
                name: member.name,
                options: member.options,
            });
            Ok(Overview {
                catalog: catalog.name.clone(),
                serial: serial(&catalog.name),
                pinned: desk.pinned(&catalog.name),
                switchboard: content.switchboard,
                zones: listed.collect(),
            })
        })
    }

    /// Drains or undrains a node.
    ///
    /// # Errors
    /// As [`Desk::switch`].
    pub fn switch_cloud(&self, catalog: Option<&str>, switch: &Switch<'_>) -> Result<()> {
        self.at_desk(|desk, zones| desk.switch(Desk::catalog(zones, catalog)?, zones, switch))
    }

    /// The versions that were published, the last one first.
    ///
    /// # Errors
    /// There is no such catalog: one line.
    pub fn cloud_history(&self, catalog: Option<&str>) -> Result<Vec<Version>> {
        self.look_at_desk(|desk, zones| Ok(desk.history(&Desk::catalog(zones, catalog)?.name)))
    }

    /// Publishes a former version again, or what the configuration says.
    ///
    /// # Errors
    /// As [`Desk::roll_back`].
    pub fn roll_cloud_back(
        &self,
        catalog: Option<&str>,
        serial: Option<u32>,
        force: bool,
    ) -> Result<()> {
        self.at_desk(|desk, zones| {
            let catalog = Desk::catalog(zones, catalog)?;
            match serial {
                Some(serial) => desk.roll_back(catalog, serial, force),
                None => desk.release(catalog),
            }
        })
    }

    /// Follows what the cloud wants out of the routing here.
    pub(super) fn follow_switches(&self, drained: &BTreeSet<String>) {
        let mut followed = lock(&self.followed.0);
        if followed.as_ref() == Some(drained) {
            return;
        }
        let services: Vec<&str> = drained.iter().map(String::as_str).collect();
        let all = drained.contains(ALL);
        if followed.is_some() || !drained.is_empty() {
            info!(services = services.join(" "), all, "the cloud's switchboard drains this");
        }
        for service in &self.config.services {
            let out = all || drained.contains(&service.name);
            if let Err(error) = self.services.set_drained(Origin::Cloud, Some(&service.name), out) {
                error!(service = service.name, "the switchboard is not followed: {error:#}");
                return;
            }
        }
        *followed = Some(drained.clone());
    }
}
