//! The users of a shard's sockets, each name kept once.

use std::{collections::HashMap, sync::Arc};

/// The user of a session: an index into its shard's [`Users`], or anonymous.
///
/// A token need not name a user; such a session is anonymous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserId(u32);

impl UserId {
    /// The user of a session whose token names none.
    pub const ANONYMOUS: Self = Self(u32::MAX);
}

/// The names behind the [`UserId`]s of one shard, counted by the sessions that hold them.
///
/// There are never more names than sessions, so the limit on connections bounds this table too.
#[derive(Debug, Default)]
pub struct Users {
    ids: HashMap<Arc<str>, u32>,
    slots: Vec<Slot>,
    /// Indices of `slots` whose count is 0.
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    /// Sessions of this user; a slot at 0 is free and its name no longer in `ids`.
    sessions: u32,
}

impl Users {
    /// The id of `name` for one more session; each must be [released](Self::release) once.
    pub fn attach(&mut self, name: Option<&str>) -> UserId {
        let Some(name) = name else {
            return UserId::ANONYMOUS;
        };
        if let Some(&id) = self.ids.get(name) {
            self.slots[id as usize].sessions += 1;
            return UserId(id);
        }
        let slot = Slot { name: name.into(), sessions: 1 };
        let name = Arc::clone(&slot.name);
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                // A shard holds fewer sockets than a u32 counts: descriptors are ints.
                (self.slots.len() - 1) as u32
            }
        };
        self.ids.insert(name, id);
        UserId(id)
    }

    /// The name of an attached id; `None` for an anonymous user.
    pub fn name(&self, id: UserId) -> Option<&str> {
        self.slots.get(id.0 as usize).map(|slot| &*slot.name)
    }

    /// Releases one session's user.
    pub fn release(&mut self, id: UserId) {
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            return;
        };
        slot.sessions = slot.sessions.saturating_sub(1);
        if slot.sessions == 0 && self.ids.remove(&slot.name).is_some() {
            self.free.push(id.0);
        }
    }

    /// How many users have a session now.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Does no user have a session?
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_while_a_session_holds_it() {
        let mut users = Users::default();
        let first = users.attach(Some("ann"));
        let second = users.attach(Some("ann"));
        let other = users.attach(Some("bob"));
        assert_eq!(first, second, "one name, one id");
        assert_ne!(first, other);

        users.release(first);
        assert_eq!(users.name(second), Some("ann"), "one session still holds it");
        users.release(second);
        assert_eq!(users.len(), 1, "ann is gone, bob stays");

        let next = users.attach(Some("cid"));
        assert_eq!(next, first, "a free slot is used again");
        assert_eq!(users.name(next), Some("cid"));
        assert_eq!(users.name(other), Some("bob"));
    }

    #[test]
    fn an_anonymous_user_is_not_counted() {
        let mut users = Users::default();
        let nobody = users.attach(None);
        assert_eq!(nobody, UserId::ANONYMOUS);
        assert_eq!(users.name(nobody), None);
        users.release(nobody);
        assert!(users.is_empty());
    }
}
