//! Local addresses, used in turn: one address has about 28,000 ports for one server.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// The addresses; without any the kernel chooses.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    addresses: Vec<IpAddr>,
    next: usize,
}

/// Addresses of one range; each has 28,000 ports.
const RANGE_MAX: u32 = 65_536;

impl Sources {
    /// The next in turn.
    pub fn next(&mut self) -> Option<IpAddr> {
        let address = self.addresses.get(self.next)?;
        self.next = (self.next + 1) % self.addresses.len();
        Some(*address)
    }
}

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut addresses = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('-') {
                None => addresses.push(parse::<IpAddr>(part)?),
                Some((first, last)) => {
                    let first = parse::<Ipv4Addr>(first)?.to_bits();
                    let last = parse::<Ipv4Addr>(last)?.to_bits();
                    if last < first || last - first >= RANGE_MAX {
                        return Err(format!("{part}: a range must go upwards and have at most {RANGE_MAX} addresses"));
                    }
                    addresses.extend((first..=last).map(|it| IpAddr::V4(Ipv4Addr::from_bits(it))));
                }
            }
        }
        Ok(Self { addresses, next: 0 })
    }
}

fn parse<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not an address of this kind"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_used_in_turn() {
        for (text, taken, why) in [
            ("", "", "the kernel chooses"),
            ("127.0.0.2", "127.0.0.2 127.0.0.2", "one again and again"),
            ("::1,127.0.0.9-127.0.0.10", "::1 127.0.0.9 127.0.0.10 ::1", "a list"),
            ("127.0.0.255-127.0.1.0", "127.0.0.255 127.0.1.0", "a range"),
        ] {
            let mut sources: Sources = text.parse().unwrap();
            for address in taken.split_whitespace() {
                assert_eq!(sources.next(), address.parse().ok(), "{why}");
            }
            assert_eq!(sources.next().is_none(), taken.is_empty(), "{why}");
        }
        for bad in ["127.0.0", "127.0.0.2-127.0.0.1", "::1-::2", "127.0.0.0-128.0.0.0"] {
            assert!(bad.parse::<Sources>().is_err(), "{bad}");
        }
    }
}
