//! Listeners that this process did not open itself: those of systemd's socket activation (sd_listen_fds(3)), those of
//! the server that ran before, or those that the parent of several processes holds.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::{env, io};

use listenfd::ListenFd;
use rustix::net::sockopt;

use crate::processes::Membership;
use crate::takeover;
use crate::takeover::{Predecessor, TakeoverError};
use crate::tls::Seed;

/// The name (`FileDescriptorName=` in systemd.socket(5)) of the one listener that is the frontend's.
const FRONTEND_NAME: &str = "frontend";

/// What a process receives at its start from others.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Listeners of the gate, all at one address.
    pub gate: Vec<TcpListener>,
    /// The listener of the frontend.
    pub frontend: Option<TcpListener>,
    /// It is one process of several.
    pub(crate) member: Option<Membership>,
    /// What the server that ran before makes its session tickets from.
    pub(crate) seed: Option<Seed>,
}

/// What is wrong with listeners that were handed over.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// The count is none.
    #[error("LISTEN_FDS=`{0}` is no count of descriptors")]
    Count(String),
    /// A descriptor is no listener.
    #[error("LISTEN_FDS: descriptor {descriptor}: {error}")]
    Descriptor {
        /// Its number.
        descriptor: usize,
        /// The system's error.
        error: io::Error,
    },
    /// Two sources at once.
    #[error("LISTEN_FDS and --takeover both hand listeners over: use one of them")]
    Twice,
    /// One name for two.
    #[error("LISTEN_FDS: two listeners are named `{FRONTEND_NAME}`, and a frontend has one")]
    TwoFrontends,
    /// The gate would be at two addresses.
    #[error(
        "LISTEN_FDS: the gate's listeners are at {0} and at {1}: hand over those of one address \
         (FileDescriptorName={FRONTEND_NAME} names the frontend's)"
    )]
    TwoAddresses(SocketAddr, SocketAddr),
    /// `--member` without a parent.
    #[error("--member: there is no parent on standard input: {0}")]
    NoParent(io::Error),
    /// Nothing can be taken over.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
}

/// The first descriptor that systemd hands over (SD_LISTEN_FDS_START).
const FIRST_DESCRIPTOR: usize = 3;

impl Inherited {
    /// Takes the listeners that the environment names, if any. To be called before any thread is made, since
    /// it clears the variables.
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
            let refused = |error| InheritError::Descriptor { descriptor: FIRST_DESCRIPTOR + place, error };
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

    /// Takes over the listeners of the server that listens at `path`, if one does; it is to be dismissed then.
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

    /// What session tickets are to be made from, if others make them too.
    pub(crate) fn tickets(&mut self) -> Option<Seed> {
        let member = self.member.as_mut();
        member.and_then(|member| member.seed.take()).or_else(|| self.seed.take())
    }

    /// Where the gate's listeners are.
    pub fn gate_addr(&self) -> Option<SocketAddr> {
        let member = self.member.as_ref().and_then(Membership::addr);
        let first = self.gate.first();
        member.or_else(|| first.and_then(|listener| listener.local_addr().ok()))
    }

    /// Where the frontend's listener is.
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
