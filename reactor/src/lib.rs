//! The readiness loop that both hot paths of Gatecrash run on: the gate that lets sockets in, and the load engine that
//! knocks.
//!
//! A [`Shard`] is one thread with one epoll set. Its sockets lie in a slab, their deadlines in a timing wheel, and a parked
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
//! grow a buffer beyond the limits in [`Options`].

mod alarm;
mod connect;
mod deliver;
mod descriptors;
mod driver;
mod fault;
mod io;
mod link;
mod listen;
mod pacing;
mod rush;
mod service;
mod shard;
mod slab;
mod slice;
mod sockets;
mod tls;
mod waker;
mod wheel;

pub use connect::{ClientTls, Connect};
pub use descriptors::{descriptor_limit, raise_descriptor_limit};
pub use fault::{CertificateFault, TlsError};
pub use io::Io;
pub use link::Reading;
pub use listen::bind;
pub use pacing::Clock;
pub use service::{Closed, Next, Service};
pub use shard::{Options, Shard, TimeSource};
pub use slab::SocketId;
pub use sockets::{Loose, Parts, Sockets};
pub use waker::Waker;
