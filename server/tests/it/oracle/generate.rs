//! Tokens from a seed: valid ones, unusual ones, and ones changed after they were signed.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use gatekeeper::keys::Algorithm;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::SECRET;

/// The algorithms that are tried.
pub const ALGORITHMS: [Algorithm; 6] =
    [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512, Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256];

/// Relative frequency of each algorithm; a public-key signature takes as long as a hundred MACs.
const WEIGHTS: [u32; 6] = [500, 200, 200, 50, 40, 10];

/// Makes tokens.
pub struct Generator {
    random: SystemRandom,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

impl Generator {
    pub fn new() -> Self {
        let p256 = der(include_str!("../../keys/p256.private.pem"));
        let ed25519 = der(include_str!("../../keys/ed25519.private.pem"));
        let rsa = der(include_str!("../../keys/rsa2048.private.pem"));
        Self {
            random: SystemRandom::new(),
            p256: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &p256).unwrap(),
            ed25519: Ed25519KeyPair::from_pkcs8_maybe_unchecked(&ed25519).unwrap(),
            rsa: RsaKeyPair::from_pkcs8(&rsa).unwrap(),
        }
    }

    /// The token of `seed`, and the place in [`ALGORITHMS`] of the one that it is to be judged by.
    pub fn token(&self, seed: u64) -> (usize, Vec<u8>) {
        let mut draw = Draw(StdRng::seed_from_u64(seed));
        let which = draw.algorithm();
        let algorithm = ALGORITHMS[which];
        let header = header(&mut draw, algorithm);
        let mut token = self.sign_text(algorithm, &header, &claims(&mut draw));
        if draw.one_in(3) {
            for _ in 0..draw.up_to(3) + 1 {
                change(&mut draw, &mut token);
            }
        }
        (which, token)
    }

    /// A token of exactly this header and these claims.
    pub fn sign_text(&self, algorithm: Algorithm, header: &str, claims: &str) -> Vec<u8> {
        let mut token =
            format!("{}.{}", URL_SAFE_NO_PAD.encode_to_string(header), URL_SAFE_NO_PAD.encode_to_string(claims))
                .into_bytes();
        let signature = self.sign(algorithm, &token);
        token.push(b'.');
        token.extend(URL_SAFE_NO_PAD.encode_to_string(signature).bytes());
        token
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let mac = |digest| {
            let key = hmac::Key::new(digest, SECRET);
            hmac::sign(&key, message).as_ref().to_vec()
        };
        match algorithm {
            Algorithm::HS384 => mac(hmac::HMAC_SHA384),
            Algorithm::HS512 => mac(hmac::HMAC_SHA512),
            Algorithm::ES256 => self.p256.sign(&self.random, message).unwrap().as_ref().to_vec(),
            Algorithm::EdDSA => self.ed25519.sign(message).as_ref().to_vec(),
            Algorithm::RS256 => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                let signed = self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature);
                signed.unwrap();
                signature
            }
            _ => mac(hmac::HMAC_SHA256),
        }
    }
}

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode_to_vec(body).unwrap()
}

/// Choices from a seed.
struct Draw(StdRng);

impl Draw {
    fn one_in(&mut self, times: u32) -> bool {
        self.0.random_ratio(1, times)
    }

    /// A number below `end`.
    fn up_to(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn of<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        choices.choose(&mut self.0).unwrap()
    }

    fn algorithm(&mut self) -> usize {
        let mut left = self.0.random_range(0..WEIGHTS.iter().sum());
        let place = WEIGHTS.iter().position(|weight| match left < *weight {
            true => true,
            false => {
                left -= weight;
                false
            }
        });
        place.unwrap()
    }
}

/// A header: the usual one half of the time.
fn header(draw: &mut Draw, algorithm: Algorithm) -> String {
    if draw.one_in(2) {
        return format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
    }
    let mut members = Vec::new();
    for _ in 0..draw.up_to(4) {
        members.push(match draw.up_to(7) {
            0 => format!(r#""typ":{}"#, draw.of(&[r#""JWT""#, r#""jwt""#, r#""at+jwt""#, r#""JWE""#, "null", "1"])),
            1 => format!(r#""kid":{}"#, draw.of(&[KID_JSON, r#""x""#, r#""""#, r#""\u006bid""#, "null"])),
            2 => format!(r#""crit":{}"#, draw.of(&["[]", r#"["b64"]"#, "1"])),
            3 => format!(r#""b64":{}"#, draw.of(&["true", "false", "null"])),
            4 => draw.of(&[r#""jku":"https://a""#, r#""x5u":"https://a""#, r#""x5c":[]"#, r#""jwk":{}"#]).to_owned(),
            5 => format!(r#""x":{}"#, value(draw, 3)),
            _ => format!(r#""x5t":"a","{}":1"#, draw.of(&["y", r"\u0078", "x5t"])),
        });
    }
    let alg = match draw.up_to(12) {
        0 => draw.of(&["none", "HS256", "RS256", "ES384", "hs256", ""]).to_owned(),
        1 => algorithm.as_str().replace('S', r"\u0053"),
        _ => algorithm.as_str().to_owned(),
    };
    if !draw.one_in(20) {
        members.insert(draw.up_to(members.len() + 1), format!(r#""alg":"{alg}""#));
    }
    let space = draw.of(&["", "", "", " "]);
    format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
}

/// The name of the [key](super::strict::KID), in JSON.
const KID_JSON: &str = r#""kid""#;

/// Claims: most of them sound in their shape, few in all their values.
fn claims(draw: &mut Draw) -> String {
    if draw.one_in(40) {
        return draw.of(&["", "[]", "null", "{", "{}{}", "{,}", "\u{feff}{}", "1"]).to_owned();
    }
    let mut members = Vec::new();
    if draw.one_in(2) {
        members.push(format!(r#""exp":{}"#, time(draw)));
    }
    if draw.one_in(3) {
        members.push(format!(r#""iss":{}"#, draw.of(&[r#""us""#, r#""us""#, r#""\u0075s""#])));
        members.push(format!(r#""aud":{}"#, draw.of(&[r#""them""#, r#"["x","them"]"#, r#""x""#])));
    }
    for _ in 0..draw.up_to(5) {
        let name = draw.of(&[
            "exp",
            "nbf",
            "nbf",
            "iat",
            "iat",
            "iss",
            "aud",
            "sub",
            "user",
            "name",
            "x",
            "y",
            "a_long_name_of_a_claim",
            r"a_\u006cong_name_of_a_claim",
            r"a_long_name_of_a_clai\u006d",
            r"e\u0078p",
            r"\u0078",
            "",
        ]);
        let value = match name {
            "exp" | "nbf" | "iat" if !draw.one_in(4) => time(draw),
            "user" => format!(
                r#"{{"{}":{},"{}":1}}"#,
                draw.of(&["username", "name"]),
                value(draw, 2),
                draw.of(&["x", "y", "username", "name"])
            ),
            _ => value(draw, 4),
        };
        members.push(format!(r#""{name}":{value}"#));
    }
    if draw.one_in(200) {
        let clients = draw.up_to(300);
        members.extend((0..clients).map(|i| format!(r#""m{i}":{i}"#)));
    }
    let space = draw.of(&["", "", "", " ", "\n\t"]);
    format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
}

/// A time that keeps its distance from now, for two clocks are read; or something like one.
fn time(draw: &mut Draw) -> String {
    let now_s = jsonwebtoken::get_current_timestamp();
    let distance_s = 60 + draw.up_to(9_000) as u64;
    match draw.up_to(10) {
        // Within the leeway of one policy, and outside that of the others.
        0 => (now_s + 60).to_string(),
        1 => (now_s - 60).to_string(),
        2..5 => (now_s + distance_s).to_string(),
        5..8 => (now_s - distance_s).to_string(),
        8 if draw.one_in(2) => format!("{}.5", now_s + distance_s),
        8 => format!("{}e-3", (now_s - distance_s) * 1000 + 999),
        _ => value(draw, 1),
    }
}

#[expect(clippy::too_many_lines, reason = "a table of values")]
fn value(draw: &mut Draw, depth: usize) -> String {
    if depth > 1 && draw.one_in(4) {
        let count = draw.up_to(4);
        if draw.one_in(2) {
            let items = (0..count).map(|_| value(draw, depth - 1));
            return format!("[{}]", items.collect::<Vec<_>>().join(","));
        }
        let members = (0..count).map(|i| format!(r#""{}":{}"#, i % 3, value(draw, depth - 1)));
        return format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    }
    if draw.one_in(300) {
        let levels = 55 + draw.up_to(100);
        return format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    }
    draw.of(&[
        "0",
        "-1",
        "-0",
        "0.5",
        "1e3",
        "1.7e9",
        "4e9",
        "4000000000.7",
        "40000000000e-1",
        "0.4E10",
        "0.00e999",
        "4000000000.000000000000000000001",
        "4000000000.0000000000000000000001",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "253402300799",
        "253402300799.5",
        "253402300800",
        "1e18",
        "1e300",
        "1e999",
        "-1e999",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234567890",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "0x1",
        "NaN",
        "null",
        "true",
        "tru",
        "[]",
        "{}",
        r#""us""#,
        r#""them""#,
        r#""u\u0073""#,
        r#"["them"]"#,
        r#"["others","them"]"#,
        "[1]",
        r#""""#,
        r#""1""#,
        r#""\ud800""#,
        r#""\ud83d\ude00""#,
        r#""\ude00\ud83d""#,
        r#""\x""#,
        "\"\t\"",
        "\"\u{fc}\u{1f600}\"",
        r#""\"""#,
        r#""\\""#,
        "\"",
        "",
    ])
    .to_owned()
}

/// One change of a token's bytes.
fn change(draw: &mut Draw, token: &mut Vec<u8>) {
    let length = token.len();
    if length == 0 {
        return;
    }
    let at = draw.up_to(length);
    let byte = b"AQgw.=-_+/ {\0\xff"[draw.up_to(14)];
    match draw.up_to(6) {
        0 => token[at] = byte,
        1 => token[at] ^= 1 << draw.up_to(8),
        2 => token.insert(draw.up_to(length + 1), byte),
        3 => drop(token.remove(at)),
        4 => token.truncate(at),
        _ => token.swap(at, draw.up_to(length)),
    }
}
