//! The daemon's end of the control socket.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use super::{REQUEST_OCTETS, Reloaded, Reply, Request};
use crate::{
    cloud::desk::Switch,
    config::canonical_name,
    limits::acl,
    serve::Daemon,
    service::Origin,
    telemetry,
    transfer::{Look, Refreshed},
    zone::name,
};

/// Commands served at a time; more wait.
const CONNECTIONS: usize = 16;
/// How long a client may take to say what it wants, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the control socket, for its owner and group only. Whoever calls this holds the state
/// directory's lock, so a socket that is already there is a dead daemon's.
///
/// # Errors
/// One line that names the path.
pub fn bind(path: &Path) -> Result<UnixListener> {
    let open = || -> io::Result<UnixListener> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
        Ok(listener)
    };
    open().with_context(|| format!("cannot open the control socket {}", path.display()))
}

/// Serves commands until dropped.
pub async fn serve(listener: UnixListener, daemon: Arc<Daemon>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let daemon = Arc::clone(&daemon);
                tokio::spawn(async move {
                    let _place = place;
                    // A client that hangs up early is its own affair.
                    let _ = converse(stream, daemon).await;
                });
            }
            Err(error) => {
                tracing::warn!("control socket: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, daemon: Arc<Daemon>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(REQUEST_OCTETS as u64);
        if timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        let complete = line.ends_with(b"\n");
        let reply = match serde_json::from_slice(&line) {
            _ if !complete => Reply::Error(format!(
                "a request is one line of JSON of at most {REQUEST_OCTETS} octets"
            )),
            Err(error) => Reply::Error(format!("not a request that this daemon knows: {error}")),
            Ok(request) => handle(request, &daemon).await,
        };
        let mut answer = serde_json::to_vec(&reply)?;
        answer.push(b'\n');
        timeout(PATIENCE, writer.write_all(&answer)).await??;
        if !complete {
            return Ok(());
        }
    }
}

/// Serves one request away from the threads that answer queries.
async fn handle(request: Request, daemon: &Arc<Daemon>) -> Reply {
    let request = match request {
        Request::ZoneRefresh { zone } => return refresh(daemon, &zone, Look::Refresh).await,
        Request::ZoneRetransfer { zone } => return refresh(daemon, &zone, Look::Retransfer).await,
        other => other,
    };
    let daemon = Arc::clone(daemon);
    let work = tokio::task::spawn_blocking(move || match request {
        Request::Log { filter } => match telemetry::filter_log(&filter) {
            Err(error) => Reply::Error(error),
            Ok(()) => match daemon.plane.filter_log(&filter) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Error(format!("{error:#}")),
            },
        },
        Request::Xdp { on, zone } => match daemon.switch(on, zone.as_deref()) {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Error(format!("{error:#}")),
        },
        Request::Status => Reply::Status(Box::new(daemon.status())),
        Request::ZoneReload { zone } => match daemon.zones.reload(zone.as_deref()) {
            Ok(reloaded) => Reply::Reloaded(reloaded),
            Err(error) => Reply::Error(format!("{error:#}")),
        },
        Request::Alive => Reply::Alive(daemon.alive()),
        Request::Drain { service } => drain(&daemon, service.as_deref(), true),
        Request::Undrain { service } => drain(&daemon, service.as_deref(), false),
        Request::LimitsTop { count } => {
            let (mode, talkers) = daemon.top(count);
            Reply::Talkers(mode, talkers)
        }
        Request::AclList => Reply::Acl(daemon.acl()),
        Request::AclAdd { prefix, action } => {
            edited(daemon.edit_acl(|list| Ok(list.add(prefix, action))), &daemon)
        }
        Request::AclDel { prefix } => {
            let remove = |list: &mut acl::List| {
                ensure!(list.remove(prefix), "{prefix} is not on the access list");
                Ok(true)
            };
            edited(daemon.edit_acl(remove), &daemon)
        }
        Request::CatalogStatus => Reply::Catalogs(daemon.catalogs()),
        Request::CatalogAccept { catalog } => done(daemon.accept_catalog(&catalog)),
        Request::CloudOverview { catalog } => match daemon.cloud(catalog.as_deref()) {
            Ok(overview) => Reply::Cloud(Box::new(overview)),
            Err(error) => Reply::Error(format!("{error:#}")),
        },
        Request::CloudSwitch { catalog, node, service, drain, force } => {
            let switch = Switch { node: &node, service: service.as_deref(), drain, force };
            done(daemon.switch_cloud(catalog.as_deref(), &switch))
        }
        Request::CloudHistory { catalog } => match daemon.cloud_history(catalog.as_deref()) {
            Ok(versions) => Reply::CloudHistory(versions),
            Err(error) => Reply::Error(format!("{error:#}")),
        },
        Request::CloudRollback { catalog, serial, force } => {
            done(daemon.roll_cloud_back(catalog.as_deref(), serial, force))
        }
        Request::ZoneHistory { zone } => match daemon.zones.history(&zone) {
            Ok(events) => Reply::History(events),
            Err(error) => Reply::Error(format!("{error:#}")),
        },
        Request::ZoneRefresh { .. } | Request::ZoneRetransfer { .. } => {
            Reply::Error("not a command that blocks".to_owned())
        }
    });
    work.await.unwrap_or_else(|error| Reply::Error(format!("the command failed: {error}")))
}

/// Notes what the operator wants of services.
fn drain(daemon: &Daemon, service: Option<&str>, drained: bool) -> Reply {
    match daemon.services.set_drained(Origin::Operator, service, drained) {
        Ok(services) => Reply::Services(services),
        Err(error) => Reply::Error(format!("{error:#}")),
    }
}

/// What became of a change of the access list.
fn edited(result: Result<()>, daemon: &Daemon) -> Reply {
    match result {
        Ok(()) => Reply::Acl(daemon.acl()),
        Err(error) => Reply::Error(format!("{error:#}")),
    }
}

/// The reply to what is done or not.
fn done(result: Result<()>) -> Reply {
    match result {
        Ok(()) => Reply::Done,
        Err(error) => Reply::Error(format!("{error:#}")),
    }
}

/// Has a zone's primaries asked, and waits for what they say.
async fn refresh(daemon: &Daemon, zone: &str, look: Look) -> Reply {
    let name = match canonical_name(zone) {
        Ok(name) => name,
        Err(error) => return Reply::Error(format!("\"{zone}\" is no name of a zone: {error}")),
    };
    let secondary =
        name::from_text_lower(&name).ok().and_then(|apex| daemon.transfers.secondaries.get(&apex));
    let Some(secondary) = secondary else {
        return Reply::Error(format!(
            "no zone \"{name}\" with primaries is configured: `responder status` lists the zones"
        ));
    };
    match secondary.request(look).await {
        Ok(Refreshed { serial, error }) => Reply::Refreshed(Reloaded { zone: name, serial, error }),
        Err(_) => Reply::Error(format!("zone \"{name}\" was removed or configured anew meanwhile")),
    }
}
