//! Users' tokens that are renewed during the run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ground::time::UnixInstant;
use crate::ground::values::Token;
use crate::tokens::expiry::expires_at;

/// A token for each user, shared by all shards and the tasks that make new ones.
#[derive(Clone, Debug)]
pub struct Kept {
    users: Arc<[UserToken]>,
    /// A token with less remaining lifetime is renewed first; `None`: tokens are used until they are refused.
    ahead_ns: Option<u64>,
}

#[derive(Debug)]
struct UserToken {
    token: Mutex<Token>,
    /// Locked while a token is renewed, so that one request serves all waiting arrivals.
    renewing: tokio::sync::Mutex<()>,
}

impl Kept {
    /// These tokens, one for each user, at least one.
    pub(super) fn new(tokens: Vec<Token>, ahead: Option<Duration>) -> Self {
        let user = |token| UserToken { token: Mutex::new(token), renewing: tokio::sync::Mutex::new(()) };
        Self { users: tokens.into_iter().map(user).collect(), ahead_ns: ahead.map(|ahead| ahead.as_nanos() as u64) }
    }

    /// Every user's token, as it is now.
    pub fn tokens(&self) -> Vec<Token> {
        (0..self.users.len() as u64).map(|number| self.token(number)).collect()
    }

    /// Replaces the token of an arrival's user.
    pub(super) fn put(&self, number: u64, token: Token) {
        let held = self.user(number).token.lock();
        *held.unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// The token of an arrival's user, unless it is about to expire.
    pub fn unexpired(&self, number: u64, now: UnixInstant) -> Option<Token> {
        let token = self.token(number);
        let enough = match (self.ahead_ns, expires_at(&token)) {
            (Some(ahead_ns), Some(expires)) => expires > now + ahead_ns,
            _ => true,
        };
        enough.then_some(token)
    }

    /// Renews the token of an arrival's user: the token that another arrival has just renewed, or `make`'s. The flag is
    /// true where `make` was called. `now` is read after a renewal by another arrival has ended.
    pub(super) async fn renew<E>(
        &self,
        number: u64,
        refused: Option<&Token>,
        now: impl FnOnce() -> UnixInstant,
        make: impl Future<Output = Result<Token, E>>,
    ) -> (Result<Token, E>, bool) {
        let user = self.user(number);
        let _renewing = user.renewing.lock().await;
        let renewed = match refused {
            Some(refused) => Some(self.token(number)).filter(|token| token != refused),
            None => self.unexpired(number, now()),
        };
        if let Some(token) = renewed {
            return (Ok(token), false);
        }
        let made = make.await;
        if let Ok(token) = &made {
            self.put(number, token.clone());
        }
        (made, true)
    }

    fn token(&self, number: u64) -> Token {
        let held = self.user(number).token.lock();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn user(&self, number: u64) -> &UserToken {
        &self.users[(number % self.users.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, exp_s: u64) -> Token {
        let payload = format!(r#"{{"exp":{exp_s}}}"#);
        let payload = base64_simd::URL_SAFE_NO_PAD.encode_to_string(payload);
        format!("{name}.{payload}.c").into()
    }

    #[tokio::test]
    async fn one_renewal_serves_all_waiting_arrivals() {
        let (old, new) = (token("old", 5), token("new", u32::MAX.into()));
        let kept = Kept::new(vec![old.clone()], Some(Duration::from_secs(2)));
        assert_eq!(kept.unexpired(7, UnixInstant::from_ns(2_999_999_999)), Some(old.clone()), "enough left");
        assert_eq!(kept.unexpired(7, UnixInstant::from_ns(3_000_000_000)), None, "two seconds are left");
        let now = || UnixInstant::from_ns(3_000_000_000);
        let make = || async { Ok::<_, ()>(new.clone()) };
        assert_eq!(kept.renew(0, None, now, make()).await, (Ok(new.clone()), true));
        assert_eq!(kept.renew(1, None, now, make()).await, (Ok(new.clone()), false));
        let refused = kept.renew(0, Some(&old), now, make()).await;
        assert_eq!(refused, (Ok(new.clone()), false), "refused was the one before");
        let lost = kept.renew(0, Some(&new), now, async { Err(()) }).await;
        assert_eq!(lost, (Err(()), true), "the renewal failed");
        assert_eq!(kept.unexpired(0, UnixInstant::default()), Some(new), "the last one stays");
    }
}
