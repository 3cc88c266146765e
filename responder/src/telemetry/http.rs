//! The HTTP listener: `/healthz`, `/readyz` and `/metrics`.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, anyhow};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::exposition;
use crate::{control::ZoneState, serve::Daemon};

/// Requests served at a time; more wait.
const CONNECTIONS: usize = 32;
/// How long a connection may last: scrapers open a new one, and a stalled one is let go.
const PATIENCE: Duration = Duration::from_secs(30);

type Page = Response<Full<Bytes>>;

/// Opens the listener of `telemetry.listen`, if there is one.
///
/// # Errors
/// One line with the remedy.
pub fn bind(address: Option<SocketAddr>) -> Result<Option<StdListener>> {
    let Some(address) = address else { return Ok(None) };
    let open = || {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map(Some).map_err(|error: std::io::Error| {
        anyhow!(
            "cannot listen on {address} for telemetry: {error}: free the address, or set another \
             telemetry.listen"
        )
    })
}

/// Serves requests until dropped.
pub async fn serve(listener: StdListener, daemon: Arc<Daemon>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("telemetry: {error}"),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let daemon = Arc::clone(&daemon);
                tokio::spawn(async move {
                    let _place = place;
                    // A client that stalls or hangs up is its own affair.
                    let _ = timeout(PATIENCE, converse(stream, daemon)).await;
                });
            }
            Err(error) => {
                tracing::warn!("telemetry: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, daemon: Arc<Daemon>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let daemon = Arc::clone(&daemon);
        async move { Ok::<_, Infallible>(answer(request, daemon).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(5))
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(request: Request<Incoming>, daemon: Arc<Daemon>) -> Page {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return page(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    }
    match request.uri().path() {
        "/healthz" => page(StatusCode::OK, "alive\n"),
        "/readyz" => {
            let (status, text) = readiness(&daemon);
            page(status, text)
        }
        "/metrics" => {
            let text = tokio::task::spawn_blocking(move || exposition(&daemon.status())).await;
            match text {
                Ok(text) => {
                    let mut page = page(StatusCode::OK, text);
                    let version = "text/plain; version=0.0.4; charset=utf-8";
                    page.headers_mut()
                        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(version));
                    page
                }
                Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            }
        }
        _ => page(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n"),
    }
}

/// Ready: the sockets answer, the programs are attached, and there is a zone to answer for.
fn readiness(daemon: &Daemon) -> (StatusCode, String) {
    if !daemon.is_ready() {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n".to_owned());
    }
    let zones = daemon.zones.status();
    let serving = zones.iter().filter(|zone| zone.state == ZoneState::Serving).count();
    let text = format!("{serving} of {} zones are served\n", zones.len());
    if serving == 0 && !zones.is_empty() {
        (StatusCode::SERVICE_UNAVAILABLE, text)
    } else {
        (StatusCode::OK, text)
    }
}

fn page(status: StatusCode, text: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(text.into()));
    *page.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    page.headers_mut().insert(CONTENT_TYPE, plain);
    page
}
