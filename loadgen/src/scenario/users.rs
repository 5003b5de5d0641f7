//! Who logs in.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Secret, SecretError, SecretSource};

/// A user of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Without a colon, which ends it in HTTP Basic (RFC 7617 section 2).
    pub name: String,
    /// What the target knows them by; empty where tokens need no login.
    pub password: Secret,
}

/// A user as a flag gives it: `NAME:PASSWORD`, the password also `env:NAME` or `file:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserText {
    /// Before the first colon.
    pub name: String,
    /// After it.
    pub password: SecretSource,
}

/// More users than this are no user list: a login each would outlast the run.
pub const USERS_MAX: usize = 1_000_000;

/// Why users could not be had.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// A password could not be read.
    #[error(transparent)]
    Password(#[from] SecretError),
    /// The file cannot be read.
    #[error("cannot read --users {path}: {1}", path = .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// A line of it is no user.
    #[error("{path}:{line}: {problem}; write one user a line: name,password", path = .path.display())]
    Line {
        /// As it was named.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with it; never the line itself, which holds a password.
        problem: String,
    },
    /// It holds none, or too many.
    #[error("{path} holds {count} users; 1 to {USERS_MAX} are needed", path = .path.display())]
    Count {
        /// As it was named.
        path: PathBuf,
        /// Users in it.
        count: usize,
    },
}

impl FromStr for UserText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                let Ok(password) = password.parse();
                Ok(Self {
                    name: name.to_owned(),
                    password,
                })
            }
            // Not quoted: what was given may be a password.
            _ => Err("a user is NAME:PASSWORD, NAME:env:VARIABLE or NAME:file:PATH".to_owned()),
        }
    }
}

impl UserText {
    /// Reads the password.
    pub fn read(&self) -> Result<User, UsersError> {
        Ok(User {
            name: self.name.clone(),
            password: self.password.read("a user's password")?,
        })
    }
}

/// Reads a CSV file of `name,password` (RFC 4180, without a header; `#` begins a comment).
pub fn read_users(path: &Path) -> Result<Vec<User>, UsersError> {
    let file = std::fs::File::open(path)
        .map_err(|error| UsersError::Unreadable(path.to_owned(), error))?;
    let mut users = Vec::new();
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .comment(Some(b'#'))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(file);
    for row in rows.records() {
        let row = row.map_err(|error| UsersError::Line {
            path: path.to_owned(),
            line: error.position().map_or(0, csv::Position::line),
            problem: error.to_string(),
        })?;
        let problem = |problem: &str| UsersError::Line {
            path: path.to_owned(),
            line: row.position().map_or(0, csv::Position::line),
            problem: problem.to_owned(),
        };
        match (row.get(0), row.get(1), row.len()) {
            (Some(name), _, _) if name.contains(':') => {
                return Err(problem("a name may not hold a colon"));
            }
            (Some(name), Some(password), 2) if !name.is_empty() && !password.is_empty() => {
                users.push(User {
                    name: name.to_owned(),
                    password: Secret::new(password.as_bytes()),
                });
            }
            (_, _, 2) => return Err(problem("a name and a password are needed")),
            (_, _, fields) => return Err(problem(&format!("{fields} fields in place of 2"))),
        }
        if users.len() > USERS_MAX {
            break;
        }
    }
    if users.is_empty() || users.len() > USERS_MAX {
        return Err(UsersError::Count {
            path: path.to_owned(),
            count: users.len(),
        });
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_from_a_flag() {
        for (text, name, why) in [
            (
                "gonzalo:password",
                Some("gonzalo"),
                "as the original has it",
            ),
            ("a:b:c", Some("a"), "a password may hold a colon"),
            ("gonzalo", None, "no password"),
            (":password", None, "no name"),
            ("gonzalo:", None, "an empty password"),
        ] {
            let user = text.parse::<UserText>().ok().map(|user| user.name);
            assert_eq!(user.as_deref(), name, "{why}");
        }
    }

    #[test]
    fn users_are_read_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.csv");
        for (text, expected, why) in [
            ("ann,one\nbob,two\n", Ok(2), "one a line"),
            (
                "# who\n\nann,\"o,ne\"\n",
                Ok(1),
                "comments, empty lines and quotes",
            ),
            ("", Err("holds 0 users"), "nobody"),
            (
                "ann,one\nbob\n",
                Err("users.csv:2: 1 fields"),
                "the line is named",
            ),
            ("ann,one,two\n", Err("3 fields"), "a third field is a slip"),
            ("a:b,one\n", Err("colon"), "HTTP Basic ends the name there"),
            ("ann,\n", Err("a name and a password"), "no password"),
        ] {
            std::fs::write(&path, text).unwrap();
            match (read_users(&path), expected) {
                (Ok(users), Ok(count)) => assert_eq!(users.len(), count, "{why}"),
                (Err(error), Err(part)) => {
                    let error = error.to_string();
                    assert!(error.contains(part), "{why}: {error}");
                }
                (got, _) => panic!("{why}: {got:?}"),
            }
        }
    }
}
