//! The state that all parts of the engine share, and one socket in a callback.

use reactor::Io;

use crate::drive::engine::reporter::Reporter;
use crate::drive::engine::sessions::{DeferredAction, Sessions};
use crate::drive::engine::settings::Settings;
use crate::drive::engine::socket::Socket;
use crate::drive::engine::targets::TargetState;
use crate::ground::recorder::Recorder;
use crate::ground::time::ShardInstant;
use crate::speak::connection::{Connection, Scratch, Writer};

/// The state that all parts of the engine share.
pub struct Common {
    /// The load's settings.
    pub settings: Settings,
    /// The load's targets, in its order; at least one.
    pub targets: Vec<TargetState>,
    /// Randomness and reused buffers.
    pub scratch: Scratch,
    /// The sessions that poll.
    pub sessions: Sessions,
    /// Sends the shard's reports.
    pub reporter: Reporter,
    /// Sockets were closed in this turn. The reactor reports that after the turn, so another turn must follow.
    pub needs_turn: bool,
}

impl Common {
    /// The target of this index.
    pub fn target(&self, index: u8) -> &TargetState {
        &self.targets[usize::from(index)]
    }

    /// The recorder of the target of this index.
    pub fn recorder(&mut self, index: u8) -> &mut Recorder {
        &mut self.targets[usize::from(index)].recorder
    }

    /// Removes a session that has ended.
    pub fn remove_session(&mut self, number: u64) {
        self.needs_turn |= self.sessions.remove(number);
    }

    /// Takes the recorder of each target.
    pub fn take_recorders(&mut self) -> Vec<Recorder> {
        self.targets.iter_mut().map(|target| target.recorder.take()).collect()
    }
}

/// One socket in a callback.
pub struct Call<'c, 'io> {
    /// The reactor's side of the socket.
    pub io: &'c mut Io<'io>,
    /// The engine's side of the socket.
    pub socket: &'c mut Socket,
    /// The shared state.
    pub common: &'c mut Common,
    /// The instant of the callback.
    pub now: ShardInstant,
}

impl<'c, 'io> Call<'c, 'io> {
    /// Begins a callback.
    pub fn new(io: &'c mut Io<'io>, socket: &'c mut Socket, common: &'c mut Common) -> Self {
        let now = ShardInstant::from_ns(io.now_ns());
        Self { io, socket, common, now }
    }

    /// The socket's target.
    pub fn target(&self) -> &TargetState {
        self.common.target(self.socket.target)
    }

    /// The recorder of the socket's target.
    pub fn recorder(&mut self) -> &mut Recorder {
        self.common.recorder(self.socket.target)
    }

    /// The connection, and a writer to its socket.
    pub fn connection(&mut self) -> (&mut Connection, Writer<'_>) {
        let Self { io, socket, common, .. } = self;
        let profile = &common.targets[usize::from(socket.target)].profile;
        let writer = Writer { profile, scratch: &mut common.scratch, out: io.out() };
        (&mut socket.connection, writer)
    }

    /// Lets the connection write packets: to its socket or, for a polling session, into the session's next POST.
    pub fn write(&mut self, write: impl FnOnce(&mut Connection, &mut Writer<'_>)) {
        if !self.socket.connection.is_polling() {
            let (connection, mut writer) = self.connection();
            return write(connection, &mut writer);
        }
        let Self { socket, common, .. } = self;
        let profile = &common.targets[usize::from(socket.target)].profile;
        if let Some(session) = common.sessions.get_mut(socket.number) {
            let mut writer = Writer { profile, scratch: &mut common.scratch, out: &mut session.payload };
            write(&mut socket.connection, &mut writer);
            common.sessions.defer(DeferredAction::Post(socket.number));
        }
    }

    /// Counts what the callback has written: the reactor's output buffer is empty between callbacks.
    pub fn count_sent(&mut self) {
        let bytes = self.io.out().len() as u64;
        self.recorder().counters.sent_bytes += bytes;
    }
}
