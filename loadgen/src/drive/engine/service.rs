//! The engine as the reactor's service: it hands each callback to the part that it belongs to.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use reactor::{Closed, Io, Next, Service, SocketId, Sockets};

use crate::drive::control::Control;
use crate::drive::engine::arrivals::Arrivals;
use crate::drive::engine::common::{Call, Common};
use crate::drive::engine::expiry::Expiry;
use crate::drive::engine::handshakes::Handshakes;
use crate::drive::engine::held::Held;
use crate::drive::engine::polling;
use crate::drive::engine::reporter::Reporter;
use crate::drive::engine::sessions::Sessions;
use crate::drive::engine::settings::{Settings, duration_ns};
use crate::drive::engine::socket::{Socket, State};
use crate::drive::engine::starts::{Closed as ClosedModel, Starts, Wait};
use crate::drive::engine::targets::TargetState;
use crate::drive::engine::turn::Turn;
use crate::drive::shard_plan::ShardPlan;
use crate::ground::time::{ClockOffset, RunInstant, ShardInstant};
use crate::plan::model::Model;
use crate::speak::connection::{Random, Scratch};
use crate::spec::{LoadSpec, Refresh};
use crate::tokens::Answer;

/// A report that is due so shortly before an arrival waits for it: a sleep until the report could end too late.
const REPORT_SLACK_NS: u64 = 1_000_000;

/// One shard of a run.
pub struct Engine {
    control: Arc<Control>,
    common: Common,
    arrivals: Arrivals,
    handshakes: Handshakes,
    is_stopped: bool,
    /// The time of the reactor's spinning that was recorded.
    spun_ns: u64,
}

impl Engine {
    /// The engine of a shard's plan. `answers` receives the tokens that it requests.
    pub(crate) fn new(plan: ShardPlan, answers: Receiver<Answer>) -> Self {
        let ShardPlan { index, of, load: spec, targets, arrivals, supply, invalid, control, report, clock, .. } = plan;
        let starts = match arrivals {
            Some(schedule) => Starts::open(schedule),
            None => Starts::closed(closed_model(&spec, index, of)),
        };
        let unix_offset = ClockOffset::to_unix(&clock);
        let expiry = spec.close_at_exp.map(|grace| Expiry::within(duration_ns(grace)));
        let may_retry = spec.refresh == Refresh::OnRefusal && supply.requests().is_some();
        Self {
            control,
            common: Common {
                targets: TargetState::all(&spec, targets),
                scratch: Scratch::new(Random::of_shard(spec.seed, index)),
                settings: Settings::new(index, spec),
                sessions: Sessions::default(),
                reporter: Reporter::new(index, report),
                needs_turn: false,
            },
            arrivals: Arrivals::new(starts, supply, invalid, answers, unix_offset),
            handshakes: Handshakes::new(Held::new(expiry, unix_offset), may_retry),
            is_stopped: false,
            spun_ns: 0,
        }
    }

    /// Before T0 a shard can only be stopped.
    fn turn_before_t0(&mut self) -> Next {
        if !self.control.is_stopped() {
            return Next::WhenNeeded;
        }
        let recorders = self.common.take_recorders();
        self.common.reporter.finish(RunInstant::default(), recorders, None);
        Next::Stop
    }

    /// Sends the reports that are due; answers what the loop waits for.
    fn report(&mut self, sockets: &Sockets<'_, Socket>, t0: ShardInstant) -> Next {
        let now = ShardInstant::from_ns(sockets.now_ns()).after_t0(t0).unwrap_or_default();
        let (in_flight, held) = (self.handshakes.in_flight(), &self.handshakes.held);
        let wait = self.arrivals.wait(now, in_flight);
        let is_decided = wait == Wait::Over && self.arrivals.none_awaits_token() && self.handshakes.is_empty();
        let is_over = is_decided && (self.is_stopped || held.is_closing()) && sockets.is_empty();
        let reporter = &mut self.common.reporter;
        if wait == Wait::Over && in_flight == 0 {
            reporter.last_handshake_ended();
        }
        if is_decided {
            reporter.decided();
        }
        if is_over || now >= reporter.due() {
            let spun_ns = std::mem::replace(&mut self.spun_ns, sockets.spun_ns());
            self.common.recorder(0).counters.spun_ns += self.spun_ns - spun_ns;
            let recorders = self.common.take_recorders();
            if is_over {
                self.common.reporter.finish(now, recorders, Some(t0));
                return Next::Stop;
            }
            self.common.reporter.interval(now, recorders, held.count(), in_flight);
        }
        self.next(wait, t0)
    }

    /// What to wait for, apart from sockets and their deadlines.
    fn next(&mut self, wait: Wait, t0: ShardInstant) -> Next {
        if std::mem::take(&mut self.common.needs_turn) {
            return Next::At(0);
        }
        let report = self.common.reporter.due().on_shard_clock(t0);
        let coarse = report.min(self.arrivals.next_deadline().unwrap_or(ShardInstant::NEVER));
        match wait {
            Wait::Until(start) if start.on_shard_clock(t0) < coarse + REPORT_SLACK_NS => {
                Next::AtExactly(start.on_shard_clock(t0).as_ns())
            }
            Wait::ForPlace(end) => Next::At(coarse.min(end.on_shard_clock(t0)).as_ns()),
            Wait::Until(_) | Wait::Over => Next::At(coarse.as_ns()),
        }
    }
}

impl Service for Engine {
    type Socket = Socket;

    fn connected(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        let call = &mut Call::new(io, socket, &mut self.common);
        if !call.common.sessions.is_later_connection(call.socket) {
            self.handshakes.connected(call);
        } else if !call.target().is_tls() {
            polling::start_later_connection(call);
        }
        self.handshakes.held.arm(call);
        call.count_sent();
    }

    fn secured(&mut self, io: &mut Io<'_>, socket: &mut Socket, resumed: bool) {
        let call = &mut Call::new(io, socket, &mut self.common);
        call.recorder().counters.tls_handshakes += 1;
        call.recorder().counters.tls_resumed += u64::from(resumed);
        if call.common.sessions.is_later_connection(call.socket) {
            polling::start_later_connection(call);
        } else {
            self.handshakes.secured(call);
        }
        self.handshakes.held.arm(call);
        call.count_sent();
    }

    fn received(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        let call = &mut Call::new(io, socket, &mut self.common);
        let used = match call.socket.state {
            State::Posting => polling::receive_post_answers(&mut self.handshakes, call, input),
            State::Probing => polling::receive_probe(call, input),
            _ if call.socket.connection.is_polling() => {
                polling::receive_poll_answers(&mut self.handshakes, call, input)
            }
            _ => self.handshakes.receive(call, input),
        };
        call.recorder().counters.received_bytes += used as u64;
        call.count_sent();
        used
    }

    fn deadline(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        let call = &mut Call::new(io, socket, &mut self.common);
        self.handshakes.held.deadline(call);
        if call.now >= call.socket.state_ends {
            match call.socket.state {
                State::Posting | State::Probing => call.common.sessions.helper_timed_out(call.io, call.socket),
                State::Connecting | State::Handshaking | State::Moving => self.handshakes.timed_out(call),
                State::Grace => self.handshakes.grace_over(call),
                State::Held | State::Finishing => self.handshakes.held.hold_over(call),
                State::Closing => call.io.close(),
            }
        }
        self.handshakes.held.arm(call);
        call.count_sent();
    }

    fn closed(&mut self, now_ns: u64, id: SocketId, mut socket: Socket, why: Closed) {
        let (common, number) = (&mut self.common, socket.number);
        if socket.is_helper() {
            return common.sessions.helper_closed(id, number, &why);
        }
        let is_polling = socket.connection.is_polling();
        if is_polling {
            socket = match common.sessions.reconnect(socket) {
                Ok(()) => return,
                Err(socket) => socket,
            };
        }
        self.handshakes.closed(common, &mut socket, &why, ShardInstant::from_ns(now_ns));
        // The session of a second attempt has the same number.
        if is_polling && common.sessions.get(number).is_some_and(|session| session.main == id) {
            common.remove_session(number);
        }
    }

    fn turn(&mut self, sockets: &mut Sockets<'_, Socket>) -> Next {
        let Some(t0) = self.control.t0() else {
            return self.turn_before_t0();
        };
        let turn = &mut Turn { sockets, common: &mut self.common, handshakes: &mut self.handshakes, t0 };
        let now = turn.now();
        if now >= t0 {
            turn.common.reporter.begin();
        }
        // Before anything looks at all sockets: a session between two connections is none of them.
        polling::run_deferred(turn);
        self.arrivals.start_retries(turn, now);
        if self.control.is_stopped() && !self.is_stopped {
            self.is_stopped = true;
            turn.handshakes.stop_retries();
            self.arrivals.stop(turn);
            turn.stop();
        }
        if self.control.is_closing() && !turn.handshakes.held.is_closing() {
            turn.close_held();
        }
        self.arrivals.take_answers(turn);
        self.arrivals.end_late(turn, now);
        self.arrivals.start_due(turn);
        polling::run_deferred(turn);
        self.report(sockets, t0)
    }
}

/// A shard's part of the closed model.
fn closed_model(spec: &LoadSpec, index: usize, of: usize) -> ClosedModel {
    let concurrency = match spec.model {
        Model::Closed { concurrency } => concurrency,
        // Nothing can be planned without a schedule: no place, no arrival.
        _ => 0,
    };
    let end_at = RunInstant::from_ns(spec.duration.map_or(u64::MAX, duration_ns));
    ClosedModel::new(index, of, concurrency, spec.connections.unwrap_or(u64::MAX), end_at)
}
