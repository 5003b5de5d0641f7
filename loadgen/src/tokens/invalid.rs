//! Tokens that a target should refuse: each a real one with one fault, made before T0.
//!
//! All but the expired are in force, so that a target which overlooks the fault has no other reason to refuse. Those
//! whose signature must be right need the target's key; those that an attacker could make need none.

mod jwt;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::ground::outcome::TokenKind;
use crate::ground::values::{InputError, Token};
use crate::plan::mix::Mix;
use crate::spec::{NO_PUBLIC_KEY, NO_SIGNING_KEY, TargetKey};

use jwt::{Jwt, OtherKey};

/// Users whose tokens are made invalid; further arrivals show them again. Enough for targets that keep tokens to see many.
pub const INVALID_USERS_MAX: usize = 100;

/// How long ago an expired token ended: far beyond the leeway of any target, for which 60 s are common.
const EXPIRED_S_AGO: u64 = 3600;

/// How far ahead a token begins that is not yet valid, and how long the other invalid ones stay in force: no run lasts a day.
const AHEAD_S: u64 = 2 * 86_400;

/// Padding of an oversized token: more than the 16 KiB that common servers allow a whole head.
const PADDING_BYTES: usize = 20 * 1024;

/// Length of a garbage token where there is no real one to be as long as.
const GARBAGE_BYTES: usize = 150;

/// The invalid tokens of a run.
#[derive(Clone, Debug)]
pub struct InvalidTokens {
    /// By kind; empty where the kind is not in the mix, or is no made token.
    by_kind: [Arc<[Token]>; TokenKind::ALL.len()],
}

impl Default for InvalidTokens {
    fn default() -> Self {
        Self { by_kind: TokenKind::ALL.map(|_| Arc::from([])) }
    }
}

impl InvalidTokens {
    /// Makes invalid tokens of real ones for every kind of the mix; `now` is the current time.
    pub fn make(mix: &Mix, real: &[Token], key: &TargetKey, now: SystemTime) -> Result<Self, InputError> {
        let now_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut made = Self::default();
        for &(kind, _) in mix.weights() {
            let make = |token| {
                make_invalid(kind, token, key, now_s)
                    .map_err(|why| InputError(format!("--mix {}: {why}", kind.as_str())))
            };
            made.by_kind[kind as usize] = match kind {
                TokenKind::Valid | TokenKind::Missing | TokenKind::Replayed => continue,
                TokenKind::Garbage => garbage(real),
                _ => real.iter().take(INVALID_USERS_MAX).map(make).collect::<Result<_, _>>()?,
            };
        }
        Ok(made)
    }

    /// Invalid tokens that another process made.
    pub fn of_kinds(kinds: impl IntoIterator<Item = (TokenKind, Vec<Token>)>) -> Self {
        let mut made = Self::default();
        for (kind, tokens) in kinds {
            made.by_kind[kind as usize] = tokens.into();
        }
        made
    }

    /// The tokens by kind, without the kinds that are not in the mix.
    pub fn kinds(&self) -> impl Iterator<Item = (TokenKind, &[Token])> {
        let all = TokenKind::ALL.into_iter().zip(&self.by_kind);
        all.map(|(kind, tokens)| (kind, &**tokens)).filter(|(_, tokens)| !tokens.is_empty())
    }

    /// Whether any kind of a mix is made from real tokens.
    pub fn need_real(mix: &Mix) -> bool {
        mix.weights().iter().any(|(kind, _)| !needs_no_real_token(*kind))
    }

    /// The token of this kind for arrival `number`, if there is one.
    pub fn get(&self, kind: TokenKind, number: u64) -> Option<&Token> {
        let tokens = &self.by_kind[kind as usize];
        let place = number.checked_rem(tokens.len() as u64)?;
        tokens.get(place as usize)
    }
}

fn needs_no_real_token(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Valid | TokenKind::Missing | TokenKind::Replayed | TokenKind::Garbage)
}

fn make_invalid(kind: TokenKind, token: &Token, key: &TargetKey, now_s: u64) -> Result<Token, String> {
    let Some(mut jwt) = Jwt::parse(token) else {
        return Err(
            "it is made from a real token, and what the target takes is no JWT of a JSON header, JSON claims and a \
             signature"
                .to_owned(),
        );
    };
    let in_force_until = now_s + AHEAD_S;
    if jwt.claims.contains_key("exp") {
        jwt.claims.insert("exp".to_owned(), in_force_until.into());
    }
    match kind {
        TokenKind::Expired => {
            let ended_s = now_s - EXPIRED_S_AGO.min(now_s);
            jwt.claims.insert("exp".to_owned(), ended_s.into());
            for earlier in ["iat", "nbf", "auth_time"] {
                move_back(&mut jwt.claims, earlier, ended_s);
            }
            sign_as_target(&jwt, token, key)
        }
        TokenKind::NotYetValid => {
            jwt.claims.insert("nbf".to_owned(), in_force_until.into());
            if jwt.claims.contains_key("exp") {
                jwt.claims.insert("exp".to_owned(), (in_force_until + AHEAD_S).into());
            }
            sign_as_target(&jwt, token, key)
        }
        TokenKind::Forged => {
            jwt.claims.insert("gatecrash_forged".to_owned(), true.into());
            Ok(jwt.with_signature(&jwt.signature))
        }
        TokenKind::Oversized => {
            let padding = "x".repeat(PADDING_BYTES);
            jwt.claims.insert("gatecrash_padding".to_owned(), padding.into());
            Ok(jwt.with_signature(&jwt.signature))
        }
        TokenKind::AlgNone => {
            jwt.header.insert("alg".to_owned(), "none".into());
            Ok(jwt.with_signature(""))
        }
        TokenKind::AlgConfused => {
            let public = key.public_pem().ok_or(NO_PUBLIC_KEY)?;
            jwt.header.insert("alg".to_owned(), "HS256".into());
            OtherKey::with_secret(public).sign(&jwt, Algorithm::HS256)
        }
        TokenKind::WrongKey => OtherKey::for_alg(jwt.alg()?)?.sign(&jwt, jwt.alg()?),
        TokenKind::UnknownKid => {
            // A new one each time: a target that fetches keys for a kid that it does not know pays for each.
            let kid = format!("gatecrash-{:016x}", rand::random::<u64>());
            jwt.header.insert("kid".to_owned(), kid.into());
            OtherKey::for_alg(jwt.alg()?)?.sign(&jwt, jwt.alg()?)
        }
        TokenKind::Valid | TokenKind::Garbage | TokenKind::Missing | TokenKind::Replayed => Ok(token.clone()),
    }
}

/// Signs with the target's key, which must have signed the real token too: else a refusal of the invalid one would only
/// show that the key is another.
fn sign_as_target(jwt: &Jwt, real: &Token, key: &TargetKey) -> Result<Token, String> {
    if !key.is_signing() {
        return Err(NO_SIGNING_KEY.to_owned());
    }
    let alg = jwt.alg()?;
    let genuine =
        real.rsplit_once('.').is_some_and(|(message, signature)| key.has_signed(message.as_bytes(), signature, alg));
    let signature = key.sign(jwt.signing_input().as_bytes(), alg).filter(|_| genuine);
    signature.map(|signature| jwt.with_signature(&signature)).ok_or_else(|| {
        format!(
            "the --secret or --key is not what the target's {alg:?} tokens are signed with, so what it signs would be \
             refused for its signature"
        )
    })
}

/// Moves a time claim, where the token has it, to before its expiry.
fn move_back(claims: &mut Map<String, Value>, name: &str, end_s: u64) {
    if let Some(claim) = claims.get_mut(name) {
        *claim = end_s.saturating_sub(EXPIRED_S_AGO).into();
    }
}

fn garbage(real: &[Token]) -> Arc<[Token]> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let length = real.first().map_or(GARBAGE_BYTES, |token| token.len());
    let word = |_| {
        let text: String = (0..length).map(|_| char::from(LETTERS[usize::from(rand::random::<u8>() % 64)])).collect();
        Token::from(text)
    };
    (0..INVALID_USERS_MAX).map(word).collect()
}

#[cfg(test)]
mod tests;
