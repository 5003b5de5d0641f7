//! Connection limits: over all shards of the process, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use reactor::SocketId;

use crate::metrics::Limit;

/// Connections above the limit that are answered at the same time. Each holds a descriptor until its peer has read the
/// answer, a second at most; further ones are dropped without an answer.
pub const REJECTED_AT_ONCE_MAX: usize = 1024;

/// The places of a gate, taken and given back by its shards.
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

/// What to do with a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has a place; [`Admission::leave`] gives it back.
    Admitted,
    /// There is none; answer the peer, then give this back likewise.
    Rejected,
    /// Too many are being answered already: drop it. Nothing is to be given back.
    Dropped,
}

/// As many connections as allowed are open from a client's address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many connections as allowed are open from the client's address")]
pub struct AddressFull;

/// A connection has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace {
    /// [`Place::Rejected`] or [`Place::Dropped`].
    pub place: Place,
    /// The limit that was reached.
    pub limit: Limit,
}

impl Admission {
    /// A gate with `connections_max` places, none of them taken, and `per_address_max` for one address if there is a
    /// limit. Without one no address is looked at.
    pub fn new(connections_max: usize, per_address_max: Option<u32>) -> Self {
        let addresses = per_address_max.map(|each_max| Addresses { each_max, open: Mutex::default() });
        Self { addresses, connections_max, open: AtomicUsize::new(0), rejected: AtomicUsize::new(0) }
    }

    /// Takes a place for a new connection.
    pub fn enter(&self) -> Place {
        if take(&self.open, self.connections_max) {
            Place::Admitted
        } else if take(&self.rejected, REJECTED_AT_ONCE_MAX) {
            Place::Rejected
        } else {
            Place::Dropped
        }
    }

    /// Takes a place of `address`, a client's, if there is a limit and one is left. The answer is to be given back by
    /// [`Admission::leave_address`]; `Err`: none is left. Addresses of IPv6 count by their first 64 bits, which are one
    /// client's (RFC 6177).
    pub fn enter_address(&self, address: impl FnOnce() -> Option<IpAddr>) -> Result<Option<IpAddr>, AddressFull> {
        let Some(addresses) = &self.addresses else {
            return Ok(None);
        };
        let Some(address) = address() else {
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

    /// Takes a place for a connection, and one of its `address`, which is read only where addresses are limited. The
    /// address comes back for [`Admission::leave_address`]. A client that is gone already has no address, and takes none of
    /// its places.
    pub fn enter_from(&self, address: impl FnOnce() -> Option<IpAddr>) -> Result<Option<IpAddr>, NoPlace> {
        match self.enter() {
            Place::Admitted => match self.enter_address(address) {
                Ok(address) => Ok(address),
                Err(AddressFull) => Err(NoPlace { place: self.reject(), limit: Limit::Address }),
            },
            place => Err(NoPlace { place, limit: Limit::Connections }),
        }
    }

    /// Gives an address's place back.
    pub fn leave_address(&self, address: IpAddr) {
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

    /// Rejects a connection that has a place, for another reason.
    pub fn reject(&self) -> Place {
        self.leave(Place::Admitted);
        if take(&self.rejected, REJECTED_AT_ONCE_MAX) { Place::Rejected } else { Place::Dropped }
    }

    /// Gives a place back.
    pub fn leave(&self, place: Place) {
        match place {
            Place::Admitted => self.open.fetch_sub(1, Relaxed),
            Place::Rejected => self.rejected.fetch_sub(1, Relaxed),
            Place::Dropped => 0,
        };
    }
}

/// Takes one of `max`, if one is left. Two shards may both step back from the last one: never one too many.
fn take(taken: &AtomicUsize, max: usize) -> bool {
    if taken.fetch_add(1, Relaxed) < max {
        return true;
    }
    taken.fetch_sub(1, Relaxed);
    false
}

/// The places of one shard's connections.
#[derive(Debug)]
pub(super) struct ShardPlaces {
    admission: Arc<Admission>,
    /// The clients' addresses by connection, where addresses are limited.
    addresses: HashMap<u64, IpAddr>,
}

impl ShardPlaces {
    /// No places taken yet.
    pub(super) fn new(admission: Arc<Admission>) -> Self {
        Self { admission, addresses: HashMap::new() }
    }

    /// The places of all shards.
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Takes the places of the new connection `id`.
    pub(super) fn enter(&mut self, id: SocketId, peer: impl FnOnce() -> Option<IpAddr>) -> Result<(), NoPlace> {
        let address = self.admission.enter_from(peer)?;
        self.set_address(id, address);
        Ok(())
    }

    /// Gives the places of a connection back that is closed.
    pub(super) fn leave(&mut self, id: SocketId, place: Place) {
        // A hash costs time even where nothing is to be found.
        if !self.addresses.is_empty()
            && let Some(address) = self.addresses.remove(&id.to_bits())
        {
            self.admission.leave_address(address);
        }
        self.admission.leave(place);
    }

    /// Notes the address that `id` has a place of.
    pub(super) fn set_address(&mut self, id: SocketId, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.addresses.insert(id.to_bits(), address);
        }
    }

    /// The address that `id` has a place of.
    pub(super) fn address(&self, id: SocketId) -> Option<IpAddr> {
        self.addresses.get(&id.to_bits()).copied()
    }

    /// The same, which goes with a connection to another shard.
    pub(super) fn take_address(&mut self, id: SocketId) -> Option<IpAddr> {
        self.addresses.remove(&id.to_bits())
    }

    /// Gives the places of a connection back that is no socket of this shard.
    pub(super) fn give_back(&self, address: Option<IpAddr>) {
        self.admission.leave(Place::Admitted);
        if let Some(address) = address {
            self.admission.leave_address(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let admission = Admission::new(2, None);
        assert_eq!(admission.enter(), Place::Admitted);
        assert_eq!(admission.enter(), Place::Admitted);
        for _ in 0..REJECTED_AT_ONCE_MAX {
            assert_eq!(admission.enter(), Place::Rejected);
        }
        assert_eq!(admission.enter(), Place::Dropped);

        admission.leave(Place::Admitted);
        assert_eq!(admission.enter(), Place::Admitted, "a place was given back");
        admission.leave(Place::Rejected);
        assert_eq!(admission.enter(), Place::Rejected);
    }

    #[test]
    fn addresses_have_their_own_limit() {
        let admission = Admission::new(9, Some(1));
        for (first, second, shared, why) in [
            ("10.0.0.1", "10.0.0.1", true, "the same"),
            ("10.0.0.1", "10.0.0.2", false, "another"),
            ("10.0.0.1", "::ffff:10.0.0.1", true, "the same within IPv6"),
            ("2001:db8::1", "2001:db8::2", true, "one client's network"),
            ("2001:db8::1", "2001:db8:0:1::1", false, "another's"),
        ] {
            let enter = |address: &str| admission.enter_address(|| address.parse().ok());
            let held = enter(first).unwrap().unwrap();
            let other = enter(second);
            assert_eq!(other.is_err(), shared, "{why}");
            admission.leave_address(held);
            other.ok().flatten().into_iter().for_each(|other| admission.leave_address(other));
            let again = enter(first).expect(why).unwrap();
            admission.leave_address(again);
        }
        let unlimited = Admission::new(9, None);
        let unasked = unlimited.enter_address(|| panic!("no limit, no account"));
        assert_eq!(unasked, Ok(None));
        let gone = Admission::new(9, Some(1)).enter_address(|| None);
        assert_eq!(gone, Ok(None), "gone before it was asked for");
    }
}
