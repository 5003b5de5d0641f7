//! Tokens by npm's jsonwebtoken and by PyJWT are accepted by the gate, and both libraries accept the frontend's tokens.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    super::{
        clients::{Client, exchange},
        servers::TestServer,
        tokens::{SECRET, now_s},
    },
    Peers,
};

const NPM: &str = "node/jwt.js";
const PYJWT: &str = "python/jwt_tool.py";

/// An algorithm, the `kid` of its key in `server/tests/keys/jwks.json`, and the file that signs. HMAC signs with the
/// secret itself.
const ALGORITHMS: &[(&str, &str, &str)] = &[
    ("HS256", "secret", "secret"),
    ("HS384", "secret", "secret"),
    ("HS512", "secret", "secret"),
    ("RS256", "rsa2048", "rsa2048.private.pem"),
    ("RS384", "rsa2048", "rsa2048.private.pem"),
    ("RS512", "rsa2048", "rsa2048.private.pem"),
    ("PS256", "rsa2048", "rsa2048.private.pem"),
    ("PS384", "rsa2048", "rsa2048.private.pem"),
    ("PS512", "rsa2048", "rsa2048.private.pem"),
    ("ES256", "p256", "p256.private.pem"),
    ("ES384", "p384", "p384.private.pem"),
    ("ES512", "p521", "p521.private.pem"),
    ("EdDSA", "ed25519", "ed25519.private.pem"),
];

/// As long as HS512 asks (RFC 7518 section 3.2), which is the most.
const SHARED: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// PyJWT escapes what is beyond ASCII, with surrogates beyond the BMP; npm's jsonwebtoken writes it as it is.
const USER: &str = "größe \"🚪\"";

#[tokio::test]
async fn tokens_of_other_libraries_are_accepted() {
    let Some(peers) = Peers::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::write(folder.path());
    let server = TestServer::start(&["--keys", &keys.set.display().to_string()]).await;
    for (script, is_supported) in [
        // npm's jsonwebtoken knows no EdDSA.
        (NPM, (|algorithm| algorithm != "EdDSA") as fn(&str) -> bool),
        (PYJWT, |_| true),
    ] {
        let algorithms = ALGORITHMS.iter().filter(|(alg, ..)| is_supported(alg));
        let asks: Vec<_> = algorithms
            .flat_map(|&(alg, _, file)| {
                let claims = json!({"user": {"username": USER}, "exp": now_s() + 3600});
                // With a `kid` the key is known, without it is found by its algorithm.
                [Some(kid(alg)), None].map(|kid| {
                    let key = keys.signing(file);
                    json!({"verb": "sign", "alg": alg, "key": key, "claims": claims, "kid": kid})
                })
            })
            .collect();
        for (ask, answer) in asks.iter().zip(peers.ask(script, &[], &asks).await) {
            let why = format!("{script}: {} with kid {}", ask["alg"], ask["kid"]);
            let Some(token) = answer["token"].as_str() else {
                panic!("{why}: {answer}");
            };
            let mut client = Client::socketio(server.gate, token).await;
            client.send(r#"421["whoami"]"#).await;
            let answer = client.text().await;
            let received: Value = serde_json::from_str(answer.strip_prefix("431").unwrap()).unwrap();
            assert_eq!(received, json!([USER]), "{why}");
        }
    }
}

#[tokio::test]
async fn other_libraries_accept_tokens_of_the_frontend() {
    let Some(peers) = Peers::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, secret: &str| {
        let path = folder.path().join(name);
        fs::write(&path, secret).unwrap();
        path.display().to_string()
    };
    let (own, other) = (file("own", SECRET), file("other", &SECRET.replace('a', "b")));
    let server = TestServer::start(&["--token-ttl=1h"]).await;
    let token = frontend_token(&server).await;
    for script in [NPM, PYJWT] {
        let ask = |key: &str| json!({"verb": "verify", "alg": "HS256", "key": key, "token": token});
        let answers = peers.ask(script, &[], &[ask(&own), ask(&other)]).await;
        let claims = &answers[0]["claims"];
        assert_eq!(claims["user"], json!({"username": "gonzalo"}), "{script}");
        let at = |claim: &str| claims[claim].as_u64().unwrap();
        assert_eq!(at("exp") - at("iat"), 3600, "{script}");
        assert!(answers[1]["error"].is_string(), "{script} verifies: {answers:?}");
    }
}

/// Logs the demo user in and asks for a token, as the page does.
async fn frontend_token(server: &TestServer) -> String {
    let get = async |path: &str, header: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n\r\n");
        exchange(server.frontend, request.as_bytes()).await
    };
    let credentials = base64_simd::STANDARD.encode_to_string("gonzalo:password");
    let login = get("/login", &format!("Authorization: Basic {credentials}")).await;
    let session = login.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_cookie = name.eq_ignore_ascii_case("set-cookie");
        is_cookie.then(|| value.split(';').next().unwrap().to_owned())
    });
    let session = session.unwrap_or_else(|| panic!("no session: {login}"));
    let answer = get("/getIoConnectionToken", &format!("Cookie: {session}")).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// The `kid` of an algorithm's key in [`Keys::set`].
fn kid(algorithm: &str) -> String {
    format!("the key of {algorithm}")
}

/// The tests' keys, one per algorithm: a key serves one algorithm, so the RSA key and the secret are there several
/// times.
struct Keys {
    folder: PathBuf,
    set: PathBuf,
}

impl Keys {
    fn write(folder: &Path) -> Self {
        let known = fs::read(committed("jwks.json")).unwrap();
        let known: Value = serde_json::from_slice(&known).unwrap();
        let known = known["keys"].as_array().unwrap();
        let named = |kid: &str| known.iter().find(|key| key["kid"] == kid).unwrap().clone();
        let keys: Vec<_> = ALGORITHMS
            .iter()
            .map(|&(algorithm, key, _)| {
                let mut key = named(key);
                if key["kty"] == "oct" {
                    key["k"] = base64_simd::URL_SAFE_NO_PAD.encode_to_string(SHARED).into();
                }
                key["alg"] = algorithm.into();
                key["kid"] = kid(algorithm).into();
                key
            })
            .collect();
        fs::write(folder.join("secret"), SHARED).unwrap();
        let set = folder.join("jwks.json");
        fs::write(&set, json!({"keys": keys}).to_string()).unwrap();
        Self { folder: folder.to_owned(), set }
    }

    /// The path of a file that signs.
    fn signing(&self, file: &str) -> String {
        let path = match file {
            "secret" => self.folder.join(file),
            pem => committed(pem),
        };
        path.display().to_string()
    }
}

fn committed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(file)
}
