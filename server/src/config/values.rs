//! The values of flags. Each is parsed once into a type that cannot be invalid.

use std::{env, fmt, fs, path::PathBuf, str::FromStr, time::Duration};

/// The secret of the original system: public, and shorter than RFC 7518 allows.
pub const DEMO_SECRET: &str = "my_super_secret_key";

/// RFC 7518 section 3.2: an HS256 key has at least as many bytes as its hash.
pub const SECRET_BYTES_MIN: usize = 32;

/// What a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// The socket server alone.
    Gate,
    /// The login pages alone.
    Frontend,
    /// Both, each on its own port.
    Both,
}

impl Role {
    /// Whether the role includes the gate.
    pub fn gate(self) -> bool {
        self != Role::Frontend
    }

    /// Whether the role includes the frontend.
    pub fn frontend(self) -> bool {
        self != Role::Gate
    }
}

/// A secret, or its source. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The text itself.
    Text(String),
    /// `env:NAME`: the value of an environment variable, which other users' `ps` does not show.
    Env(String),
    /// `file:PATH`: a file's content, without the line's end that editors add.
    File(PathBuf),
}

/// A secret that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment has no such variable, or it is not UTF-8.
    #[error("--secret env:{0}: there is no such environment variable")]
    NoVariable(String),
    /// The file could not be read.
    #[error("--secret file:{path}: {1}", path = .0.display())]
    File(PathBuf, std::io::Error),
    /// The secret has no bytes.
    #[error("--secret is empty")]
    Empty,
}

impl Secret {
    /// The secret's bytes, never empty.
    pub fn read(&self) -> Result<Vec<u8>, SecretError> {
        let bytes = match self {
            Secret::Text(text) => text.clone().into_bytes(),
            Secret::Env(name) => env::var(name).map_err(|_| SecretError::NoVariable(name.clone()))?.into_bytes(),
            Secret::File(path) => {
                without_line_end(fs::read(path).map_err(|error| SecretError::File(path.clone(), error))?)
            }
        };
        if bytes.is_empty() { Err(SecretError::Empty) } else { Ok(bytes) }
    }
}

fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    bytes
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if let Some(name) = text.strip_prefix("env:") {
            Secret::Env(name.to_owned())
        } else if let Some(path) = text.strip_prefix("file:") {
            Secret::File(path.into())
        } else {
            Secret::Text(text.to_owned())
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A time as a user writes it: `250ms`, `10s`, `1.5m`, `2h`; a number without a unit is in seconds.
///
/// # Errors
/// The text and the allowed forms.
pub fn duration(text: &str) -> Result<Duration, String> {
    let number_bytes = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_bytes);
    let unit_s = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time: ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is no time such as 250ms, 10s or 2h"))?;
    Duration::try_from_secs_f64(number * unit_s).map_err(|_| format!("`{text}` is too long"))
}

/// Numbers of processors as taskset(1) writes them, `0,2-3`: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

/// CPU_SETSIZE: the size of the kernel's fixed-size masks.
const CPUS_MAX: usize = 1024;

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |number: &str| match number.trim().parse::<usize>() {
                Ok(cpu) if cpu < CPUS_MAX => Ok(cpu),
                _ => Err(format!("`{part}` names no cpu: write numbers below {CPUS_MAX}, as in 0,2-3")),
            };
            cpus.extend(number(first)?..=number(last)?);
        }
        if cpus.is_empty() {
            return Err(format!("`{text}` is no cpu: a range goes upwards, as in 2-3"));
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Self(cpus))
    }
}

/// An origin in the form of the header `Origin` (RFC 6454 section 6.2), with which it is compared byte by byte.
pub fn origin(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is no origin: write scheme, host and port, as in https://app.example:8443");
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let origin = url.origin();
    if !origin.is_tuple() || url.path() != "/" || url.query().is_some() {
        return Err(wrong());
    }
    Ok(origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_get_the_form_that_browsers_send() {
        for (text, expected) in [
            ("http://app", Some("http://app")),
            ("https://App.example:443/", Some("https://app.example")),
            ("http://127.0.0.1:8000", Some("http://127.0.0.1:8000")),
            ("app.example", None),
            ("http://app/path", None),
            ("http://app/?a=b", None),
            ("file:///page.html", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(origin(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn times_are_numbers_with_units() {
        for (text, expected) in [
            ("250ms", Some(Duration::from_millis(250))),
            ("10s", Some(Duration::from_secs(10))),
            ("1.5m", Some(Duration::from_secs(90))),
            ("2h", Some(Duration::from_secs(7200))),
            ("0", Some(Duration::ZERO)),
            ("10 s", None),
            ("s", None),
            ("-1s", None),
            ("1e3s", None),
            ("1d", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn cpu_lists_have_numbers_and_ranges() {
        for (text, expected) in [
            ("0", Some(vec![0])),
            ("3,0-1", Some(vec![0, 1, 3])),
            ("1,1", Some(vec![1])),
            ("2-1", None),
            ("", None),
            ("a", None),
            ("0-99999999", None),
        ] {
            assert_eq!(text.parse().ok(), expected.map(CpuList), "{text}");
        }
    }

    #[test]
    fn secrets_are_read_from_their_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "s3cret\r\n").unwrap();
        let at = |path: &std::path::Path| format!("file:{}", path.display());
        for (text, expected, why) in [
            ("s3cret".to_owned(), Some(&b"s3cret"[..]), "the text itself"),
            (at(&path), Some(b"s3cret"), "a file, without its line end"),
            (at(&folder.path().join("none")), None, "no such file"),
            ("env:GATEKEEPER_NO_SUCH_VARIABLE".to_owned(), None, "no such variable"),
            (String::new(), None, "an empty secret"),
        ] {
            let secret: Secret = text.parse().unwrap();
            assert_eq!(secret.read().ok().as_deref(), expected, "{why}");
            assert_eq!(format!("{secret:?}"), "Secret(..)", "never printed");
        }
    }
}
