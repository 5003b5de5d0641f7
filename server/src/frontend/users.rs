//! The users that may log in: names and Argon2 hashes of passwords (RFC 9106), from a file or the demo user.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

/// The name of the demo user, who is accepted only if every listener is on loopback.
pub const DEMO_NAME: &str = "gonzalo";
/// The demo user's password, which is public.
pub const DEMO_PASSWORD: &str = "password";

/// The longest name: it is in every token, and a token must fit into the head of a request.
pub const NAME_BYTES_MAX: usize = 128;

/// The most memory of one verification, so that a typo in a file cannot exhaust the memory of the machine.
pub const HASH_MEMORY_KIB_MAX: u32 = 256 * 1024;

/// The most passes of a hash over its memory, which limits the time of one verification.
pub const HASH_PASSES_MAX: u32 = 16;

/// The users of a frontend, with their passwords hashed.
#[derive(Clone)]
pub struct Users {
    by_name: HashMap<String, PasswordHash>,
    /// The hash with the longest verification, used for unknown names; `None` if there are no users.
    costliest: Option<PasswordHash>,
}

/// The cost of verifying a new hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// OWASP's minimum for Argon2id (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane.
    Standard,
    /// For generated passwords of one load test on one machine: 64 KiB, 1 pass, 1 lane, so that logins take little
    /// processor time from the measured server.
    Embedded,
}

/// Why a users file cannot be used. The path is that of the flag.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file is missing, unreadable or not UTF-8.
    #[error("users file {path}: {1}", path = .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// The line, counted from 1, is invalid. The fault does not show the hash.
    #[error("users file {path}, line {1}: {2}", path = .0.display())]
    Line(PathBuf, usize, LineFault),
    /// The file has no users: nobody could log in.
    #[error("users file {}: no users, expected a line such as `name,$argon2id$...`", .0.display())]
    Empty(PathBuf),
}

/// What is wrong with a line of a users file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// A line without a comma.
    #[error("expected `name,hash`, found no comma")]
    NoComma,
    /// HTTP Basic cannot send the name, or the name would not fit into a token.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes, no colon (RFC 7617) and no control characters")]
    Name,
    /// The name is on an earlier line too.
    #[error("the name `{0}` is on an earlier line too")]
    Duplicate(String),
    /// The hash is not the PHC string of an Argon2 hash.
    #[error("expected an Argon2 hash as a PHC string, such as `$argon2id$v=19$m=19456,t=2,p=1$...`")]
    Hash,
    /// The verification of the hash would take too much memory or time.
    #[error("the hash costs too much: at most m={HASH_MEMORY_KIB_MAX} (KiB) and t={HASH_PASSES_MAX}")]
    Cost,
}

impl Users {
    /// The demo user: [`DEMO_NAME`] with [`DEMO_PASSWORD`].
    ///
    /// # Panics
    /// If the operating system has no randomness.
    pub fn demo() -> Self {
        let line = format!("{DEMO_NAME},{}", hash(DEMO_PASSWORD, Cost::Standard));
        Self::parse(&line).unwrap_or_else(|(_, fault)| unreachable!("the demo user: {fault}"))
    }

    /// Reads a file of `name,hash` lines, each hash a PHC string of Argon2.
    ///
    /// Empty lines and lines that begin with `#` are skipped. The first comma of a line is the separator, because
    /// hashes contain commas too. The hash may be in double quotes, as CSV writers do.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, UsersError> {
        let path = path.as_ref();
        let owned = || path.to_path_buf();
        let text = fs::read_to_string(path).map_err(|source| UsersError::Read(owned(), source))?;
        let users = Self::parse(&text).map_err(|(line, fault)| UsersError::Line(owned(), line, fault))?;
        if users.by_name.is_empty() { Err(UsersError::Empty(owned())) } else { Ok(users) }
    }

    /// Whether this is the password of this user. For an unknown name the check takes as long as for the costliest
    /// user.
    ///
    /// Blocks, maybe for tens of milliseconds, and uses the memory of the hash: must not run on a thread that serves
    /// connections.
    pub fn verify(&self, name: &str, password: &str) -> bool {
        let known = self.by_name.get(name);
        let Some(hash) = known.or(self.costliest.as_ref()) else {
            // Without users there is no name that the time could reveal.
            return false;
        };
        let matches = Argon2::default().verify_password(password.as_bytes(), hash);
        known.is_some() && matches.is_ok()
    }

    /// The users in the text of a file, or the first invalid line (from 1) and its fault.
    fn parse(text: &str) -> Result<Self, (usize, LineFault)> {
        let mut by_name = HashMap::new();
        let mut costliest: Option<(u64, PasswordHash)> = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = parse_line(line).map_err(|fault| (index + 1, fault))?;
            let cost = cost_kib_passes(&hash).map_err(|fault| (index + 1, fault))?;
            if costliest.as_ref().is_none_or(|(most, _)| cost > *most) {
                costliest = Some((cost, hash.clone()));
            }
            if by_name.insert(name.to_owned(), hash).is_some() {
                return Err((index + 1, LineFault::Duplicate(name.to_owned())));
            }
        }
        Ok(Self { by_name, costliest: costliest.map(|(_, hash)| hash) })
    }
}

/// The Argon2id hash of a password as a PHC string, with a salt of 16 random bytes.
///
/// # Panics
/// If the operating system has no randomness: no secret is safe on such a machine.
pub fn hash(password: &str, cost: Cost) -> String {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params())
        .hash_password(password.as_bytes())
        .expect("the operating system has randomness for a salt")
        .to_string()
}

impl Cost {
    fn params(self) -> Params {
        let (memory_kib, passes, lanes) = match self {
            Self::Standard => (19 * 1024, 2, 1),
            Self::Embedded => (64, 1, 1),
        };
        Params::new(memory_kib, passes, lanes, None).expect("constants within Argon2's ranges")
    }
}

fn parse_line(line: &str) -> Result<(&str, PasswordHash), LineFault> {
    let (name, hash) = line.split_once(',').ok_or(LineFault::NoComma)?;
    let (name, hash) = (name.trim(), hash.trim());
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if !fits || name.contains(|c: char| c == ':' || c.is_control()) {
        return Err(LineFault::Name);
    }
    let unquoted = hash.strip_prefix('"').and_then(|h| h.strip_suffix('"'));
    let hash = PasswordHash::new(unquoted.unwrap_or(hash)).map_err(|_| LineFault::Hash)?;
    Ok((name, hash))
}

/// Memory in KiB times passes. The time of a verification is proportional to it.
fn cost_kib_passes(hash: &PasswordHash) -> Result<u64, LineFault> {
    let is_argon2 = Algorithm::try_from(hash.algorithm.as_str()).is_ok();
    let is_known = hash.version.is_none_or(|v| Version::try_from(v).is_ok());
    let is_whole = hash.salt.is_some() && hash.hash.is_some();
    let params = Params::try_from(hash).map_err(|_| LineFault::Hash)?;
    if !is_argon2 || !is_known || !is_whole {
        return Err(LineFault::Hash);
    }
    if params.m_cost() > HASH_MEMORY_KIB_MAX || params.t_cost() > HASH_PASSES_MAX {
        return Err(LineFault::Cost);
    }
    Ok(u64::from(params.m_cost()) * u64::from(params.t_cost()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_demo_user_has_the_public_password() {
        let users = Users::demo();
        for (name, password, expected, why) in [
            (DEMO_NAME, DEMO_PASSWORD, true, "the correct password"),
            (DEMO_NAME, "Password", false, "the case of a password matters"),
            (DEMO_NAME, "", false, "an empty password is no wildcard"),
            ("Gonzalo", DEMO_PASSWORD, false, "the case of a name matters"),
            ("", DEMO_PASSWORD, false, "an empty name"),
        ] {
            assert_eq!(users.verify(name, password), expected, "{why}");
        }
    }

    #[test]
    fn an_unknown_name_is_checked_with_the_costliest_hash() {
        let (cheap, costly) = (hash("a", Cost::Embedded), hash("b", Cost::Standard));
        for order in [[&cheap, &costly], [&costly, &cheap]] {
            let users = Users::parse(&format!("first,{}\nsecond,{}", order[0], order[1])).unwrap();
            let costliest = users.costliest.as_ref().map(ToString::to_string);
            assert_eq!(costliest.as_ref(), Some(&costly));
            assert!(!users.verify("third", "b"), "even with the password of that hash");
        }
        assert!(!Users::parse("").unwrap().verify("anybody", "a"));
    }

    #[test]
    fn spaces_comments_and_quotes_are_accepted() {
        let h = hash("secret", Cost::Embedded);
        for (text, name, why) in [
            (format!("ana,{h}"), "ana", "no line end"),
            (format!("# who\n\nana,{h}\r\n"), "ana", "comment, empty line, CRLF"),
            (format!("ana,\"{h}\""), "ana", "a quoted hash"),
            (format!("  ana , {h} "), "ana", "spaces around the fields"),
            (format!("ana maría,{h}"), "ana maría", "names are UTF-8"),
        ] {
            let users = Users::parse(&text).unwrap_or_else(|e| panic!("{why}: {e:?}"));
            assert!(users.verify(name, "secret"), "{why}");
            assert_eq!(users.by_name.len(), 1, "{why}");
        }
    }

    #[test]
    fn an_invalid_line_is_refused_with_its_number_and_fault() {
        let h = hash("secret", Cost::Embedded);
        let rest = h.split_once("m=64,t=1").unwrap().1.to_owned();
        for (text, line, fault, why) in [
            ("ana".into(), 1, LineFault::NoComma, "a name alone"),
            (format!("ok,{h}\n,{h}"), 2, LineFault::Name, "no name"),
            (format!("a:b,{h}"), 1, LineFault::Name, "Basic ends the name at a colon"),
            (format!("{},{h}", "n".repeat(129)), 1, LineFault::Name, "too long a name"),
            ("# c\nana,secret".into(), 2, LineFault::Hash, "the password itself"),
            ("ana,$2b$10$abcdefghijklmnopqrstuv".into(), 1, LineFault::Hash, "bcrypt"),
            ("ana,$argon2id$v=19$m=64,t=1,p=1".into(), 1, LineFault::Hash, "neither salt nor hash"),
            (h.replace("$argon2id", "ana,$scrypt"), 1, LineFault::Hash, "not Argon2"),
            (format!("ana,$argon2id$v=19$m=64,t=99{rest}"), 1, LineFault::Cost, "too many passes"),
            (format!("ana,$argon2id$v=19$m=999999,t=1{rest}"), 1, LineFault::Cost, "too much memory"),
            (format!("ana,{h}\nana,{h}"), 2, LineFault::Duplicate("ana".into()), "two hashes for one name"),
        ] {
            assert_eq!(Users::parse(&text).err(), Some((line, fault)), "{why}");
        }
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.csv");
        let message = || Users::load(&path).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message().contains("users.csv: "), "the error names a missing file");
        fs::write(&path, "# nobody\n").unwrap();
        assert!(message().contains("no users"), "a file without users is refused");
        fs::write(&path, "# one\nana;oops\n").unwrap();
        assert!(message().ends_with("users.csv, line 2: expected `name,hash`, found no comma"));
        fs::write(&path, format!("ana,{}\n", hash("secret", Cost::Embedded))).unwrap();
        assert!(Users::load(&path).unwrap().verify("ana", "secret"));
    }

    #[test]
    fn equal_passwords_have_different_hashes() {
        assert_ne!(hash("a", Cost::Embedded), hash("a", Cost::Embedded));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_parsed_or_refused(text in "([a-z#]{0,3}[,\"$=:]{0,2}(\\$argon2id\\$v=19)?\\PC{0,8}\n?){0,6}") {
            if let Err((line, _)) = Users::parse(&text) {
                prop_assert!(line >= 1 && line <= text.lines().count());
            }
        }
    }
}
