use std::time::SystemTime;

use super::*;
use crate::ground::recorder::Recorder;
use crate::plan::arrival::Schedule;
use crate::speak::connection::Profile;
use crate::spec::{Machine, RunArgs, RunSpec, TargetSpec, Targets};

const MINT: &str = "--target http://127.0.0.1:7001 --token-source mint --secret 0123456789abcdef0123456789abcdef";

fn load(flags: &str) -> LoadSpec {
    let machine = Machine { cpus: vec![0, 1, 2], now: SystemTime::UNIX_EPOCH };
    RunSpec::resolve(RunArgs::parse_line(&format!("{MINT} {flags}")), &machine).unwrap().load
}

/// The job of a load's last process after its conversion to JSON and back.
fn sent(load: &LoadSpec) -> Job {
    let urls = ["http://127.0.0.1:7001", "http://localhost:7002/x"].map(|url| url.parse().unwrap());
    let targets = urls.each_ref().map(|url: &Url| {
        let addr = SocketAddr::from(([127, 0, 0, 1], url.port().unwrap()));
        Arc::new(Target::known(url, vec![addr], &load.tls, load.source_ips.clone()).unwrap())
    });
    let count = load.targets.list().len();
    let jobs = Job::all(load, &urls[..count], &targets[..count], |shard| Some(shard % 2));
    assert_eq!(jobs.len(), load.processes);
    let text = serde_json::to_string(&jobs[load.processes - 1]).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn load_survives_serialisation() {
    for (flags, why) in [
        ("", "the defaults"),
        ("--rate 333.3333333333333333/s --arrivals poisson -c 500 --seed 9", "a rate without an end"),
        ("--stage 10s:0..0.1/s,3s:7.7777777/s --arrivals poisson", "stages"),
        ("--concurrency 7 --duration 3s --hold log-normal:30s,1.2345678901234567", "the closed model"),
        ("--hold uniform:1s..2s --echo 3 --message-rate 0.3/s --answered-by ack", "messages"),
        ("--transport upgrade --namespace /chat --close frame --token-in auth:jwt", "Socket.IO"),
        ("--protocol websocket --close reset --token-in cookie:t -H X-A:1 --auth-grace 1ms", "raw"),
        ("--mix valid=7,expired=3,forged=2.3 --expect forged=accept --seed 5", "a mix"),
        ("--source-ip 127.0.0.2-127.0.0.9 --timeout 3s --connect-timeout 1500ms", "sources"),
        ("--token-per user --refresh ahead:5s --token-ttl 30s --expect-close-at-exp 2s", "refreshed"),
    ] {
        let load = load(&format!("--processes 3 --workers 2 {flags}"));
        let job = sent(&load);
        let json = |load: &LoadSpec| serde_json::to_string(load).unwrap();
        assert_eq!(json(&job.load), json(&load), "{why}: to the last bit of each number");
        let schedule = |load: &LoadSpec| {
            let schedule = Schedule::new(&load.model, load.connections, load.duration, load.seed);
            schedule.map(|schedule| schedule.shard(5, 6).take(1000).collect::<Vec<_>>())
        };
        assert_eq!(schedule(&job.load), schedule(&load), "{why}");
        assert_eq!((job.load.shards(), job.process, job.cpus.as_slice()), (6, 2, &[Some(0), Some(1)][..]), "{why}");
        let targets = job.targets().unwrap();
        assert_eq!(targets[0].route(3), sent(&load).targets().unwrap()[0].route(3), "{why}");
        let request = |load: &LoadSpec| {
            let mut out = Vec::new();
            Profile::of(load, 0, &targets[0].host).write_request(&mut out, Some("t"), &[b'k'; 24]);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(request(&job.load), request(&load), "{why}");
    }
}

#[test]
fn tokens_survive_serialisation() {
    let invalid = InvalidTokens::of_kinds([(TokenKind::Forged, vec!["x.y.z".into()])]);
    let supply = Supply::Ready(Arc::from(["a.b.c".into(), "d.e.f".into()]));
    let prepared = Prepared { supply, invalid, recorder: Recorder::new(), steps: None };
    let text = serde_json::to_string(&Tokens::of(&prepared)).unwrap();
    let (valid, asks, invalid) = serde_json::from_str::<Tokens>(&text).unwrap().into_parts();
    assert_eq!((valid.len(), asks), (2, false));
    assert_eq!(invalid.get(TokenKind::Forged, 9).map(|token| &**token), Some("x.y.z"));
}

#[test]
fn every_process_assigns_arrivals_to_the_same_targets() {
    let list = [0.1, 0.7].map(|weight| TargetSpec {
        name: "t".to_owned(),
        weight,
        path: "/a?b=c".to_owned(),
        headers: vec![("X".to_owned(), "1".to_owned())],
    });
    let load = LoadSpec { targets: Targets::new(list.to_vec(), 77), ..load("--processes 2 --workers 1") };
    let received = sent(&load).load;
    for number in 0..5000 {
        assert_eq!(received.targets.index_for(number), load.targets.index_for(number), "{number}");
    }
    assert_eq!(received.targets.request_to(1), load.targets.request_to(1));
}

#[test]
fn invalid_job_is_refused() {
    let good = serde_json::to_value(sent(&load("--mix valid=1,missing=1 --expect missing=accept"))).unwrap();
    for (pointer, value, part) in [
        ("/load/protocol", serde_json::json!(5), "protocol"),
        ("/load/token_in", serde_json::json!("nowhere"), "place for a token"),
        ("/load/source_ips", serde_json::json!("127.0.0.300"), "source addresses"),
        ("/load/mix/weights/0/0", serde_json::json!("worse"), "unknown variant"),
        ("/load/model", serde_json::json!({"staged": {"profile": [], "arrivals": "uniform"}}), "nothing arrives"),
        ("/addresses", serde_json::json!([]), "1 targets, the job 0"),
        ("/addresses/0/url", serde_json::json!("7001"), "is no URL"),
    ] {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let read = serde_json::from_value::<Job>(wrong).map_err(|error| error.to_string());
        let error = read.and_then(|job| job.targets().map_err(|error| error.to_string())).map(|_| ()).unwrap_err();
        assert!(error.contains(part), "{pointer}: {error}");
    }
}
