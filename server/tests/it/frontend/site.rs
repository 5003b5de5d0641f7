//! A frontend to test, and the simplest client: it shows what came over the wire, reason phrase included.

use std::fmt::Write as _;
use std::sync::Arc;

use gatekeeper::frontend::users::{Cost, Users, hash};
use gatekeeper::frontend::{FrontendConfig, Limits, serve_within};
use serde_json::Value;
use testkit::SECRET;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A frontend on a port of its own, which ends with the test.
pub struct Site {
    pub address: String,
    pub shutdown: oneshot::Sender<()>,
    pub served: JoinHandle<std::io::Result<()>>,
}

impl Site {
    pub async fn start(config: FrontendConfig, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (shutdown, asked) = oneshot::channel::<()>();
        let asked = async { drop(asked.await) };
        let served = tokio::spawn(serve_within(listener, config, limits, asked));
        Self { address, shutdown, served }
    }

    /// Sends `METHOD /path` with these cookies and these further header lines.
    pub async fn send(&self, request: &str, cookie: &str, headers: &str) -> Response {
        let mut head = format!("{request} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if !cookie.is_empty() {
            write!(head, "Cookie: {cookie}\r\n").unwrap();
        }
        head.push_str(headers);
        head.push_str("Connection: close\r\n\r\n");
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let mut answer = Vec::new();
        // A server that refuses a head may reset what it did not read of it, after its answer.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.read_to_end(&mut answer).await;
        Response::parse(&String::from_utf8(answer).unwrap())
    }

    /// A connection that was answered once and stays open.
    pub async fn keep_alive(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        stream
    }

    /// The session cookie of a login that succeeds.
    pub async fn login(&self, name: &str, password: &str) -> String {
        let response = self.send("GET /login", "", &basic(name, password)).await;
        assert_eq!(response.status, "302 Found", "{name}");
        response.cookie()
    }

    pub async fn is_logged_in(&self, cookie: &str) -> bool {
        let page = self.send("GET /private", cookie, "").await;
        let token = self.send("GET /getIoConnectionToken", cookie, "").await;
        match (page.status.as_str(), token.status.as_str()) {
            ("200 OK", "200 OK") => true,
            ("302 Found", "403 Forbidden") => false,
            other => panic!("page and token disagree: {other:?}"),
        }
    }

    /// The claims of this session's token, whose signature holds.
    pub async fn claims(&self, cookie: &str) -> Value {
        let response = self.send("GET /getIoConnectionToken", cookie, "").await;
        let token: String = serde_json::from_str(&response.body).unwrap();
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::decode(&token, &key, &rules).unwrap().claims
    }
}

/// An answer as it came over the wire.
pub struct Response {
    /// Code and reason phrase.
    pub status: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    fn parse(answer: &str) -> Self {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.expect("an answer of HTTP/1.1").to_owned(),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The session cookie it sets, as a browser sends it back.
    pub fn cookie(&self) -> String {
        let cookie = self.header("set-cookie").expect("a cookie");
        cookie.split(';').next().unwrap_or_default().to_owned()
    }
}

/// The header line of RFC 7617.
pub fn basic(name: &str, password: &str) -> String {
    let encoded = base64_simd::STANDARD.encode_to_string(format!("{name}:{password}"));
    format!("Authorization: Basic {encoded}\r\n")
}

/// Two users with cheap hashes, `ana` with `a:na` and `bob` with `bob`.
pub fn config() -> FrontendConfig {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.csv");
    let line = |name: &str, password: &str| format!("{name},{}\n", hash(password, Cost::Embedded));
    std::fs::write(&path, line("ana", "a:na") + &line("bob", "bob")).unwrap();
    FrontendConfig {
        users: Users::load(&path).unwrap(),
        secret: SECRET.into(),
        token_ttl: None,
        unix_s: Arc::new(jsonwebtoken::get_current_timestamp),
        gate_url: "http://127.0.0.1:3000".to_owned(),
        socketio_client: false,
        issuer: None,
        audience: None,
        session_key: None,
        tls: None,
        lookup_listener: None,
    }
}
