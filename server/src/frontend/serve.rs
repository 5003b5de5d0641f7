//! The frontend's connections: accepted up to a limit, each with bounds on its heads, ended in order.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::frontend::router::{lookups_only, router};
use crate::frontend::{FrontendConfig, Limits};
use crate::process::LogThrottle;

/// What keeps a connection from being accepted, such as too few descriptors, is not over at once.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// hyper reads heads into buffers of at least this size and refuses to be asked for less.
const HEAD_BYTES_MIN: usize = 8 * 1024;

/// Serves the frontend until `shutdown`, within the default [`Limits`].
///
/// Then it accepts nothing more, closes what is idle and lets the answers under way finish, within
/// `drain_timeout`. An error is the listener's.
pub async fn serve(
    listener: TcpListener,
    config: FrontendConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_within(listener, config, Limits::default(), shutdown).await
}

/// [`serve`] with limits of one's own.
pub async fn serve_within(
    listener: TcpListener,
    mut config: FrontendConfig,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // Fails here and not at the first connection if the listener is none.
    listener.local_addr()?;
    let asked_at = config.asked_at.take();
    let places = limits.connections_max.min(Semaphore::MAX_PERMITS);
    let door = Door {
        http: http(&limits),
        tls: config.tls.clone().map(TlsAcceptor::from),
        router: router(config, &limits),
        places: Arc::new(Semaphore::new(places)),
        head_timeout: limits.head_timeout,
        drain_timeout: limits.drain_timeout,
    };
    let (stop, stopped) = watch::channel(());
    let asked = asked_at.map(|listener| {
        let door = Door { tls: None, router: lookups_only(door.router.clone()), ..door.clone() };
        door.open(listener, stopped.clone())
    });
    let stops = async {
        shutdown.await;
        drop(stop);
    };
    tokio::join!(stops, door.open(listener, stopped), async {
        if let Some(asked) = asked {
            asked.await;
        }
    });
    Ok(())
}

/// What is behind a listener. Several share their places.
#[derive(Clone)]
struct Door {
    http: http1::Builder,
    tls: Option<TlsAcceptor>,
    router: Router,
    places: Arc<Semaphore>,
    head_timeout: Duration,
    drain_timeout: Duration,
}

impl Door {
    /// Serves what comes until it is `stopped`, which is when the sender is dropped.
    async fn open(self, listener: TcpListener, mut stopped: watch::Receiver<()>) {
        let mut connections = JoinSet::new();
        let mut failures = LogThrottle::default();
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                (stream, place) = accept(&listener, &self.places, &mut failures) => {
                    let (door, stopped) = (self.clone(), stopped.clone());
                    connections.spawn(async move {
                        door.serve(stream, stopped).await;
                        drop(place);
                    });
                }
                // Takes back what ended connections held.
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(self.drain_timeout, ended).await.is_err() {
            tracing::warn!("connections were cut off, as their answers took too long");
        }
    }

    async fn serve(self, stream: TcpStream, stopped: watch::Receiver<()>) {
        match self.tls {
            None => connection(self.http, plain(stream), self.router, stopped).await,
            Some(tls) => {
                if let Some(stream) = secure(&tls, stream, self.head_timeout, &stopped).await {
                    connection(self.http, stream, self.router, stopped).await;
                }
            }
        }
    }
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes_max.max(HEAD_BYTES_MIN));
    http
}

/// The next connection and its place among all; never fails, as the next one may well succeed.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    failures: &mut LogThrottle,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Never closed, so the error that would be `None` here does not come.
    let place = places.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                if failures.is_due() {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Answers are small and whole: waiting for more to send would only make them late.
fn plain(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

/// Does TLS's handshake, which may take as long as a head; `None` when it came to nothing, of which the client was told
/// by an alert.
async fn secure(
    tls: &TlsAcceptor,
    stream: TcpStream,
    within: Duration,
    stopped: &watch::Receiver<()>,
) -> Option<TlsStream<TcpStream>> {
    let mut stopped = stopped.clone();
    let handshake = timeout(within, tls.accept(plain(stream)));
    let secured = tokio::select! {
        secured = handshake => secured,
        // Nothing was asked yet.
        _ = stopped.changed() => return None,
    };
    match secured {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no TLS");
            None
        }
        Err(_) => None,
    }
}

/// Answers what comes over one connection, until it ends or `stopped` says so.
async fn connection(
    http: http1::Builder,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    mut stopped: watch::Receiver<()>,
) {
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended: Result<(), hyper::Error> = tokio::select! {
        ended = &mut connection => ended,
        // The sender was dropped.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client's doing: it left, was too slow or spoke no HTTP.
        tracing::debug!(%error, "a connection ended early");
    }
}
