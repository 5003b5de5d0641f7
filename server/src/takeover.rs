//! Handing the listeners over to a successor without closing them, over a Unix socket at a path that both are given.
//!
//! ```text
//! running:   a bundle: the offer, and the listeners
//! successor: ready                            once it serves
//! ```
//!
//! The running server drains then. If the successor ends before, its predecessor goes on. The kernel's
//! queues belong to the listeners, which live as long as a process holds them, so no connection is refused or reset.

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

/// What goes to a successor.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The gate's.
    pub gate: Vec<TcpListener>,
    /// The frontend's.
    pub frontend: Option<TcpListener>,
    /// What session tickets are made from, as it was when they were handed over.
    pub seed: Option<Seed>,
}

/// Why nothing was taken over, or can be.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// No socket can be made at the path.
    #[error("--takeover {path}: {error}", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// There is something else.
    #[error("--takeover {path}: that is no socket; name a path for one", path = path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The server that listens there runs as another user.
    #[error("--takeover {path}: the server that listens there runs as another user", path = path.display())]
    UnknownPeer {
        /// The path.
        path: PathBuf,
    },
    /// The server that listens there hands no listeners over.
    #[error(
        "--takeover {path}: the server that listens there hands no listeners over ({error}): is it a gatekeeper, and is no \
         other server about to take over from it?",
        path = path.display()
    )]
    Nothing {
        /// The path.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Offer {
    protocol: String,
    /// The last of the listeners is the frontend's.
    has_frontend: bool,
    /// The successor takes the tickets of its predecessor, whose clients come back all at once.
    #[serde(default)]
    tickets: Option<Seed>,
}

/// The server that ran before, and runs on until it is dismissed.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

/// Takes over the listeners of the server that listens at `path`; `None` where none does.
pub fn take(path: &Path) -> Result<Option<(Listeners, Predecessor)>, TakeoverError> {
    let owned = path.to_owned();
    if fs::metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
        return Err(TakeoverError::NoSocket { path: owned });
    }
    let stream = match UnixStream::connect(path).map_err(|error| (error.kind(), error)) {
        Ok(stream) => stream,
        // No server was there yet, or it ended without removing its socket.
        Err((io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, _)) => return Ok(None),
        Err((_, error)) => return Err(TakeoverError::Path { path: owned, error }),
    };
    if !is_ours(&stream) {
        return Err(TakeoverError::UnknownPeer { path: owned });
    }
    match receive(&stream) {
        Ok(taken) => Ok(Some((taken, Predecessor(stream)))),
        Err(error) => Err(TakeoverError::Nothing { path: owned, error }),
    }
}

fn receive(stream: &UnixStream) -> io::Result<Listeners> {
    stream.set_read_timeout(Some(HANDED_OVER_WITHIN))?;
    let (offer, descriptors) = descriptors::receive_bundle::<Offer>(stream)?;
    if offer.protocol != PROTOCOL {
        return Err(io::Error::other(format!("it speaks `{}`", offer.protocol)));
    }
    let mut gate: Vec<_> = descriptors.into_iter().map(TcpListener::from).collect();
    let frontend = match offer.has_frontend {
        true => gate.pop(),
        false => None,
    };
    Ok(Listeners { gate, frontend, seed: offer.tickets })
}

impl Predecessor {
    /// Orders it to drain and end: the listeners are served.
    pub fn dismiss(mut self) {
        if let Err(error) = self.0.write_all(READY) {
            tracing::warn!(%error, "the predecessor has ended by itself");
        }
    }
}

/// Is the process at the other end of the same user?
fn is_ours(stream: impl AsFd) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == getuid())
}

/// An offer to successors.
pub struct Handover {
    successors: UnixListener,
    listeners: Listeners,
    tls: Option<Tls>,
    path: PathBuf,
    /// Distinguishes this socket's file from one that a successor has put in its place.
    inode: u64,
}

impl Handover {
    /// Offers `listeners` at `path`, in place of any earlier offer. Needs a tokio runtime.
    pub fn offer(path: &Path, listeners: Listeners, tls: Option<Tls>) -> Result<Self, TakeoverError> {
        let failed = |error| TakeoverError::Path { path: path.to_owned(), error };
        // Made beside it and then moved, so that there is a socket at the path at any time.
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let _ = fs::remove_file(&beside);
        let successors = UnixListener::bind(&beside).map_err(failed)?;
        let inode = fs::metadata(&beside).map_err(failed)?.st_ino();
        fs::rename(&beside, path).map_err(failed)?;
        Ok(Self { successors, listeners, tls, path: path.to_owned(), inode })
    }

    /// Waits until a successor serves the listeners.
    pub async fn taken(self) {
        loop {
            let Ok((successor, _)) = self.successors.accept().await else {
                // Descriptors have run out: wait until some are closed.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            match self.hand_over(successor).await {
                Ok(()) => {
                    tracing::info!("a successor has taken over");
                    return;
                }
                Err(error) => tracing::warn!(%error, "a successor has not taken over"),
            }
        }
    }

    async fn hand_over(&self, successor: tokio::net::UnixStream) -> io::Result<()> {
        if !is_ours(&successor) {
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
        // It fits into the socket's buffer, so this does not block.
        descriptors::send_bundle(&successor, &offer, &descriptors)?;
        successor.set_nonblocking(true)?;
        let mut successor = tokio::net::UnixStream::from_std(successor)?;
        let mut answer = [0; READY.len()];
        successor.read_exact(&mut answer).await?;
        match answer == READY {
            true => Ok(()),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        // A successor has put its own there.
        if fs::metadata(&self.path).is_ok_and(|there| there.st_ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
