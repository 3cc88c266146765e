//! What is done with privileges.

use std::{net::IpAddr, os::fd::OwnedFd, sync::Arc};

use anyhow::{Context, Result, bail};
use responder_common::{layout::SEGMENTS_MAX, verdict::Action};
use tracing::{debug, info, warn};

use super::{Outcome, Reply, Request, Settings, Tried};
use crate::dataplane::{
    self, Attachment, DataPlane, Mode, ReceiveScaling, Refused, Scaling,
    maps::{FoundMaps, KernelMaps, Segments as _},
    occupant::Occupants,
    pins::Pins,
    trial::{HookPoint, Trial},
};
use crate::service::netlink;

/// The loaded programs, and what may be done with them.
pub(super) struct Worker {
    settings: Settings,
    /// Until the programs are loaded: where they are pinned, and why that is less than was asked for.
    pins: Option<(Result<Pins>, Option<String>)>,
    programs: Option<DataPlane>,
    /// Whose programs sat in the hooks at the start.
    occupants: Occupants,
    maps: Option<Arc<KernelMaps>>,
    /// What an earlier daemon left, until the programs are loaded.
    found: Option<FoundMaps>,
    segments: u32,
    scaled: Vec<Scaling>,
}

impl Worker {
    /// Makes the folder of pins if need be, and looks who sits in the hooks: privileges may be needed for
    /// that which go later.
    pub(super) fn new(settings: Settings) -> Self {
        let pins = Some(open_pins(&settings));
        let occupants = match settings.mode {
            Mode::Native | Mode::Auto => Occupants::of(&settings.interfaces),
            Mode::Tc | Mode::Off => Occupants::default(),
        };
        Self {
            settings,
            pins,
            programs: None,
            occupants,
            maps: None,
            found: None,
            segments: 0,
            scaled: Vec::new(),
        }
    }

    /// Does what is asked.
    pub(super) fn serve(&mut self, request: &Request) -> (Reply, Vec<OwnedFd>) {
        self.try_serve(request).unwrap_or_else(|error| {
            let reply = match error.downcast::<Refused>() {
                Ok(refused) => Reply::Refused(refused),
                Err(error) => Reply::Error(format!("{error:#}")),
            };
            (reply, Vec::new())
        })
    }

    fn try_serve(&mut self, request: &Request) -> Result<(Reply, Vec<OwnedFd>)> {
        let alone = |reply| (reply, Vec::new());
        Ok(match request {
            Request::Find => self.find()?,
            Request::Found(number) => {
                let found =
                    self.found.as_ref().context("there is no store of an earlier daemon")?;
                (Reply::Segment, vec![found.segment(*number)?])
            }
            Request::Load { found } => self.load(*found)?,
            Request::Segment(number) => (Reply::Segment, vec![self.segment(*number)?]),
            Request::Attach(interface) => alone(Reply::Attached(self.attach(interface)?)),
            Request::Settle => {
                self.programs()?.settle()?;
                alone(Reply::Done)
            }
            Request::GiveUp => {
                self.scaled.clear();
                if let Some(programs) = self.programs.take() {
                    programs.give_up();
                }
                alone(Reply::Done)
            }
            Request::Leave => {
                self.leave()?;
                alone(Reply::Done)
            }
            Request::Detach => {
                let Settings { pins, interfaces, .. } = &self.settings;
                alone(Reply::Detached(dataplane::detach(pins, interfaces)?))
            }
            Request::Try { attachments, frame } => {
                alone(Reply::Tried(self.try_out(attachments, frame)?))
            }
            Request::Address { interface, address, present } => {
                self.set_address(interface, *address, *present)?;
                alone(Reply::Done)
            }
            Request::Log(filter) => {
                crate::telemetry::filter_log(filter).map_err(anyhow::Error::msg)?;
                alone(Reply::Done)
            }
        })
    }

    fn programs(&mut self) -> Result<&mut DataPlane> {
        self.programs.as_mut().context("no programs are loaded")
    }

    fn find(&mut self) -> Result<(Reply, Vec<OwnedFd>)> {
        let pins = self.pins.as_ref().and_then(|(pins, _)| pins.as_ref().ok());
        self.found = match pins.and_then(Pins::store) {
            Some(folder) => FoundMaps::pinned(&folder)?,
            None => None,
        };
        let root = self.found.iter().map(FoundMaps::root).collect::<std::io::Result<_>>()?;
        Ok((Reply::Found(self.found.as_ref().map(FoundMaps::segments)), root))
    }

    fn load(&mut self, found: bool) -> Result<(Reply, Vec<OwnedFd>)> {
        let (pins, warning) = self.pins.take().context("the programs are loaded only once")?;
        let pins = pins?;
        let lasting = pins.is_lasting();
        let found = self.found.take().filter(|_| found);
        let (programs, maps) =
            DataPlane::load_maps(Some(pins), found, self.occupants.clone(), self.settings.watch)?;
        let mut descriptors = Vec::from(maps.descriptors()?);
        descriptors.push(programs.counters_descriptor()?);
        descriptors.push(programs.samples_descriptor()?);
        self.segments = maps.segments();
        (self.programs, self.maps) = (Some(programs), Some(maps));
        Ok((Reply::Loaded { lasting, warning }, descriptors))
    }

    fn segment(&mut self, number: u32) -> Result<OwnedFd> {
        let maps = self.maps.as_ref().context("no programs are loaded")?;
        if number != self.segments || number >= SEGMENTS_MAX {
            bail!("segment {number} is not the next: there are {}", self.segments);
        }
        let segment = maps.add(number)?;
        self.segments += 1;
        Ok(segment)
    }

    fn attach(&mut self, interface: &str) -> Result<Attachment> {
        let Settings { mode, receive_scaling, .. } = self.settings;
        if !self.settings.interfaces.iter().any(|known| known == interface) {
            bail!("{interface} is not one of xdp.interfaces: add it and start the daemon again");
        }
        let mut attachment = self.programs()?.attach(interface, mode)?;
        if attachment.mode != Mode::Off {
            self.scaled.retain(|scaling| !scaling.is_former());
            self.scaled.extend(spread(interface, receive_scaling));
            attachment.receive_scaling =
                self.scaled.iter().any(|scaling| scaling.interface() == interface);
        }
        Ok(attachment)
    }

    fn try_out(&mut self, attachments: &[Attachment], frame: &[u8]) -> Result<Tried> {
        let programs = self.programs()?;
        let found = attachments.iter().map(|attachment| programs.inspect(attachment)).collect();
        let has_xdp = attachments.iter().any(|attachment| attachment.mode == Mode::Native);
        let hooks: &[HookPoint] =
            if has_xdp { &[HookPoint::Xdp, HookPoint::Tc] } else { &[HookPoint::Tc] };
        let mut outcome = Outcome::Passed;
        for hook in hooks {
            outcome = match programs.probe(*hook, frame) {
                Ok(Trial { action: Action::Pass, .. }) => continue,
                Ok(Trial { action: Action::Reply, frame, .. }) => Outcome::Answered(frame),
                Ok(Trial { action: Action::Drop, .. }) => Outcome::Dropped,
                Err(error) => Outcome::Failed(format!("{error:#}")),
            };
            break;
        }
        Ok(Tried { found, outcome })
    }

    fn set_address(&self, interface: &str, address: IpAddr, present: bool) -> Result<()> {
        if !self.settings.addresses.iter().any(|known| known.0 == interface && known.1 == address) {
            bail!("{address} on {interface} is no service's: add it and start the daemon again");
        }
        match present {
            true => netlink::add_address(interface, address),
            false => netlink::delete_address(interface, address),
        }
    }

    /// Ends it: what is pinned goes on.
    pub(super) fn leave(&mut self) -> Result<()> {
        self.scaled.clear();
        self.maps = None;
        self.programs.take().map_or(Ok(()), DataPlane::leave)
    }
}

/// The folder of the pins, made where something is to be pinned.
fn open_pins(settings: &Settings) -> (Result<Pins>, Option<String>) {
    let Settings { pins: folder, mode, interfaces, lasting, .. } = settings;
    if !lasting || *mode == Mode::Off || interfaces.is_empty() {
        return (Ok(Pins::found(folder)), None);
    }
    match Pins::open(folder) {
        Err(error) if *mode == Mode::Auto => {
            let warning = format!("{error:#}: the kernel will not answer without the daemon");
            (Ok(Pins::found(folder)), Some(warning))
        }
        opened => (opened, None),
    }
}

/// Spreads the work of an interface's receive queues, where that helps or is asked for.
fn spread(interface: &str, wanted: ReceiveScaling) -> Option<Scaling> {
    match Scaling::arrange(interface, wanted) {
        Ok(scaling) => {
            if scaling.is_some() {
                info!(interface, "its work is spread over the processors (threaded NAPI, RPS)");
            }
            scaling
        }
        Err(error) if wanted == ReceiveScaling::On => {
            warn!(interface, "xdp.receive-scaling cannot be switched on: {error:#}");
            None
        }
        Err(error) => {
            debug!(interface, "receive scaling: {error:#}");
            None
        }
    }
}
