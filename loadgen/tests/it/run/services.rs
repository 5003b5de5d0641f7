//! What stands beside the sockets: `gatecrash serve` as a server that somebody else started, a login service that
//! remembers its sessions, and the web as far as it is needed to ask them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::extract::{Json, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use testkit::{LOOK_EVERY, fetch, metric, ready_line, soon};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

pub use testkit::SECRET;

/// A token for a user, as the frontend of the original makes it.
pub fn token(user: &str) -> String {
    let claims = json!({"user": {"username": user}});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

/// A gate and a frontend with the demo user and the tests' secret; they are killed with the test.
pub struct LocalServer {
    /// Takes sockets.
    pub gate: SocketAddr,
    /// Logs `gonzalo` in by `password`.
    pub frontend: SocketAddr,
    _process: Child,
}

impl LocalServer {
    /// Starts one with further flags.
    pub async fn start(flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_gatecrash"))
            .args(["serve", "--listen=127.0.0.1:0"])
            .args(["--frontend-listen=127.0.0.1:0", "--secret", SECRET])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let ready = ready_line(process.stdout.take().unwrap()).await;
        let addr = |role: &str| {
            let (_, addr) = ready[role].as_str().unwrap().split_once("://").unwrap();
            addr.parse()
        };
        Self { gate: addr("gate").unwrap(), frontend: addr("frontend").unwrap(), _process: process }
    }

    /// Checks at a value of the gate's `/metrics` until it is this.
    pub async fn metric_becomes(&self, name: &str, expected: u64) {
        soon(&format!("{name} = {expected}"), async {
            while self.metric(name).await != expected {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await;
    }

    /// One value of the gate's `/metrics`, by its name with its labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = fetch(self.gate, "/metrics").await;
        metric(&page, name).unwrap_or_else(|| panic!("no {name} in\n{page}")) as u64
    }
}

/// Logs users in by JSON, each by `NAME-password`, and hands out their tokens by their session's cookie.
pub struct LoginService {
    /// Where it listens: `/login`, `/token`.
    pub addr: SocketAddr,
    sessions: Sessions,
}

/// By session: its user, and how many tokens it was given.
type Sessions = Arc<Mutex<BTreeMap<String, (String, u64)>>>;

impl LoginService {
    /// Starts one.
    pub async fn start() -> Self {
        let sessions = Sessions::default();
        let app = axum::Router::new()
            .route("/login", post(log_in))
            .route("/token", get(hand_out))
            .with_state(sessions.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { addr, sessions }
    }

    /// The flags that log users in here.
    pub fn flags(&self) -> String {
        let addr = self.addr;
        format!("--login-url http://{addr}/login --login-method json --token-url http://{addr}/token")
    }

    /// Each session's user and how many tokens it was given.
    pub fn sessions(&self) -> Vec<(String, u64)> {
        self.sessions.lock().unwrap().values().cloned().collect()
    }
}

async fn log_in(State(sessions): State<Sessions>, Json(credentials): Json<BTreeMap<String, String>>) -> Response {
    let name = &credentials["username"];
    if credentials["password"] != format!("{name}-password") {
        return (StatusCode::UNAUTHORIZED, "Please sign in.").into_response();
    }
    let mut sessions = sessions.lock().unwrap();
    let id = format!("session={}", sessions.len());
    sessions.insert(id.clone(), (name.clone(), 0));
    [("set-cookie", format!("{id}; HttpOnly; SameSite=Lax"))].into_response()
}

async fn hand_out(State(sessions): State<Sessions>, headers: HeaderMap) -> Response {
    let id = headers.get("cookie").and_then(|value| value.to_str().ok());
    let mut sessions = sessions.lock().unwrap();
    match sessions.get_mut(id.unwrap_or_default()) {
        Some((name, given)) => {
            *given += 1;
            Json(token(name)).into_response()
        }
        None => (StatusCode::FORBIDDEN, "Access Denied").into_response(),
    }
}
