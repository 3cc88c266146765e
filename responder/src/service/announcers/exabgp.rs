//! ExaBGP: it runs `responder announce` as a process of its API, which tells it the routes.
//!
//! The routes of each service stand in a file that daemon and watchdog write and that command follows. So
//! ExaBGP and the daemon may be restarted in any order; and since the file tells the boot of the machine
//! in which it was written, nothing is announced after a reboot before the daemon says so.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, BufRead as _, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::Announcer;
use crate::service::{
    files,
    route::{Community, Family, Route},
    signs,
};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long ExaBGP may take to say that it did something.
const PATIENCE: Duration = Duration::from_secs(5);

/// The routes of a service in a file.
pub struct ExaBgp {
    file: PathBuf,
    next_hops: Vec<IpAddr>,
}

/// What stands in the file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Page {
    boot: String,
    routes: Vec<Route>,
    next_hops: Vec<IpAddr>,
}

impl ExaBgp {
    /// For one service.
    pub fn new(folder: &Path, service: &str, next_hops: &[IpAddr]) -> Self {
        Self { file: folder.join(format!("{service}.routes")), next_hops: next_hops.to_vec() }
    }
}

/// Where `responder announce` tells what ExaBGP took of a file of routes.
pub fn heard_file(routes: &Path) -> PathBuf {
    routes.with_extension("heard")
}

impl Announcer for ExaBgp {
    fn ensure(&mut self, routes: &[Route]) -> Result<()> {
        let (boot, next_hops) = (signs::boot(), self.next_hops.clone());
        let page = serde_json::to_vec(&Page { boot, routes: routes.to_vec(), next_hops })?;
        if fs::read(&self.file).ok().as_ref() != Some(&page) {
            files::replace(&self.file, &page, 0o644)?;
        }
        let heard = heard_file(&self.file);
        if !is_followed(&heard) {
            bail!(
                "ExaBGP does not run `responder announce`: start it, with that command as a process \
                 of its API"
            );
        }
        match fs::read(&heard) {
            Ok(said) if said == page => Ok(()),
            Ok(said) if said.starts_with(b"{") || said.is_empty() => {
                bail!("ExaBGP is being told of the routes")
            }
            Ok(said) => bail!("ExaBGP refuses the routes: {}", String::from_utf8_lossy(&said)),
            Err(error) => Err(error).with_context(|| heard.display().to_string()),
        }
    }

    fn is_gradual(&self) -> bool {
        true
    }

    fn label(&self) -> &'static str {
        "exabgp"
    }
}

/// Whether a process holds the lock on what it tells.
fn is_followed(heard: &Path) -> bool {
    File::open(heard)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// `responder announce`: tells ExaBGP, which runs this as a process of its API, the routes of some
/// services, and goes on until ExaBGP closes the standard input.
///
/// # Errors
/// A file that cannot be written.
pub fn announce(folder: &Path, services: &[String]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut speaker = Speaker { answers: answers() };
    let mut followed = Vec::new();
    for service in services {
        followed.push(Followed::open(folder.join(format!("{service}.routes")))?);
    }
    loop {
        for file in &mut followed {
            if !file.follow(&mut speaker)? {
                return Ok(());
            }
        }
        if !speaker.idle() {
            return Ok(());
        }
    }
}

/// A file of routes, and what ExaBGP was told of it.
struct Followed {
    routes: PathBuf,
    heard: File,
    page: Vec<u8>,
    told: BTreeMap<String, String>,
}

impl Followed {
    fn open(routes: PathBuf) -> Result<Self> {
        let path = heard_file(&routes);
        let open = || -> io::Result<File> {
            let mut options = fs::OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true);
            let file = options.open(&path)?;
            file.lock()?;
            file.set_len(0)?;
            Ok(file)
        };
        let heard = open().with_context(|| {
            format!("cannot write {}: let ExaBGP's user write there", path.display())
        })?;
        Ok(Self { routes, heard, page: Vec::new(), told: BTreeMap::new() })
    }

    /// Tells ExaBGP what is new; whether ExaBGP is still there.
    fn follow(&mut self, speaker: &mut Speaker) -> Result<bool> {
        let page = fs::read(&self.routes).unwrap_or_default();
        if page == self.page {
            return Ok(true);
        }
        // What cannot be read, or is of another boot, announces nothing.
        let content: Page = serde_json::from_slice(&page).unwrap_or_default();
        let content = if content.boot == signs::boot() { content } else { Page::default() };
        let wanted: BTreeMap<String, String> =
            content.routes.iter().map(|route| spoken(route, &content.next_hops)).collect();
        let mut lines = Vec::new();
        for (name, line) in &self.told {
            if !wanted.contains_key(name) {
                lines.push(format!("withdraw {line}"));
            }
        }
        for (name, line) in &wanted {
            if self.told.get(name) != Some(line) {
                lines.push(format!("announce {line}"));
            }
        }
        let mut fault = None;
        for line in lines {
            match speaker.say(&line) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => fault = Some(format!("{line}: {error:#}")),
            }
        }
        (self.told, self.page) = (wanted, page);
        let said = fault.map_or_else(|| self.page.clone(), String::into_bytes);
        self.heard.set_len(0)?;
        io::Seek::rewind(&mut self.heard)?;
        self.heard.write_all(&said)?;
        Ok(true)
    }
}

/// A route's name, and how ExaBGP is told of it.
fn spoken(route: &Route, next_hops: &[IpAddr]) -> (String, String) {
    let family = Family::of(&route.prefix);
    let next_hop = next_hops.iter().find(|hop| hop.is_ipv4() == (family == Family::V4));
    let next_hop = next_hop.map_or_else(|| "self".to_owned(), ToString::to_string);
    let name = format!("route {} next-hop {next_hop}", route.prefix);
    let mut line = name.clone();
    let list = |large: bool| -> Vec<String> {
        let is = |c: &&Community| matches!(c, Community::Large(..)) == large;
        route.marks.communities.iter().filter(is).map(ToString::to_string).collect()
    };
    for (word, list) in [("community", list(false)), ("large-community", list(true))] {
        if !list.is_empty() {
            line += &format!(" {word} [ {} ]", list.join(" "));
        }
    }
    if let Some(med) = route.marks.med {
        line += &format!(" med {med}");
    }
    if let Some((number, times)) = route.marks.prepend {
        let path = vec![number.to_string(); usize::from(times)].join(" ");
        line += &format!(" as-path [ {path} ]");
    }
    (name, line)
}

/// The conversation with ExaBGP.
struct Speaker {
    answers: Receiver<String>,
}

impl Speaker {
    /// Says a line and waits for its answer; whether ExaBGP is still there.
    fn say(&mut self, line: &str) -> Result<bool> {
        let mut out = io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            return Ok(false);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(answer) if answer == "done" => return Ok(true),
                Ok(answer) if answer.starts_with("error") => bail!("{answer}"),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("no answer within {PATIENCE:?} (is exabgp.api.ack off?)")
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
    }

    /// Waits for a moment; whether ExaBGP is still there.
    fn idle(&mut self) -> bool {
        !matches!(self.answers.recv_timeout(LOOK), Err(RecvTimeoutError::Disconnected))
    }
}

/// What ExaBGP says on the standard input, line by line, until it closes.
fn answers() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if line == "shutdown" || sender.send(line.trim().to_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::route::Marks;

    #[test]
    fn a_route_is_spoken_as_exabgp_wants_it() {
        let marks = Marks {
            communities: vec![Community::Standard(65_535, 0), Community::Large(1, 2, 3)],
            med: Some(10),
            prepend: Some((65_001, 2)),
        };
        let route = Route { prefix: "2001:db8::/48".parse().unwrap(), marks };
        let (name, line) = spoken(&route, &["192.0.2.1".parse().unwrap()]);
        assert_eq!(name, "route 2001:db8::/48 next-hop self");
        assert_eq!(
            line,
            "route 2001:db8::/48 next-hop self community [ 65535:0 ] large-community [ 1:2:3 ] med \
             10 as-path [ 65001 65001 ]"
        );
    }
}
