//! The users of a shard's sessions. Each name is stored once.

use std::{collections::HashMap, sync::Arc};

/// The user of a session: an index into its shard's [`Users`], or anonymous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId(u32);

impl UserId {
    /// The user of a session whose token names none.
    pub const ANONYMOUS: Self = Self(u32::MAX);
}

/// The names of the users of one shard's sessions, with the number of sessions of each. There are never more names than
/// sessions, so that the limit on connections also limits this table.
#[derive(Debug, Default)]
pub struct Users {
    ids: HashMap<Arc<str>, u32>,
    entries: Vec<Entry>,
    /// Indices of `entries` whose count is 0.
    free: Vec<u32>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    /// The number of the user's sessions; an entry at 0 is free, and its name is not in `ids`.
    sessions: u32,
}

impl Users {
    /// Counts a session of the user `name` and returns the user's id, which must be [released](Self::release) once.
    pub fn attach(&mut self, name: Option<&str>) -> UserId {
        let Some(name) = name else {
            return UserId::ANONYMOUS;
        };
        if let Some(&id) = self.ids.get(name) {
            self.entries[id as usize].sessions += 1;
            return UserId(id);
        }
        let entry = Entry { name: name.into(), sessions: 1 };
        let name = Arc::clone(&entry.name);
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                // A shard holds fewer sockets than a u32 counts: descriptors are ints.
                (self.entries.len() - 1) as u32
            }
        };
        self.ids.insert(name, id);
        UserId(id)
    }

    /// The name of an attached id; `None` for an anonymous user.
    pub fn name(&self, id: UserId) -> Option<&str> {
        self.entries.get(id.0 as usize).map(|entry| &*entry.name)
    }

    /// Releases one session's user.
    pub fn release(&mut self, id: UserId) {
        let Some(entry) = self.entries.get_mut(id.0 as usize) else {
            return;
        };
        entry.sessions = entry.sessions.saturating_sub(1);
        if entry.sessions == 0 && self.ids.remove(&entry.name).is_some() {
            self.free.push(id.0);
        }
    }

    /// Whether no user has a session.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_stored_while_the_user_has_a_session() {
        let mut users = Users::default();
        let first = users.attach(Some("ann"));
        let second = users.attach(Some("ann"));
        let other = users.attach(Some("bob"));
        assert_eq!(first, second, "one name, one id");
        assert_ne!(first, other);

        users.release(first);
        assert_eq!(users.name(second), Some("ann"), "one session is left");
        users.release(second);
        assert_eq!(users.ids.len(), 1, "ann is removed, bob stays");

        let next = users.attach(Some("cid"));
        assert_eq!(next, first, "a free entry is used again");
        assert_eq!(users.name(next), Some("cid"));
        assert_eq!(users.name(other), Some("bob"));
    }

    #[test]
    fn an_anonymous_user_is_not_counted() {
        let mut users = Users::default();
        let anonymous = users.attach(None);
        assert_eq!(anonymous, UserId::ANONYMOUS);
        assert_eq!(users.name(anonymous), None);
        users.release(anonymous);
        assert!(users.is_empty());
    }
}
