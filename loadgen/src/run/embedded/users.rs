//! The embedded server's users: made up, hashed at rest, gone from the disk once they are read.

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gatekeeper::frontend::users::{Cost, hash};

use crate::run::embedded::error::EmbeddedError;
use crate::spec::{Secret, User};

/// Bytes of a made password: as hard to guess as an AES-128 key.
const PASSWORD_BYTES: usize = 16;

/// So many users with random passwords.
pub(super) fn made(count: usize) -> Vec<User> {
    let user = |number: usize| {
        let password: String =
            rand::random::<[u8; PASSWORD_BYTES]>().iter().map(|byte| format!("{byte:02x}")).collect();
        User {
            name: format!("user-{number}"),
            password: Secret::new(password.into_bytes()),
            columns: Default::default(),
        }
    };
    (1..=count).map(user).collect()
}

/// A users file of the frontend in a folder of its own, readable by this user alone; removed when dropped.
#[derive(Debug)]
pub(super) struct UsersFile {
    folder: PathBuf,
    path: PathBuf,
}

impl UsersFile {
    pub(super) fn write(users: &[User]) -> Result<Self, EmbeddedError> {
        let name = format!("gatecrash-{}-{:016x}", std::process::id(), rand::random::<u64>());
        let folder = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let file = Self { path: folder.join("users"), folder };
        let mut out = File::options().write(true).create_new(true).mode(0o600).open(&file.path)?;
        let mut text = String::new();
        for user in users {
            if user.name.contains([',', '"', '\n', '\r']) {
                return Err(EmbeddedError::Name(user.name.clone()));
            }
            let password = user.password.expose_text().unwrap_or_default();
            // The cheap cost is for users that live as long as the run: logging in is not what is measured.
            text.push_str(&format!("{},{}\n", user.name, hash(password, Cost::Embedded)));
        }
        out.write_all(text.as_bytes())?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UsersFile {
    fn drop(&mut self) {
        // What cannot be removed holds hashes of made passwords that no server knows any more.
        let _left_behind = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use gatekeeper::frontend::users::Users;

    use super::*;

    #[test]
    fn made_users_log_in_at_the_frontend() {
        let users = made(3);
        let file = UsersFile::write(&users).unwrap();
        let known = Users::load(file.path()).unwrap();
        for user in &users {
            assert!(known.verify(&user.name, user.password.expose_text().unwrap()), "{}", user.name);
        }
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(users[0].password.expose_text().unwrap()), "hashed at rest");
        let path = file.path().to_owned();
        drop(file);
        assert!(!path.exists() && !path.parent().unwrap().exists(), "nothing is left behind");
    }

    #[test]
    fn a_name_that_breaks_the_file_is_refused() {
        for name in ["a,b", "a\nb", "\"a"] {
            let user = User { name: name.to_owned(), password: Secret::new(*b"x"), columns: Default::default() };
            assert!(UsersFile::write(&[user]).is_err(), "{name:?}");
        }
    }
}
