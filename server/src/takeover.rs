//! Hands the listeners over to a successor without closing them, over a Unix socket whose path both servers know.
//!
//! ```text
//! running:   a bundle: the offer, and the listeners
//! successor: ready                            once it serves
//! ```
//!
//! The running server then drains. If the successor ends before it is ready, the running server continues. The kernel's
//! queues belong to the listeners, which exist as long as a process holds them, so that no connection is refused or reset.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rustix::{net::sockopt::socket_peercred, process::getuid};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt, net::UnixListener};

use crate::descriptors;
use crate::tls::{Seed, Tls};

/// How long the running server may take to hand over.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(5);

const READY: &[u8] = b"ready\n";

/// The name and version of the protocol in the bundle.
const PROTOCOL: &str = "gatekeeper takeover 1";

/// The listeners that go to a successor.
#[derive(Debug, Default)]
pub struct Listeners {
    pub gate: Vec<TcpListener>,
    pub frontend: Option<TcpListener>,
    /// The seed of the predecessor's session tickets.
    pub seed: Option<Seed>,
}

/// Why no takeover is possible at a path.
#[derive(Debug, thiserror::Error)]
#[error("--takeover {path}: {fault}", path = path.display())]
pub struct TakeoverError {
    path: PathBuf,
    fault: TakeoverFault,
}

#[derive(Debug, thiserror::Error)]
enum TakeoverFault {
    /// No socket can be created at the path, or it cannot be connected to.
    #[error("{0}")]
    Path(io::Error),
    #[error("that is no socket; name a path for one")]
    NoSocket,
    #[error("the server that listens there runs as another user")]
    OtherUser,
    #[error(
        "the server that listens there hands no listeners over ({0}): is it a gatekeeper, and is no other server about to \
         take over from it?"
    )]
    NoListeners(io::Error),
}

#[derive(Serialize, Deserialize)]
struct Offer {
    protocol: String,
    /// The last listener is the frontend's.
    has_frontend: bool,
    /// The seed with which the successor accepts its predecessor's session tickets, because all clients reconnect at once.
    #[serde(default)]
    tickets: Option<Seed>,
}

/// The server that hands its listeners over. It serves until it is dismissed.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

/// Takes over the listeners of the server that listens at `path`; `None` if there is no server.
pub fn take(path: &Path) -> Result<Option<(Listeners, Predecessor)>, TakeoverError> {
    let failed = |fault| TakeoverError { path: path.to_owned(), fault };
    if fs::metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
        return Err(failed(TakeoverFault::NoSocket));
    }
    let stream = match UnixStream::connect(path).map_err(|error| (error.kind(), error)) {
        Ok(stream) => stream,
        // No server has listened yet, or it ended without removing its socket.
        Err((io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, _)) => return Ok(None),
        Err((_, error)) => return Err(failed(TakeoverFault::Path(error))),
    };
    if !is_same_user(&stream) {
        return Err(failed(TakeoverFault::OtherUser));
    }
    let listeners = receive(&stream).map_err(|error| failed(TakeoverFault::NoListeners(error)))?;
    Ok(Some((listeners, Predecessor(stream))))
}

fn receive(stream: &UnixStream) -> io::Result<Listeners> {
    stream.set_read_timeout(Some(HANDED_OVER_WITHIN))?;
    let (offer, descriptors) = descriptors::receive_bundle::<Offer>(stream)?;
    if offer.protocol != PROTOCOL {
        return Err(io::Error::other(format!("it speaks `{}`", offer.protocol)));
    }
    let mut gate: Vec<_> = descriptors.into_iter().map(TcpListener::from).collect();
    let frontend = if offer.has_frontend { gate.pop() } else { None };
    Ok(Listeners { gate, frontend, seed: offer.tickets })
}

impl Predecessor {
    /// Orders the predecessor to drain and end, because this server serves the listeners.
    pub fn dismiss(mut self) {
        if let Err(error) = self.0.write_all(READY) {
            tracing::warn!(%error, "the predecessor has ended by itself");
        }
    }
}

/// Whether the process at the other end runs as this process's user.
fn is_same_user(stream: impl AsFd) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == getuid())
}

/// Waits for a successor and hands the listeners over to it.
pub struct Handover {
    successors: UnixListener,
    listeners: Listeners,
    tls: Option<Tls>,
    path: PathBuf,
    /// The inode of this server's socket: a successor replaces the file at `path`.
    inode: u64,
}

impl Handover {
    /// Offers `listeners` at `path`, in place of any earlier offer. Needs a tokio runtime.
    pub fn offer(path: &Path, listeners: Listeners, tls: Option<Tls>) -> Result<Self, TakeoverError> {
        let failed = |error| TakeoverError { path: path.to_owned(), fault: TakeoverFault::Path(error) };
        // The socket is created under another name and renamed, so that there is a socket at the path at any time.
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        let successors = UnixListener::bind(&temporary).map_err(failed)?;
        let inode = fs::metadata(&temporary).map_err(failed)?.st_ino();
        fs::rename(&temporary, path).map_err(failed)?;
        Ok(Self { successors, listeners, tls, path: path.to_owned(), inode })
    }

    /// Waits until a successor serves the listeners.
    pub async fn taken(self) {
        loop {
            let Ok((successor, _)) = self.successors.accept().await else {
                // The process has no free descriptor: wait until some are closed.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            match self.hand_over(successor).await {
                Ok(()) => return tracing::info!("a successor has taken over"),
                Err(error) => tracing::warn!(%error, "a successor has not taken over"),
            }
        }
    }

    async fn hand_over(&self, successor: tokio::net::UnixStream) -> io::Result<()> {
        if !is_same_user(&successor) {
            return Err(io::Error::other("it runs as another user"));
        }
        let successor = successor.into_std()?;
        successor.set_nonblocking(false)?;
        successor.set_write_timeout(Some(HANDED_OVER_WITHIN))?;
        let offer = Offer {
            protocol: PROTOCOL.to_owned(),
            has_frontend: self.listeners.frontend.is_some(),
            tickets: self.tls.as_ref().map(Tls::seed),
        };
        let all = self.listeners.gate.iter().chain(&self.listeners.frontend);
        let descriptors: Vec<BorrowedFd<'_>> = all.map(AsFd::as_fd).collect();
        // The bundle fits into the socket's buffer, so that this does not block.
        descriptors::send_bundle(&successor, &offer, &descriptors)?;
        successor.set_nonblocking(true)?;
        let mut successor = tokio::net::UnixStream::from_std(successor)?;
        let mut answer = [0; READY.len()];
        successor.read_exact(&mut answer).await?;
        if answer == READY { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        // A successor's socket at the path is not removed.
        if fs::metadata(&self.path).is_ok_and(|file| file.st_ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
