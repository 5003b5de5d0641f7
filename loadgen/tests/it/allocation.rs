//! What a handshake allocates once the shard is warm: nothing for its request, its answer and what is recorded.

use std::sync::Arc;
use std::sync::mpsc::channel;

use gatecrash::drive::control::Control;
use gatecrash::drive::shard::{FromShard, ShardPlan, run};
use gatecrash::ground::outcome::Outcome;
use gatecrash::ground::recorder::Recorder;
use gatecrash::ground::time::ShardInstant;
use gatecrash::plan::arrival::Schedule;
use gatecrash::plan::hold::Hold;
use gatecrash::plan::model::Model;
use gatecrash::spec::{LoadSpec, Protocol};
use gatecrash::tokens::InvalidTokens;
use reactor::Clock;
use wire::engineio::Version;

use crate::engine_driver::{at, load, supply, target};
use crate::engine_servers::{OPEN, WebSocket, serve};

/// How often a shard's thread allocates over a run of so many handshakes, eight at a time, that are closed at once.
fn allocations(protocol: Protocol, connections: u64) -> u64 {
    let addr = serve(move |stream| {
        let Some(mut socket) = WebSocket::accept(stream) else {
            return;
        };
        if protocol != Protocol::WebSocket {
            socket.send_text(OPEN);
            socket.receive();
            socket.send_text(r#"40{"sid":"s"}"#);
        }
        socket.receive_all();
    });
    let load = LoadSpec {
        protocol,
        targets: at("/"),
        model: Model::Closed { concurrency: 8 },
        hold: Hold::For(std::time::Duration::ZERO),
        auth_grace: std::time::Duration::ZERO,
        ..load(connections)
    };
    let clock = Clock::start();
    let control = Arc::new(Control::new());
    let (report, told) = channel();
    let (ready, is_ready) = channel();
    let plan = ShardPlan {
        index: 0,
        of: 1,
        arrivals: Schedule::new(&load.model, load.connections, None, 1).map(|schedule| schedule.shard(0, 1)),
        load: Arc::new(load),
        targets: vec![Arc::new(target(addr))],
        supply: supply(),
        invalid: InvalidTokens::default(),
        cpu: None,
        clock,
        control: control.clone(),
        report,
    };
    let shard = std::thread::spawn(move || {
        let counted = allocation_counter::measure(move || run(plan, &ready));
        counted.count_total
    });
    is_ready.recv().unwrap().unwrap();
    control.start(ShardInstant::now(&clock));
    let mut recorder = Recorder::new();
    for message in told {
        match message {
            FromShard::Interval(interval) => recorder.merge(&interval.recorders[0]),
            FromShard::ArrivalsDone { .. } => control.close(),
            FromShard::Done { .. } => break,
            FromShard::Broken { error, .. } => panic!("{error}"),
            FromShard::Lost { error } => panic!("{error}"),
        }
    }
    assert_eq!(recorder.count(Outcome::Established), connections);
    shard.join().unwrap()
}

#[test]
fn a_warm_shard_opens_sockets_without_allocating() {
    for (protocol, each, why) in [
        (Protocol::WebSocket, 0, "nothing at all"),
        (Protocol::SocketIo(Version::V4), 1, "the session id of Engine.IO's open packet"),
    ] {
        let (few, many) = (allocations(protocol, 200), allocations(protocol, 2200));
        println!("{protocol:?}: {few} allocations for 200 handshakes, {many} for 2,200");
        assert!(few > 0, "the counter counts");
        // Once a second the recorder is given away and begun anew, which is no matter of handshakes.
        let more = many.saturating_sub(few);
        assert!(more < 2000 * each + 200, "{protocol:?}: {more} for 2,000: {why}");
    }
}
