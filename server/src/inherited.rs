//! Listeners that another process opened: systemd (socket activation, sd_listen_fds(3)), the predecessor in a takeover, or
//! the parent of several processes.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::{env, io};

use listenfd::ListenFd;
use rustix::net::sockopt;

use crate::processes::Membership;
use crate::takeover::{self, Predecessor, TakeoverError};
use crate::tls::Seed;

/// The name (`FileDescriptorName=` in systemd.socket(5)) of the frontend's listener.
const FRONTEND_NAME: &str = "frontend";

/// What a process receives from another process when it starts.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Listeners of the gate, all at one address.
    pub gate: Vec<TcpListener>,
    /// The listener of the frontend.
    pub frontend: Option<TcpListener>,
    /// This is one process of several.
    pub member: Option<Membership>,
    /// The seed of the predecessor's session tickets.
    pub seed: Option<Seed>,
}

/// A fault in the listeners that were handed over.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    #[error("LISTEN_FDS=`{0}` is no count of descriptors")]
    Count(String),
    #[error("LISTEN_FDS: descriptor {0}: {1}")]
    Descriptor(usize, io::Error),
    #[error("LISTEN_FDS and --takeover both hand listeners over: use one of them")]
    Twice,
    #[error("LISTEN_FDS: two listeners are named `{FRONTEND_NAME}`, and a frontend has one")]
    TwoFrontends,
    #[error(
        "LISTEN_FDS: the gate's listeners are at {0} and at {1}: hand over those of one address \
         (FileDescriptorName={FRONTEND_NAME} names the frontend's)"
    )]
    TwoAddresses(SocketAddr, SocketAddr),
    #[error("--member: there is no parent on standard input: {0}")]
    NoParent(io::Error),
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
}

/// The first descriptor that systemd hands over (SD_LISTEN_FDS_START).
const FIRST_DESCRIPTOR: usize = 3;

impl Inherited {
    /// Takes the listeners that the environment names, if any. It removes the variables, and must be called before the
    /// process starts a thread.
    pub fn from_environment() -> Result<Self, InheritError> {
        let count = env::var("LISTEN_FDS").unwrap_or_default();
        if !count.is_empty() && count.parse::<u16>().is_err() {
            return Err(InheritError::Count(count));
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        let mut inherited = Self::default();
        for place in 0..given.len() {
            let refused = |error| InheritError::Descriptor(FIRST_DESCRIPTOR + place, error);
            let taken = given.take_tcp_listener(place).map_err(refused)?;
            let listener = taken.ok_or_else(|| refused(io::ErrorKind::NotFound.into()))?;
            if !sockopt::socket_acceptconn(&listener).map_err(|error| refused(error.into()))? {
                return Err(refused(io::Error::other("it does not listen")));
            }
            if names.next() != Some(FRONTEND_NAME) {
                inherited.gate.push(listener);
            } else if inherited.frontend.replace(listener).is_some() {
                return Err(InheritError::TwoFrontends);
            }
        }
        inherited.at_one_address()
    }

    /// Receives the setup that the parent of several processes sends over standard input.
    pub fn from_parent() -> Result<Self, InheritError> {
        let member = Membership::receive().map_err(InheritError::NoParent)?;
        Ok(Self { member: Some(member), ..Self::default() })
    }

    /// Takes over the listeners of the server that listens at `path`, if there is one. The caller dismisses it.
    pub fn take_over(&mut self, path: &Path) -> Result<Option<Predecessor>, InheritError> {
        if !self.gate.is_empty() || self.frontend.is_some() {
            return Err(InheritError::Twice);
        }
        Ok(takeover::take(path)?.map(|(listeners, predecessor)| {
            self.gate = listeners.gate;
            self.frontend = listeners.frontend;
            self.seed = listeners.seed;
            predecessor
        }))
    }

    /// The seed of session tickets, if other processes use the same.
    pub fn tickets(&mut self) -> Option<Seed> {
        let member = self.member.as_mut();
        member.and_then(|member| member.seed.take()).or_else(|| self.seed.take())
    }

    /// The address of the gate's listeners.
    pub fn gate_addr(&self) -> Option<SocketAddr> {
        let member = self.member.as_ref().and_then(Membership::addr);
        let first = self.gate.first();
        member.or_else(|| first.and_then(|listener| listener.local_addr().ok()))
    }

    /// The address of the frontend's listener.
    pub fn frontend_addr(&self) -> Option<SocketAddr> {
        self.frontend.as_ref()?.local_addr().ok()
    }

    fn at_one_address(self) -> Result<Self, InheritError> {
        let addrs = self.gate.iter().filter_map(|it| it.local_addr().ok());
        let other = addrs.clone().find(|addr| Some(*addr) != self.gate_addr());
        match (self.gate_addr(), other) {
            (Some(first), Some(other)) => Err(InheritError::TwoAddresses(first, other)),
            _ => Ok(self),
        }
    }
}
