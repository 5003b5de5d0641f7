//! Which kinds of token a run shows, in which proportions, and what the target should do with each.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ground::outcome::{Expected, TokenKind};
use crate::ground::values::ValueError;
use crate::plan::shares::{GOLDEN, Shares};

/// The token kinds of a run. Which arrival shows which kind is fixed before it, by `Shares`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// Weights above zero, at least one.
    weights: Vec<(TokenKind, f64)>,
    shares: Shares,
    /// What the target should do, by token kind.
    expected: [Expected; TokenKind::ALL.len()],
}

impl Default for Mix {
    fn default() -> Self {
        Self::new(&Weights::default(), &[], 0)
    }
}

impl Mix {
    /// The mix of these weights; later expectations win over earlier ones.
    pub fn new(weights: &Weights, expectations: &[Expectation], seed: u64) -> Self {
        let mut expected = TokenKind::ALL.map(TokenKind::usually);
        for Expectation(kind, how) in expectations {
            expected[*kind as usize] = *how;
        }
        Self {
            shares: Shares::new(weights.0.iter().map(|(_, weight)| *weight), seed, GOLDEN),
            weights: weights.0.clone(),
            expected,
        }
    }

    /// The token kind of arrival `number`.
    pub fn kind_of(&self, number: u64) -> TokenKind {
        let found = self.weights.get(self.shares.of(number));
        found.map_or(TokenKind::Valid, |(kind, _)| *kind)
    }

    /// What the target should do with a kind.
    pub fn expected(&self, kind: TokenKind) -> Expected {
        self.expected[kind as usize]
    }

    /// The kinds and their weights, in the order of the flag.
    pub fn weights(&self) -> &[(TokenKind, f64)] {
        &self.weights
    }

    /// Whether the mix holds a kind.
    pub fn has(&self, kind: TokenKind) -> bool {
        self.weights.iter().any(|(shown, _)| *shown == kind)
    }

    /// Whether the target should accept any kind; without one, a run that establishes nothing is correct.
    pub fn accepts_any(&self) -> bool {
        self.weights.iter().any(|(kind, _)| self.expected(*kind) == Expected::Accept)
    }

    /// Kinds with another expectation than the usual one.
    pub fn unusual(&self) -> impl Iterator<Item = (TokenKind, Expected)> {
        TokenKind::ALL
            .into_iter()
            .map(|kind| (kind, self.expected(kind)))
            .filter(|(kind, expected)| *expected != kind.usually())
    }
}

/// Weights of token kinds as `--mix` takes them: `valid=95,expired=3,forged=2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights(Vec<(TokenKind, f64)>);

impl Weights {
    /// Whether a kind has a weight.
    pub fn has(&self, kind: TokenKind) -> bool {
        self.0.iter().any(|(shown, _)| *shown == kind)
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self(vec![(TokenKind::Valid, 100.0)])
    }
}

/// Keeps the sum of weights finite, and small weights visible beside large ones.
const WEIGHT_MAX: f64 = 1e9;

impl FromStr for Weights {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = |allowed| ValueError::new(text, "mix of tokens", allowed);
        let mut weights: Vec<(TokenKind, f64)> = Vec::new();
        for part in text.split(',') {
            let (kind, weight) =
                part.split_once('=').ok_or_else(|| error("write KIND=WEIGHT, as in valid=95,expired=3,forged=2"))?;
            let kind = TokenKind::named(kind.trim()).ok_or_else(|| error(KINDS))?;
            let weight = weight.trim().parse::<f64>().unwrap_or(f64::NAN);
            if !(0.0..=WEIGHT_MAX).contains(&weight) {
                return Err(error("a weight is a number from 0 to 1e9"));
            }
            if weights.iter().any(|(known, _)| *known == kind) {
                return Err(error("a kind has one weight"));
            }
            weights.push((kind, weight));
        }
        weights.retain(|(_, weight)| *weight > 0.0);
        if weights.is_empty() {
            return Err(error("at least one weight must be above 0"));
        }
        Ok(Self(weights))
    }
}

/// What the target should do with a kind, as `--expect` takes it: `expired=accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation(TokenKind, Expected);

impl FromStr for Expectation {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = |allowed| ValueError::new(text, "expectation", allowed);
        let written = "write KIND=accept or KIND=refuse, as in expired=accept";
        let (kind, how) = text.split_once('=').ok_or_else(|| error(written))?;
        let kind = TokenKind::named(kind.trim()).ok_or_else(|| error(KINDS))?;
        match how.trim() {
            "accept" => Ok(Self(kind, Expected::Accept)),
            "refuse" => Ok(Self(kind, Expected::Refuse)),
            _ => Err(error(written)),
        }
    }
}

/// The kinds by name, for errors and for help.
const KINDS: &str = "the kinds are valid, expired, not-yet-valid, forged, wrong-key, alg-none, alg-confused, \
                     unknown-kid, garbage, oversized, missing and replayed";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mix(weights: &str, expectations: &[&str], seed: u64) -> Mix {
        let expectations: Vec<Expectation> = expectations.iter().map(|text| text.parse().unwrap()).collect();
        Mix::new(&weights.parse().unwrap(), &expectations, seed)
    }

    #[test]
    fn mixes_are_read_as_people_write_them() {
        for (text, fault, why) in [
            ("valid=95,expired=3,forged=2", None, "as the docs have it"),
            ("valid=0.5, missing=0.5", None, "weights are no percentages"),
            ("valid=0,garbage=1", None, "a kind that is switched off"),
            ("valid", Some("KIND=WEIGHT"), "how many?"),
            ("expierd=3", Some("not-yet-valid"), "no such kind: the list"),
            ("valid=many", Some("a number"), "no number"),
            ("valid=-1", Some("a number"), "below zero"),
            ("valid=inf", Some("a number"), "no end"),
            ("valid=1,valid=2", Some("one weight"), "which of them?"),
            ("valid=0", Some("above 0"), "nothing is left"),
            ("", Some("KIND=WEIGHT"), "empty"),
        ] {
            let error = text.parse::<Weights>().err();
            assert_eq!(error.is_some(), fault.is_some(), "{why}: {error:?}");
            let shown = error.map_or(String::new(), |error| error.to_string());
            assert!(shown.contains(fault.unwrap_or_default()), "{why}: {shown}");
        }
        for text in ["expired", "expired=yes", "old=accept"] {
            assert!(text.parse::<Expectation>().is_err(), "{text}");
        }
        for kind in TokenKind::ALL {
            assert!(KINDS.contains(kind.as_str()), "{kind:?}");
        }
    }

    #[test]
    fn expectations_are_the_usual_ones_unless_given() {
        let mix = mix("expired=1,forged=1", &["expired=accept", "replayed=refuse"], 0);
        for (kind, expected) in [
            (TokenKind::Valid, Expected::Accept),
            (TokenKind::Expired, Expected::Accept),
            (TokenKind::Forged, Expected::Refuse),
            (TokenKind::Replayed, Expected::Refuse),
        ] {
            assert_eq!(mix.expected(kind), expected, "{kind:?}");
        }
        let unusual: Vec<_> = mix.unusual().map(|(kind, _)| kind).collect();
        assert_eq!(unusual, [TokenKind::Expired, TokenKind::Replayed]);
        assert!(mix.accepts_any(), "expired tokens");
        assert!(!self::mix("forged=1,missing=1", &[], 0).accepts_any());
    }

    proptest! {
        #[test]
        fn each_stretch_of_arrivals_holds_its_part(
            seed: u64,
            from in 0_u64..1 << 40,
            weight in 1_u32..99,
        ) {
            let mix = mix(&format!("valid={},expired={weight}", 100 - weight), &[], seed);
            let shown = (from..from + 1000)
                .filter(|number| mix.kind_of(*number) == TokenKind::Expired)
                .count();
            // The discrepancy of this sequence over 1,000 points is far below one percent.
            prop_assert!(shown.abs_diff(10 * weight as usize) <= 10, "{shown}");
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[a-z=,.0-9-]{0,40}") {
            if let Ok(weights) = text.parse::<Weights>() {
                prop_assert!(weights.has(Mix::new(&weights, &[], 1).kind_of(7)));
            }
        }
    }
}
