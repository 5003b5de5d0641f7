//! Secrets: read from where they are kept, never stored, never printed.

use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::ground::values::InputError;

/// Bytes that no output of this program may hold: `Debug` hides them and nothing displays or serialises them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes the bytes as they are.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes; only for the code that uses the secret.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, where they are UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

/// Where a secret is kept: `TEXT`, `env:NAME` or `file:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// It was written out.
    Text(Secret),
    /// An environment variable holds it.
    Env(String),
    /// A file holds it; one line end after it is not part of it.
    File(PathBuf),
}

impl SecretSource {
    /// Reads it; `what` names it in errors, as in "the --secret".
    pub fn read(&self, what: &'static str) -> Result<Secret, InputError> {
        let secret = match self {
            Self::Text(secret) => secret.clone(),
            Self::Env(name) => std::env::var_os(name).map(|value| Secret::new(value.into_vec())).ok_or_else(|| {
                InputError(format!("the environment variable {name}, which should hold {what}, is not set"))
            })?,
            Self::File(path) => std::fs::read(path)
                .map(|bytes| Secret::new(without_line_end(&bytes)))
                .map_err(|error| InputError(format!("cannot read {what} from {}: {error}", path.display())))?,
        };
        if secret.expose().is_empty() {
            return Err(InputError(format!("{what} is empty")));
        }
        Ok(secret)
    }
}

impl FromStr for SecretSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if let Some(name) = text.strip_prefix("env:") {
            Self::Env(name.to_owned())
        } else if let Some(path) = text.strip_prefix("file:") {
            Self::File(PathBuf::from(path))
        } else {
            Self::Text(Secret::new(text.as_bytes()))
        })
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_where_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "from a file\r\n").unwrap();
        let missing = folder.path().join("missing");
        for (text, expected, why) in [
            ("plain".to_owned(), Ok("plain"), "text is taken as it is"),
            (format!("file:{}", file.display()), Ok("from a file"), "a line end is no part of it"),
            (format!("file:{}", missing.display()), Err("cannot read"), "a missing file is named"),
            ("env:GATECRASH_TEST_NOT_SET".to_owned(), Err("GATECRASH_TEST_NOT_SET"), "so is a variable"),
            (String::new(), Err("is empty"), "an empty secret signs nothing"),
        ] {
            let source: SecretSource = text.parse().unwrap();
            match (source.read("the --secret"), expected) {
                (Ok(secret), Ok(text)) => assert_eq!(secret.expose(), text.as_bytes(), "{why}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{why}: {error}");
                }
                (got, _) => panic!("{why}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_secret_never_shows() {
        let shown = format!("{:?}", "hunter2".parse::<SecretSource>().unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
