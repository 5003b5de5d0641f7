//! The home page, and the user's page, which opens the socket in the browser.
//!
//! A Content Security Policy (level 3) allows the inline style and script by their hashes, and connections to this
//! frontend and to the gate only.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use tower_sessions::Session;

use crate::frontend::login;
use crate::frontend::response::redirect;

const STYLE: &str = include_str!("assets/page.css");
/// Opens the socket with its own implementation of the protocol.
const SCRIPT_OWN: &str = concat!(include_str!("assets/engineio.js"), include_str!("assets/page.js"));
/// Opens the socket with the Socket.IO client that the gate serves.
const SCRIPT_CLIENT: &str = concat!(include_str!("assets/socketio.js"), include_str!("assets/page.js"));

/// The home page, the same for everybody.
pub(super) async fn home(State(pages): State<Arc<Pages>>) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head("gatekeeper", None))
            body {
                main {
                    h1 { "gatekeeper" }
                    p { "Log in. Your page then opens a socket that a JSON Web Token authenticates." }
                    div class="actions" { a class="button" href="/login" { "Log in" } }
                }
            }
        }
    };
    ([pages.home_policy.clone()], Html(page.into_string())).into_response()
}

/// The user's page; without a session a redirect to the login.
pub(super) async fn private(State(pages): State<Arc<Pages>>, session: Session) -> Response {
    let Some(name) = login::user(&session).await else {
        return redirect(StatusCode::FOUND, "/login");
    };
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store")), pages.private_policy.clone()];
    (headers, Html(pages.private(&name))).into_response()
}

/// The settings of the pages of one frontend, prepared once.
pub(super) struct Pages {
    /// Without a slash at the end; empty if the configured URL is not an origin.
    gate_url: String,
    socketio_client: bool,
    /// Whether the session authenticates the socket, in place of a token.
    by_session: bool,
    home_policy: (HeaderName, HeaderValue),
    private_policy: (HeaderName, HeaderValue),
}

impl Pages {
    pub(super) fn new(gate_url: &str, socketio_client: bool, by_session: bool) -> Self {
        let gate = Origin::parse(gate_url);
        if gate.is_none() {
            tracing::warn!(gate_url, "not an origin of http or https: the page cannot open its socket");
        }
        let home_policy = policy(&format!("style-src {}", hash_source(STYLE)));
        let private_policy = policy(&private_rules(gate.as_ref(), socketio_client));
        Self {
            gate_url: gate.map(|gate| gate.url()).unwrap_or_default(),
            socketio_client,
            by_session,
            home_policy,
            private_policy,
        }
    }

    fn private(&self, name: &str) -> String {
        let gate = &self.gate_url;
        let (auth, how) = match self.by_session {
            true => ("session", "This page opens a socket with the cookie of your session."),
            false => ("token", "This page asked for a token and opens a socket with it."),
        };
        let client = (self.socketio_client && !gate.is_empty()).then(|| format!("{gate}/socket.io/socket.io.js"));
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                (head("Your socket", client.as_deref()))
                body data-state="connecting" data-auth=(auth) data-gate=(gate) {
                    main {
                        h1 { "Hello, " (name) }
                        p { (how) " The gate sends the name of the user that it authenticated." }
                        noscript { p { "The socket needs JavaScript." } }
                        div class="status" role="status" { span id="status" { "connecting" } }
                        dl { dt { "Socket of" } dd id="user" { "–" } dt { "Gate" } dd { (gate) } }
                        div class="actions" {
                            button id="reconnect" type="button" { "Reconnect" }
                            form method="post" action="/logout" { button class="quiet" { "Log out" } }
                        }
                        script { (PreEscaped(script(self.socketio_client))) }
                    }
                }
            }
        };
        page.into_string()
    }
}

/// The origin of the gate. Its characters need no escaping in a policy.
struct Origin<'a> {
    is_tls: bool,
    /// Host and port.
    authority: &'a str,
}

impl<'a> Origin<'a> {
    fn parse(url: &'a str) -> Option<Self> {
        let (is_tls, rest) = match url.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, url.strip_prefix("http://")?),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let fits = !authority.is_empty() && authority.chars().all(is_plain);
        fits.then_some(Self { is_tls, authority })
    }

    fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// The source expression of a policy. For an IPv6 address, which it cannot have (CSP3 section 2.3.1), only the
    /// scheme.
    fn source(&self, scheme: &str) -> String {
        let s = if self.is_tls { "s" } else { "" };
        match self.authority.starts_with('[') {
            true => format!("{scheme}{s}:"),
            false => format!("{scheme}{s}://{}", self.authority),
        }
    }
}

fn private_rules(gate: Option<&Origin<'_>>, socketio_client: bool) -> String {
    let source = |scheme: &str| gate.map(|gate| format!(" {}", gate.source(scheme)));
    let http = source("http").unwrap_or_default();
    let ws = source("ws").unwrap_or_default();
    let from_gate = if socketio_client { http.as_str() } else { "" };
    format!(
        "style-src {}; script-src {}{from_gate}; connect-src 'self'{http}{ws}; form-action 'self'",
        hash_source(STYLE),
        hash_source(script(socketio_client)),
    )
}

/// A policy that forbids everything that `rules` do not allow, frames too.
fn policy(rules: &str) -> (HeaderName, HeaderValue) {
    let policy = format!("default-src 'none'; img-src data:; base-uri 'none'; frame-ancestors 'none'; {rules}");
    // Constants, hashes and an origin are always a valid header value. If they were not, everything would be forbidden.
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    (header::CONTENT_SECURITY_POLICY, policy)
}

fn hash_source(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let encoded = base64_simd::STANDARD.encode_to_string(hash.as_ref());
    format!("'sha256-{encoded}'")
}

fn script(socketio_client: bool) -> &'static str {
    if socketio_client { SCRIPT_CLIENT } else { SCRIPT_OWN }
}

/// The head of a page. Loads the Socket.IO `client` from its URL if there is one.
fn head(title: &str, client: Option<&str>) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) }
            link rel="icon" href="data:,";
            style { (PreEscaped(STYLE)) }
            @if let Some(client) = client { script src=(client) {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_connections_to_the_gate_only() {
        for (gate_url, client, scripts_from, connects_to, why) in [
            (
                "http://a.example:1",
                false,
                "",
                " http://a.example:1 ws://a.example:1",
                "own script, sockets of the gate",
            ),
            ("http://a:1/", true, " http://a:1", " http://a:1 ws://a:1", "the client is loaded from the gate"),
            ("https://a.example", true, " https://a.example", " https://a.example wss://a.example", "TLS for both"),
            (
                "http://127.0.0.1:1",
                true,
                " http://127.0.0.1:1",
                " http://127.0.0.1:1 ws://127.0.0.1:1",
                "an IP address",
            ),
            ("http://[::1]:3000", true, " http:", " http: ws:", "a policy cannot have an IPv6 address"),
            ("http://a; script-src *", true, "", "", "not an origin"),
            ("ftp://gate.example", false, "", "", "another scheme"),
            ("http://", false, "", "", "no host"),
        ] {
            let pages = Pages::new(gate_url, client, false);
            let policy = pages.private_policy.1.to_str().unwrap();
            let rule = |name: &str| {
                let rules = policy.split("; ").filter_map(|rule| rule.strip_prefix(name));
                rules.collect::<Vec<_>>().join("|")
            };
            let hash = hash_source(script(client));
            assert_eq!(rule("script-src "), format!("{hash}{scripts_from}"), "{why}");
            assert_eq!(rule("connect-src "), format!("'self'{connects_to}"), "{why}");
            assert_eq!(rule("default-src "), "'none'", "{why}");
        }
    }

    #[test]
    fn the_page_loads_the_client_only_from_a_gate_that_serves_it() {
        let tag = "<script src=\"http://127.0.0.1:3000/socket.io/socket.io.js\"></script>";
        for (gate_url, client) in
            [("http://127.0.0.1:3000", true), ("http://127.0.0.1:3000/", true), ("http://127.0.0.1:3000", false)]
        {
            let page = Pages::new(gate_url, client, false).private("gonzalo");
            assert_eq!(page.contains(tag), client, "{gate_url} {client}");
            assert!(page.contains("data-gate=\"http://127.0.0.1:3000\""), "{gate_url}");
        }
        let page = Pages::new("\"><script>", true, false).private("gonzalo");
        assert!(page.contains("data-gate=\"\"") && !page.contains("<script src"));
    }

    #[test]
    fn the_hashes_match_the_style_and_script_of_the_page() {
        for client in [false, true] {
            let page = Pages::new("http://127.0.0.1:3000", client, false).private("gonzalo");
            assert!(page.contains(&format!("<style>{STYLE}</style>")));
            assert!(page.contains(&format!("<script>{}</script>", script(client))));
        }
        for text in [STYLE, SCRIPT_OWN, SCRIPT_CLIENT] {
            assert!(!text.contains("</"), "an end tag inside would end the element early");
            assert!(!text.contains('\r'), "a browser hashes CRLF as LF");
        }
    }

    #[test]
    fn a_hash_equals_the_example_of_the_specification() {
        // The example of CSP3 section 8.3 (`alert('Hello, world.');`).
        let expected = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='";
        assert_eq!(hash_source("alert('Hello, world.');"), expected);
    }

    #[test]
    fn a_name_is_escaped() {
        let page = Pages::new("", false, false).private("<b>\"&'");
        assert!(page.contains("<h1>Hello, &lt;b&gt;&quot;&amp;'</h1>"));
    }
}
