//! The state that the sessions of a shard share: settings, users, verifier, counters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{Rng, rngs::StdRng};
use wire::engineio::{Open, Packet, PreparedOpen, Version};

use crate::metrics::{ShardMetrics, TIMED_EVERY};
use crate::session::expiry::{AuthenticatedUser, OnExpiry, Until};
use crate::session::settings::{Auth, Settings};
use crate::session::users::Users;
use crate::verify::{Refusal, Verifier};

/// The state that all sessions of one shard share.
pub struct Host {
    /// The settings of sessions.
    pub settings: Arc<Settings>,
    /// The users of the sessions.
    pub users: Users,
    /// The shard's counters.
    pub metrics: Arc<ShardMetrics>,
    verifier: Verifier,
    /// The number of verified tokens, valid or not.
    verdicts: u64,
    /// Nanoseconds since 1970, read once per batch of events: exact enough for `exp` and `nbf`.
    pub unix_ns: u64,
    /// The cryptographic generator of session ids.
    pub(super) random: StdRng,
    /// Engine.IO's open packets by version (3, 4), then by transport (WebSocket, polling).
    open_packets: [[PreparedOpen; 2]; 2],
    /// A buffer for a packet, whose length the frame before it needs.
    pub(super) scratch: Vec<u8>,
    /// A buffer for the JSON of an answer, or for a session's id.
    pub(super) data: String,
}

const NS_PER_S: u64 = 1_000_000_000;

/// The random part of a session id: 20 characters of base64url, as many as Engine.IO's own.
const SID_RANDOM_BYTES: usize = 15;

impl Host {
    /// The host of one shard's sessions.
    pub fn new(settings: Arc<Settings>, verifier: Verifier, metrics: Arc<ShardMetrics>, random: StdRng) -> Self {
        let open_packets = [Version::V3, Version::V4]
            .map(|version| [false, true].map(|polls| prepare_open_packet(&settings, version, polls)));
        Self {
            settings,
            users: Users::default(),
            metrics,
            verifier,
            verdicts: 0,
            unix_ns: 0,
            random,
            open_packets,
            scratch: Vec::new(),
            data: String::new(),
        }
    }

    /// Verifies a token and attaches its user, to be released when the session ends.
    pub fn admit(&mut self, token: &[u8]) -> Result<AuthenticatedUser, Refusal> {
        if self.settings.auth == Auth::None {
            return Ok(AuthenticatedUser::ANONYMOUS);
        }
        let started = self.times_next_verdict().then(Instant::now);
        self.verdicts += 1;
        let verdict = self.verifier.verify(token, self.unix_ns / NS_PER_S);
        if let Some(started) = started {
            self.metrics.verify_time.observe(started.elapsed());
        }
        let verdict = verdict.map(|verified| (self.users.attach(verified.user), verified.expires_at_s));
        self.metrics.token_cache(self.verifier.cache_counts());
        let (user, expires_at_s) = verdict?;
        let expires_at_s = expires_at_s.filter(|_| self.settings.on_expiry == OnExpiry::Close);
        let leeway_s = self.verifier.leeway_s();
        Ok(AuthenticatedUser { user, until: Until::new(expires_at_s.map(|exp_s| exp_s.saturating_add(leeway_s))) })
    }

    /// The verdict on a session whose lookup returned this name, `None` for an unknown session. Attaches the user.
    pub fn admit_session_owner(&mut self, name: Option<&str>) -> Result<AuthenticatedUser, Refusal> {
        let name = name.ok_or(Refusal::UnknownSession)?;
        Ok(AuthenticatedUser { user: self.users.attach(Some(name)), until: Until::NEVER })
    }

    /// The number of verified tokens.
    pub fn verdicts(&self) -> u64 {
        self.verdicts
    }

    /// Whether the next verdict is timed.
    pub fn times_next_verdict(&self) -> bool {
        self.verdicts.is_multiple_of(TIMED_EVERY)
    }

    /// The verdict on a client without credentials.
    pub fn verdict_without_credentials(&self) -> Result<AuthenticatedUser, Refusal> {
        match self.settings.auth {
            Auth::Token | Auth::Session => Err(Refusal::Missing),
            Auth::None => Ok(AuthenticatedUser::ANONYMOUS),
        }
    }

    /// The instant `until` on the shard's clock, which shows `now_ns` now; [`u64::MAX`] for never.
    pub(super) fn instant_ns(&self, until: Until, now_ns: u64) -> u64 {
        let Some(until_s) = until.unix_s() else {
            return u64::MAX;
        };
        let left_ns = until_s.saturating_mul(NS_PER_S).saturating_sub(self.unix_ns);
        now_ns.saturating_add(left_ns)
    }

    /// Engine.IO's open packet: with the id in `polls` for a polling session, with a new id for a session over a WebSocket.
    pub(super) fn open_packet(&mut self, version: Version, polls: Option<&str>) -> &[u8] {
        let of_version = &self.open_packets[usize::from(version == Version::V4)];
        let open_packet = &of_version[usize::from(polls.is_some())];
        let sid = polls.unwrap_or_else(|| {
            self.data.clear();
            push_sid(&mut self.random, &mut self.data);
            &self.data
        });
        self.scratch.clear();
        Packet::Open("").encode(&mut self.scratch);
        open_packet.encode(sid, &mut self.scratch);
        &self.scratch
    }
}

/// An open packet without the session's id. Only polling sessions can be upgraded.
fn prepare_open_packet(settings: &Settings, version: Version, polls: bool) -> PreparedOpen {
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    PreparedOpen::new(&Open {
        sid: String::new(),
        upgrades: polls.then(|| "websocket".to_owned()).into_iter().collect(),
        ping_interval_ms: millis(settings.ping_interval),
        ping_timeout_ms: millis(settings.ping_timeout),
        max_payload_bytes: (version == Version::V4).then(|| settings.message_bytes_max.into()),
    })
}

/// Appends a session id that cannot be guessed.
pub(super) fn push_sid(random: &mut StdRng, sid: &mut String) {
    let mut bytes = [0; SID_RANDOM_BYTES];
    random.fill_bytes(&mut bytes);
    base64_simd::URL_SAFE_NO_PAD.encode_append(bytes, sid);
}
