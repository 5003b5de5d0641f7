//! Users of the target, from flags or a file.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use crate::ground::values::InputError;
use crate::spec::secret::{Secret, SecretSource};
use crate::spec::template::{Variables, is_variable_name};

/// A user of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Without a colon, which ends it in HTTP Basic (RFC 7617 section 2).
    pub name: String,
    /// The password at the target; empty where tokens need no login.
    pub password: Secret,
    /// Further columns of a users file, by the names in its first line.
    pub columns: Variables,
}

impl User {
    /// The variables for claims: `username` and the further columns.
    pub fn claims(&self) -> Variables {
        let mut variables = self.columns.clone();
        variables.set(USERNAME, self.name.as_str());
        variables
    }

    /// The variables for steps: `username`, `password` and the further columns.
    pub fn variables(&self) -> Variables {
        let mut variables = self.columns.clone();
        variables.set(USERNAME, self.name.as_str());
        variables.set(PASSWORD, self.password.expose_text().unwrap_or_default());
        variables
    }
}

/// The variables that every user has.
pub const USERNAME: &str = "username";
/// See [`USERNAME`].
pub const PASSWORD: &str = "password";

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

impl FromStr for UserText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                let Ok(password) = password.parse();
                Ok(Self { name: name.to_owned(), password })
            }
            // Not quoted: what was given may be a password.
            _ => Err("a user is NAME:PASSWORD, NAME:env:VARIABLE or NAME:file:PATH".to_owned()),
        }
    }
}

impl UserText {
    /// Reads the password.
    pub fn read(&self) -> Result<User, InputError> {
        Ok(User {
            name: self.name.clone(),
            password: self.password.read("a user's password")?,
            columns: Variables::default(),
        })
    }
}

/// Reads a CSV file of `name,password` (RFC 4180; `#` begins a comment). A first line of `name,password` or
/// `username,password` is a header, which further columns need: they become variables by the names in it.
pub fn read_users(path: &Path) -> Result<Vec<User>, InputError> {
    let shown = path.display();
    let wrong_line = |line: Option<&csv::Position>, problem: String| {
        // Never the line itself, which holds a password.
        let line = line.map_or(0, csv::Position::line);
        InputError(format!(
            "{shown}:{line}: {problem}; write one user a line: name,password, and further columns where a first line of \
             name,password,... names them"
        ))
    };
    let file =
        std::fs::File::open(path).map_err(|error| InputError(format!("cannot read --users {shown}: {error}")))?;
    let mut users = Vec::new();
    let mut header: Option<Vec<Arc<str>>> = None;
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .comment(Some(b'#'))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(file);
    for row in rows.records() {
        let row = row.map_err(|error| wrong_line(error.position(), error.to_string()))?;
        let read = if header.is_none() && users.is_empty() && is_header(&row) {
            columns(&row).map(|columns| header = Some(columns))
        } else {
            user(&row, header.as_deref().unwrap_or_default()).map(|user| users.push(user))
        };
        read.map_err(|problem| wrong_line(row.position(), problem))?;
        if users.len() > USERS_MAX {
            break;
        }
    }
    if users.is_empty() || users.len() > USERS_MAX {
        return Err(InputError(format!("{shown} holds {} users; 1 to {USERS_MAX} are needed", users.len())));
    }
    Ok(users)
}

fn is_header(row: &csv::StringRecord) -> bool {
    matches!((row.get(0), row.get(1)), (Some("name" | USERNAME), Some(PASSWORD)))
}

/// The names of the columns behind the first two.
fn columns(header: &csv::StringRecord) -> Result<Vec<Arc<str>>, String> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for name in header.iter().skip(2) {
        if !is_variable_name(name) {
            return Err(format!("a column's name is of letters, digits, _ and -, not {name:?}"));
        }
        if [USERNAME, PASSWORD].contains(&name) || names.iter().any(|known| &**known == name) {
            return Err(format!("two columns are called {name:?}"));
        }
        names.push(name.into());
    }
    Ok(names)
}

fn user(row: &csv::StringRecord, columns: &[Arc<str>]) -> Result<User, String> {
    let fields = 2 + columns.len();
    if row.len() != fields {
        return Err(format!("{} fields in place of {fields}", row.len()));
    }
    let (name, password) = (&row[0], &row[1]);
    if name.contains(':') {
        return Err("a name may not hold a colon".to_owned());
    }
    if name.is_empty() || password.is_empty() {
        return Err("a name and a password are needed".to_owned());
    }
    let mut further = Variables::default();
    for (column, value) in columns.iter().zip(row.iter().skip(2)) {
        further.set(column.clone(), value);
    }
    Ok(User { name: name.to_owned(), password: Secret::new(password.as_bytes()), columns: further })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_columns_become_variables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.csv");
        std::fs::write(&path, "name,password,tenant\nann,one,acme\n").unwrap();
        let users = read_users(&path).unwrap();
        let variables = users[0].variables();
        for (name, value) in [("username", "ann"), ("password", "one"), ("tenant", "acme")] {
            assert_eq!(variables.get(name), Some(value));
        }
        let shown = format!("{users:?}");
        assert!(!shown.contains("acme") && !shown.contains("one"), "{shown}");
    }

    #[test]
    fn users_are_read_from_a_flag() {
        for (text, name, why) in [
            ("gonzalo:password", Some("gonzalo"), "as the original has it"),
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
            ("# who\n\nann,\"o,ne\"\n", Ok(1), "comments, empty lines and quotes"),
            ("", Err("holds 0 users"), "nobody"),
            ("ann,one\nbob\n", Err("users.csv:2: 1 fields"), "the line is named"),
            ("ann,one,two\n", Err("3 fields"), "nothing names the third"),
            ("name,password,tenant\nann,one,a\n", Ok(1), "the first line does"),
            ("username,password\nann,one\n", Ok(1), "a header without more"),
            ("name,password,tenant\nann,one\n", Err("2 fields in place of 3"), "one is missing"),
            ("name,password,a b\nann,one,a\n", Err("not \"a b\""), "no variable"),
            ("name,password,a,a\nann,1,a,b\n", Err("two columns"), "which of them?"),
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
