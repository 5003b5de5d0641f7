//! The page of `--prometheus`: one address, served from before the first login to the end of the process.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::runtime::Runtime;

use crate::run::live::{Now, exposition};

/// Serves the figures of the last second that it was given.
#[derive(Debug)]
pub struct Page {
    now: Arc<Mutex<Arc<Now>>>,
    address: SocketAddr,
}

/// The address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("--prometheus {address}: {error}; name an address of this machine and a port that is free, or port 0 for any")]
pub struct PageError {
    address: SocketAddr,
    error: io::Error,
}

impl Page {
    /// Binds the address and serves on `runtime`, an empty run at first.
    pub fn serve(runtime: &Runtime, address: SocketAddr) -> Result<Self, PageError> {
        let failed = |error| PageError { address, error };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let _context = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        let now: Arc<Mutex<Arc<Now>>> = Arc::default();
        let shown = now.clone();
        let page = move || {
            let now = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
            async move { ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], exposition::page(&now)) }
        };
        let routes = Router::new().route("/metrics", get(page));
        // It ends with the runtime; a broken connection is the reader's problem.
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { now, address: bound })
    }

    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this second is served.
    pub fn show(&self, now: Arc<Now>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}
