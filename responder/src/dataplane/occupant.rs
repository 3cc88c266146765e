//! Whose program sits in the driver's hook, where ours was to go: named, with what removes it.

use std::collections::BTreeMap;

use aya::programs::{loaded_links, loaded_programs};

use super::XDP_PROGRAM;
use crate::service::netlink::{self, XdpMode};

/// What is known of programs that sat in hooks when it could still be asked: their names by their numbers.
///
/// To list programs takes CAP_SYS_ADMIN, which nothing else here needs once the daemon runs.
#[derive(Debug, Clone, Default)]
pub struct Occupants(BTreeMap<u32, Known>);

/// A program that hangs in an interface.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    /// The links by which it hangs in interfaces, if it does by links.
    links: Vec<u32>,
}

impl Occupants {
    /// Those that sit in these interfaces now.
    pub fn of(interfaces: &[String]) -> Self {
        let found = interfaces.iter().filter_map(|interface| netlink::link(interface).ok()?.xdp);
        Self(found.filter_map(|id| Some((id, ask(id)?))).collect())
    }

    /// Why an interface's hook cannot be had: who has it, and how it is freed; one line.
    pub fn refusal(&self, interface: &str) -> String {
        let Ok(netlink::Link { xdp: Some(id), xdp_mode, .. }) = netlink::link(interface) else {
            return format!("{interface} has another XDP program, and shares its hook with none");
        };
        let known = self.0.get(&id).cloned().or_else(|| ask(id));
        let name = known.as_ref().map_or(String::new(), |known| format!(" \"{}\"", known.name));
        let remedy = match known {
            None => format!("`bpftool prog show id {id}` and `bpftool link` tell whose"),
            Some(known) => known.remedy(interface, xdp_mode),
        };
        format!(
            "{interface} has another XDP program, number {id}{name}, and shares its hook with none: \
             {remedy}; or set xdp.mode = \"tc\", which answers what that program lets pass"
        )
    }
}

impl Known {
    fn remedy(&self, interface: &str, mode: Option<XdpMode>) -> String {
        let ours = self.name.starts_with(XDP_PROGRAM);
        let detach = match self.links[..] {
            [] => {
                let word = mode.map_or("xdp", XdpMode::word);
                return format!("`ip link set dev {interface} {word} off` removes it");
            }
            [link] => format!("`bpftool link detach id {link}`"),
            // The kernel tells which is which; whoever detaches should look.
            _ => "`bpftool link` and `bpftool link detach id LINK`".to_owned(),
        };
        if ours {
            format!(
                "another node's daemon serves it: stop that daemon, or `responder detach --config FILE` \
                 with its configuration once it is gone ({detach} otherwise)"
            )
        } else {
            format!("stop whoever holds it, or part them with {detach}")
        }
    }
}

/// What the kernel tells of a program, if we may ask.
fn ask(id: u32) -> Option<Known> {
    let program =
        loaded_programs().find_map(|about| about.ok().filter(|about| about.id() == id))?;
    let links = loaded_links().filter_map(Result::ok);
    let links = links.filter(|link| link.program_id() == id).map(|link| link.id()).collect();
    let name = program.name_as_str().unwrap_or_default().to_owned();
    Some(Known { name, links })
}
