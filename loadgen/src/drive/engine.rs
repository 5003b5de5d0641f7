//! The load engine: one shard's arrivals, from their planned instant to their outcome, and the sockets they become.
//!
//! It is a [`reactor::Service`], so all of it runs on the shard's one thread: callbacks stamp what happened with the
//! reactor's fresh clock and hand bytes to the [`Connection`](crate::speak::connection::Connection), which knows the
//! protocol and nothing else. An arrival takes this way:
//!
//! ```text
//! due -> (token asked for -> answered) -> connect -> TLS -> upgrade -> open -> joined -> outcome -> held -> closed
//!        arrive.rs                        handshake.rs                                   hold.rs
//! ```
//!
//! Each planned arrival gets exactly one outcome, wherever it leaves that way. Nothing here knows about files,
//! thresholds or the terminal.

mod arrive;
mod control;
mod expiry;
mod flight;
mod handshake;
mod hold;
mod polling;
mod renew;
mod report;
mod socket;
mod starts;
mod targets;
mod waiting;

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use reactor::{ClientTls, Closed, Io, Next, Service, SocketId, Sockets};

use crate::drive::shard::ShardPlan;
use crate::ground::recorder::Recorder;
use crate::ground::values::Token;
use crate::plan::model::Model;
use crate::speak::connection::{Event, Random, Tools};
use crate::speak::target::Target;
use crate::spec::LoadSpec;
use crate::tokens::{Answer, InvalidTokens, Supply, unix_now_ns};
use expiry::Expiry;
use flight::Flights;
use handshake::{UNSAID, kind_of_closed};
use polling::Polls;
use renew::Retry;
use report::Reporter;
use socket::{Life, Socket};
use starts::{Closed as ClosedModel, Starts, Wait};
use targets::Aside;
use waiting::Waiting;

pub use control::{Control, Words};
pub use waiting::WAITING_MAX;

/// Arrivals begun in one turn of the loop. Each takes some 20 us, and the sockets that are open wait meanwhile.
const STARTS_PER_TURN: usize = 16;

/// How long the peer may take to close after this side has, or to hang up after it has refused. A close handshake
/// takes one round trip.
const LEAVE_NS_MAX: u64 = 2_000_000_000;

/// How long the closed model begins nothing after descriptors or ports ran out: it would otherwise go through all its
/// arrivals in a moment.
const LIMIT_REST_NS: u64 = 10_000_000;

/// A report that is due so shortly before an arrival waits for it: a sleep until the report could end too late.
const REPORT_SLACK_NS: u64 = 1_000_000;

/// One shard of a run.
pub struct Engine {
    shard: usize,
    scenario: Arc<LoadSpec>,
    /// That of the callback under way, as are `tools.profile` and `recorder`: see [`Engine::turn_to`].
    target: Arc<Target>,
    /// The target's TLS, with this shard's sessions.
    tls: Option<ClientTls>,
    /// The place of `target`.
    facing: u8,
    /// The other targets.
    aside: Vec<Aside>,
    control: Arc<Control>,
    supply: Supply,
    bad: InvalidTokens,
    /// The token that was last let in, where the mix replays.
    replay: Option<Token>,
    answers: Receiver<Answer>,
    starts: Starts,
    waiting: Waiting,
    flights: Flights,
    polls: Polls,
    /// Arrivals that are to try once more, with another token.
    retries: Vec<Retry>,
    /// `None`: nobody looks at what becomes of sockets at `exp`.
    expiry: Option<Expiry>,
    /// When the shard's clock showed zero, in nanoseconds since 1970.
    clock_began_unix_ns: u64,
    tools: Tools,
    /// The request of the arrival that begins.
    first: Vec<u8>,
    recorder: Recorder,
    reporter: Reporter,
    limits: Limits,
    /// Arrivals begun and neither let in nor ended: what `--concurrency` bounds.
    in_flight: u32,
    /// Sockets let in and not yet taking leave.
    held: u64,
    /// What was said through the [`Control`] and has been carried out.
    heard: Heard,
    /// Of the reactor's spinning, what was recorded.
    spun_ns: u64,
    /// Sockets were closed in this turn; the reactor tells of it only afterwards, so another turn must follow.
    again: bool,
}

/// The scenario's durations, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Limits {
    handshake_ns: u64,
    connect_ns: u64,
    grace_ns: u64,
    /// Between two planned messages of a socket.
    message_gap_ns: Option<f64>,
    /// Whether arrivals have planned instants.
    planned: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    stop: bool,
    close: bool,
}

impl Engine {
    /// The engine of a shard's plan. `answers` is where its tokens come in, if it asks for any.
    pub(crate) fn new(plan: ShardPlan, answers: Receiver<Answer>) -> Self {
        let ShardPlan {
            index,
            of,
            load: scenario,
            targets,
            arrivals,
            supply,
            invalid: bad,
            control,
            report,
            clock,
            ..
        } = plan;
        let close_at_exp = scenario.close_at_exp;
        let mut asides = Aside::all(&scenario, targets).into_iter();
        // A plan has at least one target.
        let first = asides.next().expect("a plan without a target");
        let starts = match arrivals {
            Some(schedule) => Starts::open(schedule),
            None => Starts::closed(closed_model(&scenario, index, of)),
        };
        Self {
            shard: index,
            tools: Tools::new(first.profile, Random::of_shard(scenario.seed, index)),
            limits: Limits::of(&scenario),
            tls: first.tls,
            first: Vec::new(),
            scenario,
            target: first.target,
            facing: first.place,
            aside: asides.collect(),
            control,
            supply,
            bad,
            replay: None,
            answers,
            starts,
            waiting: Waiting::default(),
            flights: Flights::default(),
            polls: Polls::default(),
            retries: Vec::new(),
            expiry: close_at_exp.map(|grace| Expiry::within(ns(grace))),
            clock_began_unix_ns: unix_now_ns().saturating_sub(clock.now_ns()),
            recorder: first.recorder,
            reporter: Reporter::new(index, report),
            in_flight: 0,
            held: 0,
            heard: Heard::default(),
            spun_ns: 0,
            again: false,
        }
    }

    /// Whether every arrival of this shard has its outcome and none can follow.
    fn is_decided(&self, offset_ns: u64) -> bool {
        self.begins_no_more(offset_ns) && self.waiting.is_empty() && self.flights.is_empty() && self.retries.is_empty()
    }

    fn begins_no_more(&self, offset_ns: u64) -> bool {
        self.starts.wait(offset_ns, self.in_flight) == Wait::Over
    }

    /// Before T0 there is nothing to do but to be stopped.
    fn turn_before_t0(&mut self) -> Next {
        if !self.control.is_stopped() {
            return Next::WhenNeeded;
        }
        let recorded = self.take_recorded();
        self.reporter.finish(0, recorded, 0);
        Next::Stop
    }

    /// The shard has spun for so long in all.
    fn record_spin(&mut self, spun_ns: u64) {
        let before_ns = std::mem::replace(&mut self.spun_ns, spun_ns);
        self.recorder.counters.spun_ns += spun_ns - before_ns;
    }

    fn listen(&mut self, sockets: &mut Sockets<'_, Socket>, t0_ns: u64) {
        if self.control.is_stopped() && !self.heard.stop {
            self.heard.stop = true;
            self.stop(sockets, t0_ns);
        }
        if self.control.is_closing() && !self.heard.close {
            self.heard.close = true;
            self.close_held(sockets);
        }
    }

    /// What to wait for, the reactor's own deadlines aside.
    fn next(&mut self, offset_ns: u64, t0_ns: u64) -> Next {
        if std::mem::take(&mut self.again) {
            return Next::At(0);
        }
        let at = |offset_ns: u64| t0_ns.saturating_add(offset_ns);
        let (exact_ns, place_ns) = match self.starts.wait(offset_ns, self.in_flight) {
            Wait::Until(start_ns) => (Some(at(start_ns)), None),
            Wait::ForPlace(end_ns) => (None, Some(at(end_ns))),
            Wait::Over => (None, None),
        };
        let coarse_ns = [place_ns, self.waiting.next_deadline_ns()]
            .into_iter()
            .flatten()
            .fold(at(self.reporter.due_ns()), u64::min);
        match exact_ns {
            Some(exact_ns) if exact_ns < coarse_ns.saturating_add(REPORT_SLACK_NS) => Next::AtExactly(exact_ns),
            _ => Next::At(coarse_ns),
        }
    }
}

impl Service for Engine {
    type Socket = Socket;

    fn connected(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        self.turn_to(socket.target);
        self.transport_connected(io, socket);
        self.count_sent(io);
    }

    fn secured(&mut self, io: &mut Io<'_>, socket: &mut Socket, resumed: bool) {
        self.turn_to(socket.target);
        self.recorder.counters.tls_handshakes += 1;
        self.recorder.counters.tls_resumed += u64::from(resumed);
        self.transport_secured(io, socket);
        self.count_sent(io);
    }

    fn received(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        self.turn_to(socket.target);
        let used = match socket.life {
            Life::Posting => self.posted(io, socket, input),
            Life::Probing => self.probed(io, socket, input),
            _ if socket.connection.polls() => self.polled(io, socket, input),
            _ => self.heard(io, socket, input),
        };
        self.recorder.counters.received_bytes += used as u64;
        self.count_sent(io);
        used
    }

    fn deadline(&mut self, io: &mut Io<'_>, socket: &mut Socket) {
        self.turn_to(socket.target);
        let now_ns = io.now_ns();
        self.beat_if_due(io, socket, now_ns);
        self.talk_if_due(io, socket, now_ns);
        self.outlive_if_due(io, socket);
        if now_ns >= socket.until_ns {
            match socket.life {
                Life::Posting | Life::Probing => self.helper_late(io, socket),
                Life::Connecting | Life::Handshaking | Life::Moving => self.time_out(io, socket, now_ns),
                Life::Grace => self.grace_over(io, socket, now_ns),
                Life::Held | Life::Overdue => self.hold_over(io, socket, now_ns),
                Life::Leaving => io.close(),
            }
        }
        self.arm(io, socket);
        self.count_sent(io);
    }

    fn closed(&mut self, now_ns: u64, id: SocketId, mut socket: Socket, why: Closed) {
        self.turn_to(socket.target);
        if matches!(socket.life, Life::Posting | Life::Probing) {
            return self.helper_gone(id, &socket, &why);
        }
        let polls = socket.connection.polls();
        if polls {
            socket = match self.goes_on(socket) {
                Ok(()) => return,
                Err(socket) => socket,
            };
        }
        if socket.flight.is_none() {
            self.lost(&socket, now_ns, kind_of_closed(&why, UNSAID));
        } else {
            self.broke(&mut socket, now_ns, &why);
        }
        if polls {
            self.forget_session(socket.number);
        }
    }

    fn turn(&mut self, sockets: &mut Sockets<'_, Socket>) -> Next {
        let Some(t0_ns) = self.control.t0_ns() else {
            return self.turn_before_t0();
        };
        let now_ns = sockets.now_ns();
        if now_ns >= t0_ns {
            self.reporter.begin();
        }
        // Before anybody looks at all sockets: sessions between two connections are among them then.
        self.run_errands(sockets);
        self.begin_retries(now_ns, t0_ns);
        self.listen(sockets, t0_ns);
        self.take_answers(sockets, t0_ns);
        self.give_up_waiting(now_ns);
        self.begin_due(sockets, t0_ns);
        self.run_errands(sockets);
        let offset_ns = sockets.now_ns().saturating_sub(t0_ns);
        if self.in_flight == 0 && self.begins_no_more(offset_ns) {
            self.reporter.last_handshake_ended();
        }
        let decided = self.is_decided(offset_ns);
        if decided {
            self.reporter.decided();
        }
        if offset_ns >= self.reporter.due_ns() {
            self.record_spin(sockets.spun_ns());
            let recorded = self.take_recorded();
            self.reporter.interval(offset_ns, recorded, self.held, self.in_flight);
        }
        if decided && (self.heard.stop || self.heard.close) && sockets.is_empty() {
            self.record_spin(sockets.spun_ns());
            let recorded = self.take_recorded();
            self.reporter.finish(offset_ns, recorded, t0_ns);
            return Next::Stop;
        }
        self.next(offset_ns, t0_ns)
    }
}

impl Engine {
    /// Takes what came in over a WebSocket, step by step; answers how many bytes were used.
    fn heard(&mut self, io: &mut Io<'_>, socket: &mut Socket, input: &mut [u8]) -> usize {
        let mut used = 0;
        while used < input.len() {
            let credentials = self.flights.get(socket.flight).map(|flight| &flight.credentials);
            let awaited = socket.awaited();
            let rest = &mut input[used..];
            let step = socket.connection.receive(&mut self.tools, credentials, awaited, rest, io.out());
            used += step.used;
            match step.event {
                Some(event) => self.happened(io, socket, event),
                None if step.used == 0 => break,
                None => {}
            }
        }
        used
    }

    fn happened(&mut self, io: &mut Io<'_>, socket: &mut Socket, event: Event) {
        let now_ns = io.now_ns();
        match event {
            Event::Upgraded => self.stamp(socket, |flight| flight.upgraded_ns = Some(now_ns)),
            Event::Opened => self.opened(socket, now_ns),
            Event::Admitted => self.admitted(io, socket, now_ns),
            Event::Authenticated => self.authenticated(io, socket, now_ns),
            Event::Message { answers } => self.message(io, socket, now_ns, answers),
            Event::Refused => self.refused(io, socket, now_ns),
            Event::Failed(kind) => self.failed(io, socket, now_ns, kind),
            Event::Closed(code) => self.peer_closed(io, socket, now_ns, code),
            // Told to probes alone, which are no sessions.
            Event::Probed => {}
        }
        self.arm(io, socket);
    }

    /// The reactor's output buffer is empty between callbacks, so all that is in it was written by this one.
    fn count_sent(&mut self, io: &mut Io<'_>) {
        self.recorder.counters.sent_bytes += io.out().len() as u64;
    }
}

impl Limits {
    fn of(scenario: &LoadSpec) -> Self {
        Self {
            handshake_ns: ns(scenario.timeout),
            connect_ns: ns(scenario.connect_timeout),
            grace_ns: ns(scenario.auth_grace),
            message_gap_ns: scenario.echo.rate_per_s.map(|rate_per_s| 1e9 / rate_per_s),
            planned: scenario.model.is_planned(),
        }
    }
}

/// A shard's part of the closed model.
fn closed_model(scenario: &LoadSpec, index: usize, of: usize) -> ClosedModel {
    let concurrency = match scenario.model {
        Model::Closed { concurrency } => concurrency,
        // Without a schedule nothing can be planned: no place, no arrival.
        _ => 0,
    };
    let end = scenario.connections.unwrap_or(u64::MAX);
    ClosedModel::new(index, of, concurrency, end, scenario.duration.map_or(u64::MAX, ns))
}

fn ns(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
