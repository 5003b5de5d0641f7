//! The sockets of a shard, by a small index.

use slab::Slab;

use crate::connection::Connection;
use crate::socket_id::SocketId;

/// The sockets of a shard.
pub(crate) struct Table<T> {
    entries: Slab<Entry<T>>,
    generation_next: u32,
}

/// One socket: the reactor's part and the service's part.
pub(crate) struct Entry<T> {
    pub(crate) connection: Connection,
    pub(crate) socket: T,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), generation_next: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The name that the next `insert` will use. Of two calls without an insert between them, only the second one's name is
    /// valid.
    pub(crate) fn next_id(&mut self) -> SocketId {
        let generation = self.generation_next;
        self.generation_next = generation.wrapping_add(1);
        SocketId { index: self.entries.vacant_key() as u32, generation }
    }

    /// Puts a socket into the place that `next_id` named.
    pub(crate) fn insert(&mut self, connection: Connection, socket: T) -> &mut Entry<T> {
        self.entries.vacant_entry().insert(Entry { connection, socket })
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut Entry<T>> {
        self.entries.get_mut(id.index as usize).filter(|entry| entry.connection.generation == id.generation)
    }

    /// The socket at a place, whatever its generation.
    pub(crate) fn id_at(&self, index: u32) -> Option<SocketId> {
        let entry = self.entries.get(index as usize)?;
        Some(entry.id(index))
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Entry<T>> {
        self.get_mut(id)?;
        self.entries.try_remove(id.index as usize)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SocketId, &mut Entry<T>)> {
        self.entries.iter_mut().map(|(index, entry)| (entry.id(index as u32), entry))
    }
}

impl<T> Entry<T> {
    fn id(&self, index: u32) -> SocketId {
        SocketId { index, generation: self.connection.generation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Stage;
    use crate::sys;

    fn insert(table: &mut Table<u8>, socket: u8) -> SocketId {
        let id = table.next_id();
        table.insert(Connection::new(sys::event_counter().unwrap(), id, Stage::Open, None), socket);
        id
    }

    #[test]
    fn parked_socket_costs_40_bytes_beside_its_state() {
        assert!(size_of::<Entry<()>>() <= 40, "{}", size_of::<Entry<()>>());
    }

    #[test]
    fn old_id_never_finds_the_new_socket_in_its_place() {
        let mut table = Table::new();
        let old = insert(&mut table, 1);
        assert_eq!(table.remove(old).map(|entry| entry.socket), Some(1));
        let new = insert(&mut table, 2);
        assert_eq!(old.index, new.index, "the place is used again");
        assert!(table.get_mut(old).is_none());
        assert!(table.remove(old).is_none());
        assert_eq!(table.get_mut(new).map(|entry| entry.socket), Some(2));
        assert_eq!(table.len(), 1);
        let data = new.to_bits();
        assert_eq!(SocketId::from_bits(data), new);
    }
}
