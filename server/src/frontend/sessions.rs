//! The login sessions: in memory, with limits on number and idle time.

use std::collections::HashMap;
use std::fmt;
use std::future::{self, Future};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};

/// The shortest time between two searches of a full store for idle sessions. Each search reads all sessions.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The sessions of one frontend.
///
/// The memory store of tower-sessions never removes a session. This store ends idle sessions, whatever their cookies
/// say. When it is full, it refuses new sessions: existing logins stay valid.
#[derive(Clone)]
pub(super) struct Sessions {
    table: Arc<Mutex<Table>>,
}

/// The sessions. Each method takes the time as an argument.
struct Table {
    held: HashMap<Id, StoredSession>,
    held_max: usize,
    idle_max: Duration,
    swept_at: Option<Instant>,
}

struct StoredSession {
    record: Record,
    used_at: Instant,
}

impl Sessions {
    /// A store of at most `held_max` sessions. A session that is not used for `idle_max` ends.
    pub(super) fn new(held_max: usize, idle_max: Duration) -> Self {
        Self { table: Arc::new(Mutex::new(Table::new(held_max, idle_max))) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is consistent after each step, therefore it stays usable after a panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn new(held_max: usize, idle_max: Duration) -> Self {
        Self { held: HashMap::new(), held_max, idle_max, swept_at: None }
    }

    /// Adds a new session, with a new id if another session has this one.
    fn create(&mut self, record: &mut Record, now: Instant) -> Result<()> {
        if self.held.len() >= self.held_max {
            self.sweep(now);
        }
        if self.held.len() >= self.held_max {
            return Err(Error::Backend(format!("the limit of {} sessions is reached", self.held_max)));
        }
        while self.held.contains_key(&record.id) {
            record.id = Id::default();
        }
        let held = StoredSession { record: record.clone(), used_at: now };
        self.held.insert(record.id, held);
        Ok(())
    }

    /// Updates a session, unless it has ended.
    fn save(&mut self, record: &Record, now: Instant) -> Result<()> {
        let idle_max = self.idle_max;
        match self.held.get_mut(&record.id) {
            Some(held) if held.is_alive(idle_max, now) => {
                held.record = record.clone();
                held.used_at = now;
                Ok(())
            }
            _ => Err(Error::Backend("the session has ended".to_owned())),
        }
    }

    /// The session of this id. Counts as a use of the session.
    fn load(&mut self, id: &Id, now: Instant) -> Option<Record> {
        let idle_max = self.idle_max;
        let held = self.held.get_mut(id)?;
        if !held.is_alive(idle_max, now) {
            self.held.remove(id);
            return None;
        }
        held.used_at = now;
        Some(held.record.clone())
    }

    fn sweep(&mut self, now: Instant) {
        let swept_before = self.swept_at.map(|at| now.saturating_duration_since(at));
        if swept_before.is_none_or(|ago| ago >= SWEEP_EVERY) {
            let idle_max = self.idle_max;
            self.held.retain(|_, held| held.is_alive(idle_max, now));
            self.swept_at = Some(now);
        }
    }
}

impl StoredSession {
    fn is_alive(&self, idle_max: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.used_at) < idle_max
    }
}

/// A method of [`SessionStore`], whose future is always ready.
macro_rules! ready {
    ($name:ident, $self:ident, $argument:ident: $type:ty => $output:ty, $result:expr) => {
        fn $name<'a, 'b, 'f>(&'a $self, $argument: $type) -> Pin<Box<dyn Future<Output = Result<$output>> + Send + 'f>>
        where
            'a: 'f,
            'b: 'f,
            Self: 'f,
        {
            Box::pin(future::ready($result))
        }
    };
}

impl SessionStore for Sessions {
    ready!(create, self, record: &'b mut Record => (), self.table().create(record, Instant::now()));
    ready!(save, self, record: &'b Record => (), self.table().save(record, Instant::now()));
    ready!(load, self, id: &'b Id => Option<Record>, Ok(self.table().load(id, Instant::now())));
    ready!(delete, self, id: &'b Id => (), {
        self.table().held.remove(id);
        Ok(())
    });
}

/// Shows only the number of sessions: an id in a log would let a reader log in.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.table().held.len();
        f.debug_struct("Sessions").field("held", &held).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower_sessions::cookie::time::OffsetDateTime;

    const IDLE_MAX: Duration = Duration::from_secs(10);

    #[test]
    fn a_session_ends_after_its_idle_time() {
        let (mut table, t0) = (table(2), Instant::now());
        let id = create(&mut table, t0).unwrap();
        for (at_s, alive, why) in [
            (9, true, "idle for less than the limit"),
            (18, true, "each use restarts the idle time"),
            (28, false, "ten seconds after the last use"),
            (28, false, "it does not come back"),
        ] {
            let now = t0 + Duration::from_secs(at_s);
            assert_eq!(table.load(&id, now).is_some(), alive, "{why}");
        }
        assert!(table.held.is_empty());
    }

    #[test]
    fn a_full_store_refuses_new_sessions_and_keeps_old_ones() {
        let (mut table, t0) = (table(2), Instant::now());
        let first = create(&mut table, t0).unwrap();
        create(&mut table, t0).unwrap();
        assert!(create(&mut table, t0).is_err(), "full");
        assert!(table.load(&first, t0 + Duration::from_secs(9)).is_some());
        let later = t0 + Duration::from_secs(11);
        create(&mut table, later).expect("the second was idle and is removed");
        assert!(create(&mut table, later).is_err(), "the first is still in use");
    }

    #[test]
    fn an_ended_session_cannot_be_saved() {
        let (mut table, t0) = (table(2), Instant::now());
        let id = create(&mut table, t0).unwrap();
        let record = table.load(&id, t0).unwrap();
        table.save(&record, t0).expect("still held");
        assert!(table.save(&record, t0 + IDLE_MAX).is_err(), "idle");
        table.held.remove(&id);
        assert!(table.save(&record, t0).is_err(), "logged out");
        assert!(table.held.is_empty());
    }

    #[test]
    fn a_duplicate_id_is_replaced() {
        let (mut table, t0) = (table(2), Instant::now());
        let taken = create(&mut table, t0).unwrap();
        let mut record = record();
        record.id = taken;
        table.create(&mut record, t0).unwrap();
        assert_ne!(record.id, taken);
    }

    #[test]
    fn debug_shows_no_id() {
        let sessions = Sessions::new(2, IDLE_MAX);
        create(&mut sessions.table(), Instant::now()).unwrap();
        assert_eq!(format!("{sessions:?}"), "Sessions { held: 1, .. }");
    }

    fn table(held_max: usize) -> Table {
        Table::new(held_max, IDLE_MAX)
    }

    fn create(table: &mut Table, now: Instant) -> Result<Id> {
        let mut record = record();
        table.create(&mut record, now).map(|()| record.id)
    }

    fn record() -> Record {
        Record { id: Id::default(), data: HashMap::default(), expiry_date: OffsetDateTime::UNIX_EPOCH }
    }
}
