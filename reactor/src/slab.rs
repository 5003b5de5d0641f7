//! The sockets of a shard, by a small index.

use slab::Slab;

use crate::link::Link;

/// Names a socket of one shard for as long as the process lives: its place in the slab, and a generation that tells it
/// from those that had the place before. (The generation is one of 2^32 and counts all sockets of the shard.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    /// Below 2^31: no process has more descriptors.
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SocketId {
    /// The name as a number: what epoll carries with each event of this socket, and what a program may keep that is
    /// to know nothing of sockets.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The name behind such a number. One that never was a name is the name of no socket.
    pub fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// The sockets of a shard.
pub(crate) struct Table<T> {
    entries: Slab<Entry<T>>,
    generation_next: u32,
}

/// One socket: the reactor's part and the service's part.
pub(crate) struct Entry<T> {
    pub(crate) link: Link,
    pub(crate) socket: T,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), generation_next: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The name that the next `insert` will use. Asking twice without an insert gives two names, of which only the
    /// newer is good.
    pub(crate) fn next_id(&mut self) -> SocketId {
        let generation = self.generation_next;
        self.generation_next = generation.wrapping_add(1);
        SocketId { index: self.entries.vacant_key() as u32, generation }
    }

    /// Puts a socket into the place that `next_id` named.
    pub(crate) fn insert(&mut self, link: Link, socket: T) -> &mut Entry<T> {
        self.entries.vacant_entry().insert(Entry { link, socket })
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut Entry<T>> {
        self.entries.get_mut(id.index as usize).filter(|entry| entry.link.generation == id.generation)
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
        SocketId { index, generation: self.link.generation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Stage;

    fn fd() -> std::os::fd::OwnedFd {
        rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap()
    }

    fn insert(table: &mut Table<u8>, socket: u8) -> SocketId {
        let id = table.next_id();
        table.insert(Link::new(fd(), id, Stage::Open, None), socket);
        id
    }

    #[test]
    fn a_parked_socket_costs_little_beside_its_state() {
        assert!(size_of::<Entry<()>>() <= 40, "{}", size_of::<Entry<()>>());
    }

    #[test]
    fn an_old_name_never_finds_the_new_socket_in_its_place() {
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
