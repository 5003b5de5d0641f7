//! Connection limits: over all shards of the process, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use reactor::SocketId;

use crate::metrics::Limit;

/// Rejected connections that are answered at the same time. Each holds a descriptor until its peer has read the answer,
/// at most a second. Further connections are closed without an answer.
pub const REJECTED_AT_ONCE_MAX: usize = 1024;

/// Counts the open connections of all shards against the limits.
#[derive(Debug)]
pub struct Admission {
    connections_max: usize,
    open: AtomicUsize,
    rejected: AtomicUsize,
    addresses: Option<Addresses>,
}

/// Connections by the address that they come from.
#[derive(Debug)]
struct Addresses {
    each_max: u32,
    open: Mutex<HashMap<IpAddr, u32>>,
}

/// What to do with a new connection. [`Admission::release`] takes the decision when the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Serve the connection.
    Admitted,
    /// A limit is reached: answer the peer, then close.
    Rejected,
    /// A limit is reached and too many peers are being answered: close at once.
    Dropped,
}

/// The client's address has as many open connections as allowed.
#[derive(Debug, PartialEq)]
struct AddressFull;

/// A connection that a limit excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAdmitted {
    /// [`Decision::Rejected`] or [`Decision::Dropped`].
    pub decision: Decision,
    /// The limit that was reached.
    pub limit: Limit,
}

impl Admission {
    /// Admits `connections_max` connections, and `per_address_max` of them from one address if that is limited.
    pub fn new(connections_max: usize, per_address_max: Option<u32>) -> Self {
        let addresses = per_address_max.map(|each_max| Addresses { each_max, open: Mutex::default() });
        Self { addresses, connections_max, open: AtomicUsize::new(0), rejected: AtomicUsize::new(0) }
    }

    /// Counts a new connection against the limit on all connections.
    pub fn admit(&self) -> Decision {
        if take(&self.open, self.connections_max) { Decision::Admitted } else { self.reject_uncounted() }
    }

    /// Counts a new connection of a client's `address`, where addresses are limited; returns the address for
    /// [`Admission::release_address`]. IPv6 addresses count by their first 64 bits: one client's network (RFC 6177).
    fn admit_address(&self, address: impl FnOnce() -> Option<IpAddr>) -> Result<Option<IpAddr>, AddressFull> {
        let Some((addresses, address)) = self.addresses.as_ref().and_then(|limit| Some((limit, address()?))) else {
            return Ok(None);
        };
        let address = match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
            v4 => v4,
        };
        let mut open = addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= addresses.each_max {
            return Err(AddressFull);
        }
        *count += 1;
        Ok(Some(address))
    }

    /// Counts a new connection against both limits. `address` is called only where addresses are limited; it returns
    /// `None` when the client has closed already. Returns the address for [`Admission::release_address`].
    pub fn admit_from(&self, address: impl FnOnce() -> Option<IpAddr>) -> Result<Option<IpAddr>, NotAdmitted> {
        match self.admit() {
            Decision::Admitted => self.admit_address(address).map_err(|AddressFull| {
                self.release(Decision::Admitted);
                NotAdmitted { decision: self.reject_uncounted(), limit: Limit::Address }
            }),
            decision => Err(NotAdmitted { decision, limit: Limit::Connections }),
        }
    }

    /// A connection of this address is closed.
    pub fn release_address(&self, address: IpAddr) {
        let Some(addresses) = &self.addresses else {
            return;
        };
        let mut open = addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&address);
            }
        }
    }

    /// Rejects a connection that is not counted as open.
    fn reject_uncounted(&self) -> Decision {
        if take(&self.rejected, REJECTED_AT_ONCE_MAX) { Decision::Rejected } else { Decision::Dropped }
    }

    /// A connection with this decision is closed.
    pub fn release(&self, decision: Decision) {
        match decision {
            Decision::Admitted => self.open.fetch_sub(1, Relaxed),
            Decision::Rejected => self.rejected.fetch_sub(1, Relaxed),
            Decision::Dropped => 0,
        };
    }
}

/// Increments `taken`, unless it has reached `max`. When two shards try at once, both may fail, but `max` is never exceeded.
fn take(taken: &AtomicUsize, max: usize) -> bool {
    if taken.fetch_add(1, Relaxed) < max {
        return true;
    }
    taken.fetch_sub(1, Relaxed);
    false
}

/// Admission of one shard's connections.
#[derive(Debug)]
pub(super) struct ShardAdmission {
    pub(super) admission: Arc<Admission>,
    /// The clients' addresses by connection, where addresses are limited.
    addresses: HashMap<u64, IpAddr>,
}

impl ShardAdmission {
    pub(super) fn new(admission: Arc<Admission>) -> Self {
        Self { admission, addresses: HashMap::new() }
    }

    /// Counts the new connection `id`.
    pub(super) fn admit(&mut self, id: SocketId, peer: impl FnOnce() -> Option<IpAddr>) -> Result<(), NotAdmitted> {
        let address = self.admission.admit_from(peer)?;
        self.set_address(id, address);
        Ok(())
    }

    /// The connection `id` is closed.
    pub(super) fn release(&mut self, id: SocketId, decision: Decision) {
        // Hashing takes time even when the map is empty.
        if !self.addresses.is_empty()
            && let Some(address) = self.addresses.remove(&id.to_bits())
        {
            self.admission.release_address(address);
        }
        self.admission.release(decision);
    }

    /// Stores the address under which `id` is counted.
    pub(super) fn set_address(&mut self, id: SocketId, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.addresses.insert(id.to_bits(), address);
        }
    }

    /// The address under which `id` is counted.
    pub(super) fn address(&self, id: SocketId) -> Option<IpAddr> {
        self.addresses.get(&id.to_bits()).copied()
    }

    /// Removes the address of a connection that moves to another shard.
    pub(super) fn take_address(&mut self, id: SocketId) -> Option<IpAddr> {
        self.addresses.remove(&id.to_bits())
    }

    /// An admitted connection that is no socket of this shard is closed.
    pub(super) fn release_detached(&self, address: Option<IpAddr>) {
        self.admission.release(Decision::Admitted);
        if let Some(address) = address {
            self.admission.release_address(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_above_the_limit_are_rejected_then_dropped() {
        let admission = Admission::new(2, None);
        assert_eq!(admission.admit(), Decision::Admitted);
        assert_eq!(admission.admit(), Decision::Admitted);
        for _ in 0..REJECTED_AT_ONCE_MAX {
            assert_eq!(admission.admit(), Decision::Rejected);
        }
        assert_eq!(admission.admit(), Decision::Dropped);

        admission.release(Decision::Admitted);
        assert_eq!(admission.admit(), Decision::Admitted, "a connection was closed");
        admission.release(Decision::Rejected);
        assert_eq!(admission.admit(), Decision::Rejected);
    }

    #[test]
    fn addresses_have_their_own_limit() {
        let admission = Admission::new(9, Some(1));
        for (first, second, shared, why) in [
            ("10.0.0.1", "10.0.0.1", true, "the same address"),
            ("10.0.0.1", "10.0.0.2", false, "another address"),
            ("10.0.0.1", "::ffff:10.0.0.1", true, "the same address, mapped into IPv6"),
            ("2001:db8::1", "2001:db8::2", true, "the network of one client"),
            ("2001:db8::1", "2001:db8:0:1::1", false, "the network of another client"),
        ] {
            let admit = |address: &str| admission.admit_address(|| address.parse().ok());
            let held = admit(first).unwrap().unwrap();
            let other = admit(second);
            assert_eq!(other.is_err(), shared, "{why}");
            admission.release_address(held);
            other.ok().flatten().into_iter().for_each(|other| admission.release_address(other));
            let again = admit(first).expect(why).unwrap();
            admission.release_address(again);
        }
        let unlimited = Admission::new(9, None);
        assert_eq!(unlimited.admit_address(|| panic!("called without a limit")), Ok(None));
        let closed = Admission::new(9, Some(1)).admit_address(|| None);
        assert_eq!(closed, Ok(None), "the client closed before its address was read");
    }
}
