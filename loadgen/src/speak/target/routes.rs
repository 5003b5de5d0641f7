//! The pairs of source and destination addresses that sockets use in turn.

use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::speak::target::Target;
use crate::speak::target::error::TargetError;
use crate::spec::SourceIps;

impl Target {
    /// Binds sockets to these source addresses; drops target addresses whose family no source has. Without sources the
    /// kernel chooses.
    pub fn from_sources(mut self, sources: SourceIps) -> Result<Self, TargetError> {
        if sources.is_empty() {
            return Ok(self);
        }
        for ip in sources.iter() {
            // The kernel chooses a port, which is released at once.
            TcpListener::bind((ip, 0)).map_err(|error| {
                TargetError(format!("--source-ip {ip}: {error}; name addresses of this machine (ip addr)"))
            })?;
        }
        let first = self.addrs.first().copied();
        self.addrs.retain(|peer| !sources.towards(peer).is_empty());
        match first {
            Some(peer) if self.addrs.is_empty() => Err(TargetError(format!(
                "--source-ip {sources}: the target's address {peer} is of the other family, and cannot be reached from \
                 there"
            ))),
            _ => {
                self.sources = sources;
                Ok(self)
            }
        }
    }

    /// The destination and source of arrival `number`, round robin over all pairs. `None`: the target has no address.
    pub fn route(&self, number: u64) -> Option<(SocketAddr, Option<IpAddr>)> {
        let count = self.addrs.len() as u64;
        let to = *self.addrs.get(number.checked_rem(count)? as usize)?;
        let sources = self.sources.towards(&to);
        let turn = (number / count).checked_rem(sources.len() as u64);
        Some((to, turn.and_then(|turn| sources.get(turn as usize)).copied()))
    }

    /// Whether one of its addresses is this machine's: only such an address can be bound.
    pub fn is_on_this_machine(&self) -> bool {
        let ours = |peer: &SocketAddr| TcpListener::bind((peer.ip(), 0)).is_ok();
        self.addrs.iter().any(ours)
    }

    /// The number of pairs of source and destination.
    pub fn routes(&self) -> u64 {
        let from = |to| self.sources.towards(to).len().max(1) as u64;
        self.addrs.iter().map(from).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn target(addrs: &[&str]) -> Target {
        Target {
            addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(),
            host: String::new(),
            tls: None,
            sources: SourceIps::default(),
        }
    }

    #[test]
    fn every_pair_of_addresses_is_used_in_turn() {
        for (addrs, sources, routes, why) in [
            (&["127.0.0.1:1"][..], "", 1, "the kernel chooses"),
            (&["127.0.0.1:1", "127.0.0.2:1"], "", 2, "two destinations"),
            (&["127.0.0.1:1"], "127.0.0.1-127.0.0.5", 5, "five sources"),
            (&["127.0.0.1:1", "127.0.0.2:1"], "127.0.0.1-127.0.0.3", 6, "all pairs"),
            (&["127.0.0.1:1", "[::1]:1"], "127.0.0.1-127.0.0.3", 3, "one family alone"),
        ] {
            let sources = match sources {
                "" => SourceIps::default(),
                text => text.parse().unwrap(),
            };
            let target = target(addrs).from_sources(sources).unwrap();
            assert_eq!(target.routes(), routes, "{why}");
            let seen: BTreeSet<_> = (0..routes).map(|number| target.route(number)).collect();
            assert_eq!(seen.len() as u64, routes, "{why}: {seen:?}");
            assert_eq!(target.route(routes), target.route(0), "{why}: and again");
        }
        assert_eq!(target(&[]).route(7), None);
    }

    #[test]
    fn unusable_sources_are_named() {
        for (sources, part, why) in [
            ("192.0.2.1", "192.0.2.1", "a documentation address (RFC 5737)"),
            ("127.0.0.1,192.0.2.7", "192.0.2.7", "one of two"),
        ] {
            let error = target(&["127.0.0.1:1"]).from_sources(sources.parse().unwrap());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("ip addr"), "{why}: {error}");
        }
        let error = target(&["[::1]:1"]).from_sources("127.0.0.1".parse().unwrap());
        assert!(error.unwrap_err().to_string().contains("other family"));
    }
}
