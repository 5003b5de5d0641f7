//! The frontend's connections: limits and shutdown.

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

/// The wait after a failed accept, whose cause, such as too few descriptors, usually lasts for some time.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The smallest buffer for heads that hyper accepts.
const HEAD_BYTES_MIN: usize = 8 * 1024;

/// Serves the frontend until `shutdown`, with the default [`Limits`]. Then it accepts no more connections, closes idle
/// ones and finishes unfinished answers, for at most `drain_timeout`. An error is that of the listener.
pub async fn serve(
    listener: TcpListener,
    config: FrontendConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_within(listener, config, Limits::default(), shutdown).await
}

/// [`serve`] with the given limits.
pub async fn serve_within(
    listener: TcpListener,
    mut config: FrontendConfig,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // An invalid listener fails here and not at the first connection.
    listener.local_addr()?;
    let lookup_listener = config.lookup_listener.take();
    let permits = limits.connections_max.min(Semaphore::MAX_PERMITS);
    let server = ConnectionServer {
        http: http(&limits),
        tls: config.tls.clone().map(TlsAcceptor::from),
        router: router(config, &limits),
        permits: Arc::new(Semaphore::new(permits)),
        head_timeout: limits.head_timeout,
        drain_timeout: limits.drain_timeout,
    };
    let (stop, stopped) = watch::channel(());
    let lookups = lookup_listener.map(|listener| {
        let server = ConnectionServer { tls: None, router: lookups_only(server.router.clone()), ..server.clone() };
        server.run(listener, stopped.clone())
    });
    let stops = async {
        shutdown.await;
        drop(stop);
    };
    tokio::join!(stops, server.run(listener, stopped), async {
        if let Some(lookups) = lookups {
            lookups.await;
        }
    });
    Ok(())
}

/// Serves the connections of a listener. Clones share the connection limit.
#[derive(Clone)]
struct ConnectionServer {
    http: http1::Builder,
    tls: Option<TlsAcceptor>,
    router: Router,
    permits: Arc<Semaphore>,
    head_timeout: Duration,
    drain_timeout: Duration,
}

impl ConnectionServer {
    /// Serves connections until the sender of `stopped` is dropped.
    async fn run(self, listener: TcpListener, mut stopped: watch::Receiver<()>) {
        let mut connections = JoinSet::new();
        let mut failures = LogThrottle::default();
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                (stream, permit) = accept(&listener, &self.permits, &mut failures) => {
                    let (server, stopped) = (self.clone(), stopped.clone());
                    connections.spawn(async move {
                        server.serve(stream, stopped).await;
                        drop(permit);
                    });
                }
                // Frees the tasks of closed connections.
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(self.drain_timeout, ended).await.is_err() {
            tracing::warn!("connections were closed before their answers were complete");
        }
    }

    async fn serve(self, stream: TcpStream, stopped: watch::Receiver<()>) {
        match self.tls {
            None => connection(self.http, without_delay(stream), self.router, stopped).await,
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

/// The next connection and its permit. Retries after a failure.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    failures: &mut LogThrottle,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, therefore this is never `None`.
    let permit = permits.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                if failures.is_due() {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Sets TCP_NODELAY: responses are small and written in one piece, which a delay would not merge further.
fn without_delay(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

/// Performs the TLS handshake within the time for a head; `None` if it fails, after an alert to the client.
async fn secure(
    tls: &TlsAcceptor,
    stream: TcpStream,
    within: Duration,
    stopped: &watch::Receiver<()>,
) -> Option<TlsStream<TcpStream>> {
    let mut stopped = stopped.clone();
    let handshake = timeout(within, tls.accept(without_delay(stream)));
    let result = tokio::select! {
        result = handshake => result,
        // There is no request yet.
        _ = stopped.changed() => return None,
    };
    match result {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}

/// Serves the requests of one connection until it ends or the sender of `stopped` is dropped.
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
        // The client disconnected, was too slow or did not send HTTP.
        tracing::debug!(%error, "a connection failed");
    }
}
