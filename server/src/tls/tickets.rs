//! Session tickets (RFC 8446 section 4.6.1, RFC 5077) that every process of a gate makes and accepts.
//!
//! ```text
//! secret(p + 1) = HMAC-SHA256(secret(p), "next")            p: the number of the period since 1970
//! key(p), name(p) = HMAC-SHA256(secret(p), "key" | "name")
//! ticket = name, 16 bytes; nonce, 12 bytes; AES-256-GCM(key, session; name)
//! ```
//!
//! Processes with the same secret derive the same later secrets, each by its own clock. A derivation cannot be reversed: the
//! memory of a server reveals nothing about tickets that are older than a period.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    hmac,
};
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

/// How long one key makes tickets. A ticket is accepted for at least one more period.
const PERIOD_S: u64 = 6 * 60 * 60;

/// The most steps at once, ten years of periods: a clock that jumps further is ignored.
const STEPS_MAX: u64 = 10 * 366 * 4;

const NAME_BYTES: usize = 16;

/// Longer than any session: without certificates of clients it is two names, a suite and a secret.
const TICKET_BYTES_MAX: usize = 1024;

/// Makes and opens tickets.
pub struct Tickets {
    keys: ArcSwap<Keys>,
}

/// The secret of one period, from which those of all later periods are derived.
#[derive(Clone, Serialize, Deserialize)]
pub struct Seed {
    period: u64,
    secret: [u8; 32],
}

/// The keys in use.
struct Keys {
    /// The seed of the period before the current one.
    seed: Seed,
    previous: Key,
    current: Key,
}

struct Key {
    name: [u8; NAME_BYTES],
    /// Its nonces are random, which allows 2^32 tickets a key: 198,000 a second.
    aead: RandomizedNonceKey,
}

impl Seed {
    /// A new random seed.
    pub fn random() -> Self {
        Self { period: period_now().saturating_sub(1), secret: rand::random() }
    }

    fn derive(&self, label: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let tag = hmac::sign(&key, label.as_bytes());
        let mut derived = [0; 32];
        derived.copy_from_slice(tag.as_ref());
        derived
    }

    fn next(&self) -> Self {
        Self { period: self.period + 1, secret: self.derive("next") }
    }

    fn key(&self) -> Result<Key, Unspecified> {
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&self.derive("name")[..NAME_BYTES]);
        Ok(Key { name, aead: RandomizedNonceKey::new(&AES_256_GCM, &self.derive("key"))? })
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl Keys {
    fn new(seed: Seed) -> Result<Self, Unspecified> {
        Ok(Self { previous: seed.key()?, current: seed.next().key()?, seed })
    }
}

impl Tickets {
    /// Tickets equal to those of all processes with the same seed.
    ///
    /// # Errors
    /// When the crypto library refuses a key.
    pub fn new(seed: Seed) -> Result<Self, Unspecified> {
        Ok(Self { keys: ArcSwap::from_pointee(Keys::new(seed)?) })
    }

    /// The current seed, from which another process makes the same tickets.
    pub fn seed(&self) -> Seed {
        self.keys_at(period_now()).seed.clone()
    }

    /// The keys of a period. A clock that is set back changes nothing.
    fn keys_at(&self, period: u64) -> Arc<Keys> {
        let keys = self.keys.load_full();
        let steps = period.saturating_sub(keys.seed.period + 1);
        if !(1..=STEPS_MAX).contains(&steps) {
            return keys;
        }
        let seed = (0..steps).fold(keys.seed.clone(), |seed, _| seed.next());
        match Keys::new(seed) {
            Ok(stepped) => {
                let stepped = Arc::new(stepped);
                // Another thread may have stored the same keys.
                self.keys.store(Arc::clone(&stepped));
                stepped
            }
            Err(Unspecified) => keys,
        }
    }

    fn seal(&self, period: u64, session: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys_at(period);
        let Key { name, aead } = &keys.current;
        let mut sealed = session.to_vec();
        let nonce = aead.seal_in_place_append_tag(Aad::from(name), &mut sealed);
        let ticket = [&name[..], nonce.ok()?.as_ref(), &sealed].concat();
        (ticket.len() <= TICKET_BYTES_MAX).then_some(ticket)
    }

    fn open(&self, period: u64, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        if ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let keys = self.keys_at(period);
        // A key name is not secret.
        let key = [&keys.current, &keys.previous].into_iter().find(|key| key.name == *name)?;
        let mut session = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.aead.open_in_place(nonce, Aad::from(name), &mut session);
        let session_bytes = opened.ok()?.len();
        session.truncate(session_bytes);
        Some(session)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD_S as u32
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.seal(period_now(), session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(period_now(), ticket)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(..)")
    }
}

fn period_now() -> u64 {
    // A clock before 1970 counts as period 0.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |since| since.as_secs() / PERIOD_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets() -> Tickets {
        Tickets::new(Seed { period: 99, secret: [7; 32] }).unwrap()
    }

    #[test]
    fn a_ticket_is_accepted_for_one_more_period_by_every_process_with_the_seed() {
        for (made_in, taken_in, is_taken, why) in [
            (100, 100, true, "at once"),
            (100, 101, true, "in the next period"),
            (100, 102, false, "its key is gone"),
            (105, 105, true, "after steps"),
            (105, 100, true, "a clock that goes back"),
            (100 + STEPS_MAX, 100 + STEPS_MAX, true, "years later"),
            (u64::MAX, 100, true, "a clock that is off by ages is not followed"),
        ] {
            let one = tickets();
            let other = tickets();
            let ticket = one.seal(made_in, b"a session").unwrap();
            let opened = one.open(taken_in, &ticket);
            assert_eq!(opened.is_some(), is_taken, "{why}");
            // A process in the same period or a later one.
            if let Some(session) = other.open(taken_in.max(made_in), &ticket) {
                assert_eq!(session, b"a session", "{why}");
            } else {
                assert!(!is_taken, "{why}: another process");
            }
        }
    }

    #[test]
    fn a_seed_passed_on_later_makes_the_same_tickets() {
        let parent = tickets();
        let before = parent.seal(100, b"early").unwrap();
        let stepped = parent.keys_at(101).seed.clone();
        let child = Tickets::new(stepped).unwrap();
        assert_eq!(child.open(101, &before).as_deref(), Some(&b"early"[..]));
        let own = child.seal(101, b"own").unwrap();
        assert_eq!(parent.open(101, &own).as_deref(), Some(&b"own"[..]));
        let text = serde_json::to_string(&child.seed()).unwrap();
        let read: Seed = serde_json::from_str(&text).unwrap();
        assert_eq!(read.secret, child.seed().secret, "over the control socket");
        assert_eq!(format!("{read:?}"), "Seed(..)", "never printed");
    }

    #[test]
    fn other_tickets_are_ignored() {
        let tickets = tickets();
        let good = tickets.seal(100, b"a session").unwrap();
        let other = Tickets::new(Seed::random()).unwrap();
        assert!(other.open(100, &good).is_none(), "another server's");
        assert!(tickets.open(100, b"").is_none(), "nothing");
        for place in 0..good.len() {
            let mut changed = good.clone();
            changed[place] ^= 1;
            assert!(tickets.open(100, &changed).is_none(), "byte {place} changed");
            assert!(tickets.open(100, &good[..place]).is_none(), "cut to {place}");
        }
        let twice = tickets.seal(100, b"a session").unwrap();
        assert_ne!(good, twice, "a nonce of its own");
        let long = vec![0; TICKET_BYTES_MAX];
        assert!(tickets.seal(100, &long).is_none(), "too long a session");
    }
}
