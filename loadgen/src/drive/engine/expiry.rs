//! Whether the target closes sockets at the `exp` of their token, and how late.

use std::collections::HashMap;

use crate::ground::time::ShardInstant;

/// The sockets that the target is to close at their token's `exp`; held sockets themselves keep nothing of it.
#[derive(Debug)]
pub struct Expiry {
    grace_ns: u64,
    /// By arrival: when its token expires.
    expires: HashMap<u64, ShardInstant>,
}

impl Expiry {
    /// Sockets are to be closed within `grace_ns` of their token's `exp`. Clocks differ: a socket that is closed as much
    /// earlier was closed because of it.
    pub fn within(grace_ns: u64) -> Self {
        Self { grace_ns, expires: HashMap::new() }
    }

    /// The socket of arrival `number` is established with a token that expires then.
    pub fn insert(&mut self, number: u64, expires: ShardInstant) {
        self.expires.insert(number, expires);
    }

    /// From when on a socket that is still open is too late.
    pub fn too_late(&self, number: u64) -> ShardInstant {
        self.expires.get(&number).map_or(ShardInstant::NEVER, |expires| *expires + self.grace_ns)
    }

    /// The socket is closed by this side, or counted already.
    pub fn remove(&mut self, number: u64) {
        self.expires.remove(&number);
    }

    /// The target closed a socket: how long after its token's `exp`; `None` if it was not because of that.
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
