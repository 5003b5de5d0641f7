//! URLs and paths as errors and results may show them.

use url::Url;

/// A path whose query, which may be secret, is left out.
pub fn without_query(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

/// A URL whose query and credentials, which may be secret, are left out.
pub fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for URLs that cannot hold credentials.
    let _none_to_remove = url.set_password(None);
    let _none_to_remove = url.set_username("");
    url.to_string()
}

/// Scheme, host, port and path of a URL.
pub fn shown(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or(""), url.path())
}
