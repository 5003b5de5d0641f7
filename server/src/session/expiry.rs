//! The end of a session at its token's `exp`, with `--on-expiry close`.

use crate::session::users::UserId;

/// What happens to a socket when its token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnExpiry {
    /// The socket is closed.
    Close,
    /// The socket stays open: `exp` counts for the handshake alone.
    Keep,
}

/// The user of an authenticated client, and when its session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthenticatedUser {
    /// The session's user.
    pub user: UserId,
    /// When the session expires.
    pub until: Until,
}

/// The second at which a session expires, in four bytes, because every parked socket has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until(u32);

impl AuthenticatedUser {
    /// A user without a name, whose session does not expire.
    pub const ANONYMOUS: Self = Self { user: UserId::ANONYMOUS, until: Until::NEVER };
}

impl Until {
    /// The session does not expire.
    pub const NEVER: Self = Self(u32::MAX);

    /// From seconds since 1970. Times after the year 2106 count as never.
    pub fn new(unix_s: Option<u64>) -> Self {
        let unix_s = unix_s.and_then(|unix_s| u32::try_from(unix_s).ok());
        unix_s.map_or(Self::NEVER, Self)
    }

    /// In seconds since 1970; `None` for never.
    pub fn unix_s(self) -> Option<u64> {
        (self != Self::NEVER).then_some(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_fits_four_bytes_until_the_year_2106() {
        for (unix_s, kept, why) in [
            (Some(0), Some(0), "1970"),
            (Some(1_700_000_000), Some(1_700_000_000), "2023"),
            (Some(u64::from(u32::MAX) - 1), Some(4_294_967_294), "2106"),
            (Some(u32::MAX.into()), None, "never"),
            (Some(u64::MAX), None, "never"),
            (None, None, "a token without exp"),
        ] {
            assert_eq!(Until::new(unix_s).unix_s(), kept, "{why}");
        }
        assert_eq!(size_of::<AuthenticatedUser>(), 8, "a parked socket must stay small");
    }
}
