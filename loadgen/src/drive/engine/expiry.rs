//! Whether the target closes sockets at the `exp` of their token, and how late.

use std::collections::HashMap;

use crate::ground::time::ShardInstant;

/// The sockets that the target must close at their token's `exp`.
#[derive(Debug)]
pub struct Expiry {
    grace_ns: u64,
    /// When the token of an arrival expires, by the arrival's number.
    expires: HashMap<u64, ShardInstant>,
}

impl Expiry {
    /// The target must close a socket within `grace_ns` of its token's `exp`. Clocks differ, so a socket closed at most
    /// `grace_ns` before `exp` counts as closed at `exp`.
    pub fn within(grace_ns: u64) -> Self {
        Self { grace_ns, expires: HashMap::new() }
    }

    /// Watches the socket of arrival `number`, whose token expires at `expires`.
    pub fn insert(&mut self, number: u64, expires: ShardInstant) {
        self.expires.insert(number, expires);
    }

    /// The instant after which the socket of arrival `number` must not be open.
    pub fn too_late(&self, number: u64) -> ShardInstant {
        self.expires.get(&number).map_or(ShardInstant::NEVER, |expires| *expires + self.grace_ns)
    }

    /// Stops watching a socket that this side closes or that was counted.
    pub fn remove(&mut self, number: u64) {
        self.expires.remove(&number);
    }

    /// How long after its token's `exp` the target closed a socket; `None` if it closed it for another reason.
    pub fn closed_by_target(&mut self, number: u64, now: ShardInstant) -> Option<u64> {
        let expires = self.expires.remove(&number)?;
        (now + self.grace_ns >= expires).then(|| now - expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_within_the_grace_counts_as_expiry() {
        let at = ShardInstant::from_ns;
        for (closed_ns, lateness_ns, why) in [
            (89, None, "long before"),
            (90, Some(0), "clocks differ"),
            (100, Some(0), "exactly"),
            (107, Some(7), "late"),
        ] {
            let mut expiry = Expiry::within(10);
            expiry.insert(1, at(100));
            assert_eq!(expiry.too_late(1), at(110));
            assert_eq!(expiry.closed_by_target(1, at(closed_ns)), lateness_ns, "{why}");
            assert_eq!(expiry.closed_by_target(1, at(closed_ns)), None, "once");
            assert_eq!(expiry.too_late(1), ShardInstant::NEVER);
        }
    }
}
