//! One turn of the loop: what may be done to any socket of the shard.

use reactor::{SocketId, Sockets};

use crate::drive::engine::common::{Call, Common};
use crate::drive::engine::handshakes::Handshakes;
use crate::drive::engine::socket::{Socket, State};
use crate::ground::outcome::Outcome;
use crate::ground::time::{RunInstant, ShardInstant};

/// One turn of the loop, after T0 is known.
pub struct Turn<'t, 's> {
    /// The shard's sockets.
    pub sockets: &'t mut Sockets<'s, Socket>,
    /// What all parts use.
    pub common: &'t mut Common,
    /// The handshakes and held sockets.
    pub handshakes: &'t mut Handshakes,
    /// T0.
    pub t0: ShardInstant,
}

impl Turn<'_, '_> {
    /// Reads the clock.
    pub fn now(&self) -> ShardInstant {
        ShardInstant::from_ns(self.sockets.now_ns())
    }

    /// Reads the clock; zero before T0.
    pub fn run_now(&self) -> RunInstant {
        self.now().after_t0(self.t0).unwrap_or_default()
    }

    /// Acts on one socket; `false`: it is gone, or about to be.
    pub fn with(&mut self, id: SocketId, act: impl FnOnce(&mut Handshakes, &mut Call<'_, '_>)) -> bool {
        let Self { sockets, common, handshakes, .. } = self;
        sockets.with(id, |io, socket| {
            let mut call = Call::new(io, socket, common);
            act(handshakes, &mut call);
            handshakes.held.arm(&mut call);
            call.count_sent();
        })
    }

    /// Interrupts handshakes and closes held sockets.
    pub fn stop(&mut self) {
        self.for_each(|handshakes, call| {
            let state = call.socket.state;
            handshakes.decide(call.common, call.socket, Outcome::Interrupted, call.now);
            match state {
                State::Connecting | State::Handshaking => {
                    call.socket.start_closing(call.now);
                    call.io.close();
                }
                State::Grace | State::Moving | State::Held | State::Finishing => handshakes.held.close(call),
                State::Posting | State::Probing | State::Closing => {}
            }
        });
    }

    /// Closes the sockets that are held until the end of the load.
    pub fn close_held(&mut self) {
        self.handshakes.held.close_at_end();
        self.for_each(|handshakes, call| handshakes.held.close_if_done(call));
    }

    fn for_each(&mut self, mut act: impl FnMut(&mut Handshakes, &mut Call<'_, '_>)) {
        let Self { sockets, common, handshakes, .. } = self;
        common.needs_turn = true;
        sockets.for_each(|io, socket| {
            let mut call = Call::new(io, socket, common);
            act(handshakes, &mut call);
            handshakes.held.arm(&mut call);
            call.count_sent();
        });
    }
}
