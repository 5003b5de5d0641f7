//! The readiness loop that both hot paths of Gatecrash run on: the gate that lets sockets in, and the load engine that
//! connects to it.
//!
//! A [`Shard`] is one thread with one epoll set. Its sockets lie in a slab, their deadlines in a timing wheel, and an idle
//! socket owns no task, no box and no buffer: what it keeps is its [`Service::Socket`] and a few bytes of bookkeeping.
//! A program is a [`Service`]: callbacks over the shard's sockets with `&mut self` everywhere, so nothing is locked and
//! nothing is shared between shards but the [`Clock`] and a [`Waker`].
//!
//! ```text
//! wait (epoll_pwait2) -> events -> deadlines -> Service::turn -> wait ...
//! event: read once into the shard's buffer -> Service::received -> one send of all that the callback wrote
//! ```
//!
//! Nothing here knows about HTTP, WebSocket or tokens. Nothing here sleeps but the one wait, and nothing a peer sends can
//! grow a buffer beyond the limits in [`Options`]. Every system call and every look at the clock is in `sys`.
//!
//! The modules below stand in the order of their layers, lowest first: each uses those before it and none after it.

mod sys;
mod socket_id;
mod tls_error;
mod closed;
mod options;
mod wheel;
mod accept_rate;
mod waker;
mod timer;
mod pacing;
mod listeners;
mod connect;
mod tls;
mod connection;
mod table;
mod driver;
mod io;
mod input;
mod detached;
mod sockets;
mod service;
mod receive;
mod shard;

pub use closed::Closed;
pub use connect::{ClientTls, Connect};
pub use connection::Reading;
pub use detached::{DetachedSocket, Parts};
pub use io::Io;
pub use options::{Options, TimeSource};
pub use service::{Next, Service};
pub use shard::Shard;
pub use socket_id::SocketId;
pub use sockets::Sockets;
pub use sys::{Clock, bind, descriptor_limit, raise_descriptor_limit};
pub use tls_error::{CertificateFault, TlsError};
pub use waker::Waker;
