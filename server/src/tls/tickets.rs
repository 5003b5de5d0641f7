//! Session tickets (RFC 8446 section 4.6.1, RFC 5077). Each process of a gate accepts the tickets of all of them.
//!
//! ```text
//! secret(p + 1) = HMAC-SHA256(secret(p), "next")            p: the number of the period since 1970
//! key(p), name(p) = HMAC-SHA256(secret(p), "key" | "name")
//! ticket = name, 16 bytes; nonce, 12 bytes; AES-256-GCM(key, session; name)
//! ```
//!
//! Processes with the same secret derive the same later secrets, each by its own clock. A derivation cannot be
//! reversed: the memory of a server does not reveal the keys of tickets older than a period.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

/// How long one key encrypts new tickets. A ticket is accepted until the end of the next period.
const PERIOD_S: u64 = 6 * 60 * 60;

/// The most periods that are derived at once, ten years: a clock that jumps further is ignored.
const STEPS_MAX: u64 = 10 * 366 * 4;

const NAME_BYTES: usize = 16;

/// Longer than any ticket: without client certificates a session is two names, a cipher suite and a secret.
const TICKET_BYTES_MAX: usize = 1024;

/// Encrypts and decrypts tickets.
pub struct Tickets {
    keys: ArcSwap<Keys>,
    /// The wall clock: seconds since 1970. `ProducesTickets` gives no time.
    unix_s: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// The secret of one period, from which those of all later periods are derived.
#[derive(Clone, Serialize, Deserialize)]
pub struct Seed {
    period: u64,
    secret: [u8; 32],
}

/// The keys of the current and the previous period.
struct Keys {
    /// The seed of the previous period.
    seed: Seed,
    previous: Key,
    current: Key,
}

struct Key {
    name: [u8; NAME_BYTES],
    /// With random nonces, which allow 2^32 tickets for each key: 198,000 a second.
    aead: RandomizedNonceKey,
}

impl Seed {
    /// A random seed at `now_s` seconds since 1970.
    pub fn random(now_s: u64) -> Self {
        Self { period: (now_s / PERIOD_S).saturating_sub(1), secret: rand::random() }
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
    /// Tickets that all processes with the same seed accept. `unix_s` is the wall clock: seconds since 1970.
    ///
    /// # Errors
    /// If the crypto library refuses a key.
    pub fn new(seed: Seed, unix_s: impl Fn() -> u64 + Send + Sync + 'static) -> Result<Self, Unspecified> {
        Ok(Self { keys: ArcSwap::from_pointee(Keys::new(seed)?), unix_s: Box::new(unix_s) })
    }

    /// The time by the wall clock.
    pub(super) fn unix_time(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs((self.unix_s)()))
    }

    fn period_now(&self) -> u64 {
        (self.unix_s)() / PERIOD_S
    }

    /// The current seed, from which another process makes the same tickets.
    pub fn seed(&self) -> Seed {
        self.keys_at(self.period_now()).seed.clone()
    }

    /// The keys in `period`. If the clock was set back, the keys stay.
    fn keys_at(&self, period: u64) -> Arc<Keys> {
        let keys = self.keys.load_full();
        let steps = period.saturating_sub(keys.seed.period + 1);
        if !(1..=STEPS_MAX).contains(&steps) {
            return keys;
        }
        let seed = (0..steps).fold(keys.seed.clone(), |seed, _| seed.next());
        match Keys::new(seed) {
            Ok(renewed) => {
                let renewed = Arc::new(renewed);
                // Another thread may have stored the same keys.
                self.keys.store(Arc::clone(&renewed));
                renewed
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
        self.seal(self.period_now(), session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(self.period_now(), ticket)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets() -> Tickets {
        Tickets::new(Seed { period: 99, secret: [7; 32] }, || 100 * PERIOD_S).unwrap()
    }

    #[test]
    fn a_ticket_is_accepted_for_one_more_period_by_every_process_with_the_seed() {
        for (sealed_in, opened_in, is_accepted, why) in [
            (100, 100, true, "at once"),
            (100, 101, true, "in the next period"),
            (100, 102, false, "its key was removed"),
            (105, 105, true, "after several derivations"),
            (105, 100, true, "the clock was set back"),
            (100 + STEPS_MAX, 100 + STEPS_MAX, true, "years later"),
            (u64::MAX, 100, true, "a clock that is far off is ignored"),
        ] {
            let one = tickets();
            let other = tickets();
            let ticket = one.seal(sealed_in, b"a session").unwrap();
            let opened = one.open(opened_in, &ticket);
            assert_eq!(opened.is_some(), is_accepted, "{why}");
            // A process in the same period or a later one.
            if let Some(session) = other.open(opened_in.max(sealed_in), &ticket) {
                assert_eq!(session, b"a session", "{why}");
            } else {
                assert!(!is_accepted, "{why}: another process");
            }
        }
    }

    #[test]
    fn a_seed_from_a_running_process_gives_the_same_tickets() {
        let parent = tickets();
        let before = parent.seal(100, b"early").unwrap();
        let renewed = parent.keys_at(101).seed.clone();
        let child = Tickets::new(renewed, || 101 * PERIOD_S).unwrap();
        assert_eq!(child.open(101, &before).as_deref(), Some(&b"early"[..]));
        let own = child.seal(101, b"own").unwrap();
        assert_eq!(parent.open(101, &own).as_deref(), Some(&b"own"[..]));
        let text = serde_json::to_string(&child.seed()).unwrap();
        let read: Seed = serde_json::from_str(&text).unwrap();
        assert_eq!(read.secret, child.seed().secret, "as sent over the control socket");
        assert_eq!(format!("{read:?}"), "Seed(..)", "never printed");
    }

    #[test]
    fn invalid_tickets_are_refused() {
        let tickets = tickets();
        let good = tickets.seal(100, b"a session").unwrap();
        let other = Tickets::new(Seed::random(100 * PERIOD_S), || 100 * PERIOD_S).unwrap();
        assert!(other.open(100, &good).is_none(), "the ticket of another server");
        assert!(tickets.open(100, b"").is_none(), "an empty ticket");
        for place in 0..good.len() {
            let mut changed = good.clone();
            changed[place] ^= 1;
            assert!(tickets.open(100, &changed).is_none(), "byte {place} changed");
            assert!(tickets.open(100, &good[..place]).is_none(), "cut to {place}");
        }
        let twice = tickets.seal(100, b"a session").unwrap();
        assert_ne!(good, twice, "each ticket has its own nonce");
        let long = vec![0; TICKET_BYTES_MAX];
        assert!(tickets.seal(100, &long).is_none(), "a session that is too long");
    }
}
