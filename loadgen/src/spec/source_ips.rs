//! Addresses that sockets come from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ground::values::ValueError;

/// With this many addresses there are more ports than a machine can hold sockets.
pub const SOURCE_IPS_MAX: u128 = 65_536;

/// Addresses of this machine, as `--source-ip` takes them; sockets use them in turn.
///
/// ```text
/// list = part *( "," part )        part = address | first "-" last | address "/" prefix
/// ```
///
/// In an IPv4 network of four addresses or more, the network address and the broadcast address are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SourceIps {
    text: String,
    v4: Arc<[IpAddr]>,
    v6: Arc<[IpAddr]>,
}

impl SourceIps {
    /// Whether the kernel chooses the source.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The IPv4 addresses, then the IPv6 addresses.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.iter().chain(self.v6.iter()).copied()
    }

    /// The source addresses of the peer's family.
    pub fn towards(&self, peer: &SocketAddr) -> &[IpAddr] {
        if peer.is_ipv4() { &self.v4 } else { &self.v6 }
    }
}

impl fmt::Display for SourceIps {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl FromStr for SourceIps {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = |allowed| ValueError::new(text, "list of source addresses", allowed);
        let written = "write addresses, ranges and networks, as in 10.0.0.5,127.0.0.2-127.0.0.17,fd00::/120";
        let mut addrs: Vec<IpAddr> = Vec::new();
        for part in text.split(',') {
            let (first, last) = ends(part.trim()).ok_or_else(|| error(written))?;
            let (from, to) = (number(first), number(last));
            if from > to {
                return Err(error("a range goes from its lower address to its higher one"));
            }
            if to - from >= SOURCE_IPS_MAX - (addrs.len() as u128).min(SOURCE_IPS_MAX) {
                return Err(error("there may be at most 65536 of them"));
            }
            addrs.extend((from..=to).map(|number| address(first, number)));
        }
        let (v4, v6): (Vec<_>, Vec<_>) = addrs.into_iter().partition(IpAddr::is_ipv4);
        Ok(Self { text: text.to_owned(), v4: v4.into(), v6: v6.into() })
    }
}

impl TryFrom<String> for SourceIps {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        if text.is_empty() { Ok(Self::default()) } else { text.parse() }
    }
}

impl From<SourceIps> for String {
    fn from(sources: SourceIps) -> Self {
        sources.text
    }
}

/// The first and the last address of a part of the list, both of one family.
fn ends(part: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some((first, last)) = part.split_once('-') {
        let (first, last): (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        return (first.is_ipv4() == last.is_ipv4()).then_some((first, last));
    }
    let Some((base, prefix)) = part.split_once('/') else {
        let alone = part.parse().ok()?;
        return Some((alone, alone));
    };
    let (base, prefix): (IpAddr, u32) = (base.parse().ok()?, prefix.parse().ok()?);
    let bits = if base.is_ipv4() { 32 } else { 128 };
    let free = u32::checked_sub(bits, prefix)?;
    let size = 1_u128.checked_shl(free).unwrap_or(0).wrapping_sub(1);
    let (first, last) = (number(base) & !size, number(base) | size);
    let names = u128::from(base.is_ipv4() && free >= 2);
    Some((address(base, first + names), address(base, last - names)))
}

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

/// The address of this number in the family of `like`.
fn address(like: IpAddr, number: u128) -> IpAddr {
    match like {
        // Numbers of this family have 32 bits.
        IpAddr::V4(_) => Ipv4Addr::from_bits(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_listed_as_people_write_them() {
        for (text, count, first, last, why) in [
            ("127.0.0.1", 1, "127.0.0.1", "127.0.0.1", "one"),
            ("127.0.0.2-127.0.0.17", 16, "127.0.0.2", "127.0.0.17", "a range"),
            ("10.0.0.9, 10.0.1.9", 2, "10.0.0.9", "10.0.1.9", "a list"),
            ("10.0.0.0/28", 14, "10.0.0.1", "10.0.0.14", "a network without its two names"),
            ("10.0.0.0/31", 2, "10.0.0.0", "10.0.0.1", "a link of two (RFC 3021)"),
            ("10.0.0.7/32", 1, "10.0.0.7", "10.0.0.7", "one"),
            ("::1", 1, "::1", "::1", "IPv6"),
            ("fd00::/120", 256, "fd00::", "fd00::ff", "it has no broadcast"),
            ("::1-::3,127.0.0.1", 4, "127.0.0.1", "::3", "both families, IPv4 first"),
            ("10.0.0.255-10.0.1.1", 3, "10.0.0.255", "10.0.1.1", "across a byte"),
        ] {
            let ips: SourceIps = text.parse().unwrap();
            let all: Vec<String> = ips.iter().map(|ip| ip.to_string()).collect();
            let ends = (all.len(), all[0].as_str(), all[all.len() - 1].as_str());
            assert_eq!(ends, (count, first, last), "{text}: {why}");
            assert_eq!(ips.to_string(), text);
        }
        for (text, part) in [
            ("", "write addresses"),
            ("localhost", "write addresses"),
            ("127.0.0.1-::1", "write addresses"),
            ("10.0.0.0/33", "write addresses"),
            ("10.0.0.9-10.0.0.1", "lower address"),
            ("10.0.0.0/8", "65536"),
            ("::/0", "65536"),
            ("10.0.0.0/16,10.1.0.0/16", "65536"),
        ] {
            let error = text.parse::<SourceIps>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_peer_is_reached_from_its_own_family() {
        let ips: SourceIps = "127.0.0.1,::1".parse().unwrap();
        for peer in ["127.0.0.1:80", "[::1]:80"] {
            let peer: SocketAddr = peer.parse().unwrap();
            assert_eq!(ips.towards(&peer), [peer.ip()]);
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[0-9a-f:./, -]{0,40}") {
            if let Ok(ips) = text.parse::<SourceIps>() {
                prop_assert!(!ips.is_empty() && ips.iter().count() as u128 <= SOURCE_IPS_MAX);
            }
        }
    }
}
