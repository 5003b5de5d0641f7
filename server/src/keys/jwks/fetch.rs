//! One fetch of a set over HTTP, with limits on time and size. Unprotected networks are refused.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap};
use reqwest::{Client, ClientBuilder, Url, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

/// The longest set that is read. Sets of large providers have 5 to 20 kB.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;

/// The limit for the TCP connection and TLS.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// The limit for the whole fetch.
const FETCH_WITHIN: Duration = Duration::from_secs(10);

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 2;

/// The URL of a published set: `https`, or `http` on this machine. Whoever can change the set in transit can make
/// tokens.
#[derive(Clone, PartialEq)]
pub struct JwksUrl(Url);

/// A URL from which no set is fetched.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum JwksUrlError {
    /// The text is not a URL.
    #[error("`{asked}` is not a URL: {problem}")]
    Malformed {
        /// The configured text.
        asked: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The keys could be changed in transit.
    #[error("`{0}` must begin with https:// (http:// is accepted only for loopback)")]
    Unprotected(String),
}

impl FromStr for JwksUrl {
    type Err = JwksUrlError;

    fn from_str(asked: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(asked)
            .map_err(|problem| JwksUrlError::Malformed { asked: asked.to_owned(), problem: problem.to_string() })?;
        if is_safe(&url) { Ok(Self(url)) } else { Err(JwksUrlError::Unprotected(asked.to_owned())) }
    }
}

impl JwksUrl {
    /// The URL of a server of this process, which is trusted on every interface.
    pub(crate) fn of_own(addr: SocketAddr, path: &str) -> Option<Self> {
        Url::parse(&format!("http://{addr}{path}")).ok().map(Self)
    }

    /// The URL itself, with any password.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// The builder of a client that uses a protected connection.
    pub(crate) fn client(&self) -> Result<ClientBuilder, FetchError> {
        let is_protected = self.0.scheme() == "https";
        let builder = match is_protected {
            true => Client::builder().https_only(true),
            // A proxy could read and change data that must not leave this machine.
            false => Client::builder().no_proxy(),
        };
        Ok(builder.tls_backend_preconfigured(tls(is_protected)?))
    }
}

fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse().map(|address: IpAddr| address.to_canonical());
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without user info and query, which may have a password.
        write!(out, "{}{}", self.0.origin().ascii_serialization(), self.0.path())
    }
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "JwksUrl({self})")
    }
}

/// Why a fetch failed. The fault is of the source or the network.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no HTTP client: {0}")]
    NoClient(String),
    #[error("{0}")]
    Http(String),
    #[error("the source answered with status {0}")]
    Status(u16),
    #[error("the set is longer than {JWKS_BYTES_MAX} bytes")]
    TooLong,
    #[error("the set is not UTF-8")]
    NotUtf8,
}

/// A fetched set.
#[derive(Debug)]
pub(super) struct Fetched {
    pub text: String,
    /// The remaining lifetime by the Cache-Control field, if it has one (RFC 9111 section 5.2.2).
    pub lifetime: Option<Duration>,
}

/// The client of one source.
pub(super) struct Fetcher {
    client: Client,
    url: Url,
}

impl Fetcher {
    pub(super) fn new(url: &JwksUrl) -> Result<Self, FetchError> {
        let client = url
            .client()?
            .redirect(redirect::Policy::custom(follow_protected))
            .connect_timeout(CONNECT_WITHIN)
            .timeout(FETCH_WITHIN)
            .user_agent(concat!("gatekeeper/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| FetchError::NoClient(cause_without_url(&error)))?;
        let JwksUrl(url) = url.clone();
        Ok(Self { client, url })
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, FetchError> {
        let failed = |error: reqwest::Error| FetchError::Http(cause_without_url(&error));
        let mut answer = self.client.get(self.url.clone()).send().await.map_err(failed)?;
        if answer.status() != 200 {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let lifetime = lifetime_left(answer.headers());
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > JWKS_BYTES_MAX {
                return Err(FetchError::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(bytes).map_err(|_| FetchError::NotUtf8)?;
        Ok(Fetched { text, lifetime })
    }
}

/// Follows a redirect to a protected URL.
fn follow_protected(attempt: redirect::Attempt<'_>) -> redirect::Action {
    // The first of the previous URLs is the source itself.
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error("too many redirects");
    }
    if is_safe(attempt.url()) { attempt.follow() } else { attempt.error("a redirect to a URL that is not protected") }
}

/// The TLS configuration. The certificate authorities of this machine are read only for a protected connection.
fn tls(is_protected: bool) -> Result<ClientConfig, FetchError> {
    let mut roots = RootCertStore::empty();
    if is_protected {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let problem = "this machine has no certificate authorities (ca-certificates)";
            return Err(FetchError::NoClient(problem.to_owned()));
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::NoClient(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The innermost cause of an error, or its timeout, without the URL, which may have a password.
fn cause_without_url(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", FETCH_WITHIN.as_secs());
    }
    root_cause(error)
}

/// The innermost cause of an error, without the URL, which may have a password.
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match std::ptr::addr_eq(cause, error) {
        // There is no inner cause, and the error itself shows the URL.
        true => "the request failed".to_owned(),
        false => cause.to_string(),
    }
}

/// The remaining lifetime of the response: that in Cache-Control minus the Age that an intermediate cache adds (RFC
/// 9111 sections 4.2.3 and 5.1).
fn lifetime_left(head: &HeaderMap) -> Option<Duration> {
    let cache_control = head.get_all(CACHE_CONTROL).iter();
    let lifetime = cache_control.filter_map(|value| lifetime(value.to_str().ok()?)).min()?;
    // Only the first of several ages counts; an invalid age is ignored.
    let age = head.get(AGE).and_then(|value| value.to_str().ok());
    let age = age.and_then(|field| delta_seconds(field.split(',').next()?.trim()));
    Some(lifetime.saturating_sub(age.unwrap_or_default()))
}

/// The lifetime in a Cache-Control field.
fn lifetime(field: &str) -> Option<Duration> {
    let directives = field.split(',').map(str::trim);
    let lifetimes = directives.filter_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => Some(Duration::ZERO),
            "max-age" => delta_seconds(value.trim().trim_matches('"')),
            _ => None,
        }
    });
    lifetimes.min()
}

/// A number of seconds (RFC 9111 section 1.2.2).
fn delta_seconds(value: &str) -> Option<Duration> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // A number beyond u64 means for ever.
    digits.then(|| Duration::from_secs(value.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_https_and_loopback_urls_are_accepted() {
        for (asked, accepted, why) in [
            ("https://issuer.example/keys", true, "protected"),
            ("http://127.0.0.1:1/keys", true, "loopback"),
            ("http://[::1]:1/keys", true, "loopback"),
            ("http://localhost/keys", true, "loopback"),
            ("http://issuer.example/keys", false, "not protected in transit"),
            ("http://localhost.example/keys", false, "not loopback, despite its name"),
            ("http://127.0.0.1.example/", false, "not loopback, despite its name"),
            ("http://10.0.0.1/", false, "another machine"),
            ("file:///etc/keys", false, "an unsupported scheme"),
            ("issuer.example", false, "not a URL"),
        ] {
            assert_eq!(asked.parse::<JwksUrl>().is_ok(), accepted, "{why}: {asked}");
        }
        let url: JwksUrl = "https://user:word@a.example/k?secret=1".parse().unwrap();
        assert_eq!(format!("{url:?}"), "JwksUrl(https://a.example/k)", "no password");
    }

    #[test]
    fn the_lifetime_is_read_from_cache_control() {
        for (field, seconds, why) in [
            ("max-age=600", Some(600), "the usual form"),
            ("public, max-age=21600, must-revalidate, no-transform", Some(21_600), "among other directives"),
            ("MAX-AGE = \"60\"", Some(60), "other case and spaces"),
            ("no-store", Some(0), "the response must not be reused"),
            ("no-cache, max-age=600", Some(0), "the shorter lifetime counts"),
            ("max-age=99999999999999999999999", Some(u64::MAX), "for ever"),
            ("max-age=-1", None, "not a number"),
            ("max-age", None, "not a number"),
            ("s-maxage=9", None, "for shared caches"),
            ("", None, "nothing"),
        ] {
            let found = lifetime(field).map(|lifetime| lifetime.as_secs());
            assert_eq!(found, seconds, "{why}: {field}");
        }
    }

    #[test]
    fn the_age_of_a_response_is_subtracted_from_its_lifetime() {
        for (fields, seconds, why) in [
            (&[("cache-control", "max-age=600")][..], Some(600), "directly from its source"),
            (&[("cache-control", "max-age=600"), ("age", "250")], Some(350), "from a cache"),
            (&[("age", "600"), ("cache-control", "max-age=600")], Some(0), "its lifetime has just ended"),
            (&[("cache-control", "max-age=600"), ("age", "9999")], Some(0), "its lifetime ended long ago"),
            (&[("cache-control", "max-age=600"), ("age", "99999999999999999999999")], Some(0), "for ever"),
            (&[("cache-control", "max-age=600"), ("age", " 100, 400")], Some(500), "the first counts"),
            (&[("cache-control", "max-age=600"), ("age", "100"), ("age", "400")], Some(500), "the first counts"),
            (&[("cache-control", "max-age=600"), ("age", "-100")], Some(600), "not an age"),
            (&[("cache-control", "max-age=600"), ("age", "")], Some(600), "not an age"),
            (
                &[("cache-control", "max-age=600"), ("cache-control", "max-age=60"), ("age", "10")],
                Some(50),
                "the shorter",
            ),
            (&[("cache-control", "no-cache"), ("age", "10")], Some(0), "the response must not be reused"),
            (&[("age", "10")], None, "without a lifetime the default counts"),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let found = lifetime_left(&headers).map(|lifetime| lifetime.as_secs());
            assert_eq!(found, seconds, "{why}: {fields:?}");
        }
    }

    proptest! {
        #[test]
        fn no_field_panics(field in "(max-age|no-store|=|,|\"|[0-9]|.){0,20}") {
            let _ = lifetime(&field);
        }
    }
}
