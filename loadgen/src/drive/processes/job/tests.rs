use std::time::SystemTime;

use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};
use crate::ground::outcome::Expected;
use crate::ground::recorder::Recorder;
use crate::plan::arrival::Schedule;
use crate::speak::connection::Profile;
use crate::spec::Machine;

fn resolve(flags: &str) -> Scenario {
    let words = ["gatecrash", "run"].into_iter().chain(flags.split_whitespace());
    let Command::Run(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("a run");
    };
    let machine = Machine { cpus: vec![0, 1, 2], now: SystemTime::UNIX_EPOCH };
    Scenario::resolve(*args, &machine).unwrap()
}

fn prepared(supply: Supply) -> Prepared {
    let spoilt = [(TokenKind::Forged, vec!["x.y.z".into()])];
    Prepared { supply, bad: InvalidTokens::of_kinds(spoilt), recorder: Recorder::new(), steps: None }
}

/// What a process of a scenario understands of its job, after its way through a pipe.
fn understood(scenario: &Scenario) -> Understood {
    let urls = ["http://127.0.0.1:7001", "http://localhost:7002/x"].map(|url| url.parse().unwrap());
    let targets = urls.each_ref().map(|url: &Url| {
        let addr = SocketAddr::from(([127, 0, 0, 1], url.port().unwrap()));
        let target = Target::known(url, vec![addr], &scenario.tls, scenario.source_ips.clone());
        Arc::new(target.unwrap())
    });
    let several = matches!(scenario.target, TargetChoice::Several(_));
    let count = if several { 2 } else { 1 };
    let prepared = prepared(Supply::Ready(Arc::from(["a.b.c".into(), "d.e.f".into()])));
    let common = Common { scenario, urls: &urls[..count], targets: &targets[..count], prepared: &prepared };
    let jobs = Job::all(common, |shard| Some(shard % 2));
    assert_eq!(jobs.len(), scenario.processes);
    let text = serde_json::to_string(&jobs[scenario.processes - 1]).unwrap();
    serde_json::from_str::<Job>(&text).unwrap().understand().unwrap()
}

const MINT: &str = "--target http://127.0.0.1:7001 --token-source mint --secret 0123456789abcdef0123456789abcdef";

#[test]
fn a_process_understands_what_was_asked() {
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
        let scenario = resolve(&format!("{MINT} --processes 3 --workers 2 {flags}"));
        let Understood { scenario: there, targets, tokens, asks, bad } = understood(&scenario);
        let schedule = |scenario: &Scenario| {
            let Scenario { load, connections, duration, seed, .. } = scenario;
            let schedule = Schedule::new(load, *connections, *duration, *seed);
            schedule.map(|schedule| schedule.shard(5, 6).take(1000).collect::<Vec<_>>())
        };
        assert_eq!(schedule(&there), schedule(&scenario), "{why}");
        assert_eq!(there.load, scenario.load, "{why}");
        assert_eq!((there.shards(), there.processes), (6, 3), "{why}");
        // What is shown of a scenario is most of what shards look at.
        let mut shown = there.asked();
        let asked = scenario.asked();
        assert_eq!(shown.target, asked.target, "{why}");
        shown.users = asked.users;
        shown.pin.clone_from(&asked.pin);
        shown.token_source.clone_from(&asked.token_source);
        shown.token_per.clone_from(&asked.token_per);
        shown.token_alg.clone_from(&asked.token_alg);
        shown.token_ttl_s = asked.token_ttl_s;
        assert_eq!(shown, asked, "{why}");
        assert_eq!(there.mix, scenario.mix, "{why}");
        assert_eq!(there.headers, scenario.headers, "{why}");
        assert_eq!(there.tokens.refresh, scenario.tokens.refresh, "{why}");
        assert_eq!(there.tokens.close_at_exp, scenario.tokens.close_at_exp, "{why}");
        assert_eq!(targets[0].route(3), understood(&scenario).targets[0].route(3), "{why}");
        assert_eq!((tokens.len(), asks), (2, false), "{why}");
        assert_eq!(bad.get(TokenKind::Forged, 9).map(|token| &**token), Some("x.y.z"), "{why}");
        let request = |scenario: &Scenario| {
            let mut out = Vec::new();
            Profile::of(scenario, 0, &targets[0].host).write_request(&mut out, Some("t"), &[b'k'; 24]);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(request(&there), request(&scenario), "{why}");
    }
}

#[test]
fn several_targets_have_the_same_arrivals_in_every_process() {
    let list = [0.1, 0.7].map(|weight| WeightedTarget {
        name: "t".to_owned(),
        url: "http://127.0.0.1:7001".parse().unwrap(),
        weight,
        path: "/a?b=c".to_owned(),
        headers: vec![("X".to_owned(), "1".to_owned())],
    });
    let mut scenario = resolve(&format!("{MINT} --processes 2 --workers 1"));
    scenario.target = TargetChoice::Several(Arc::new(Targets::new(list.to_vec(), 77)));
    let there = understood(&scenario).scenario;
    for number in 0..5000 {
        assert_eq!(there.target_of(number), scenario.target_of(number), "{number}");
    }
    assert_eq!(there.request_to(1), scenario.request_to(1));
}

#[test]
fn a_job_that_cannot_be_meant_is_refused() {
    let scenario = resolve(&format!("{MINT} --mix valid=1,missing=1 --expect missing=accept"));
    let good = serde_json::to_value(Job::of(Common {
        scenario: &scenario,
        urls: &["http://127.0.0.1:7001".parse().unwrap()],
        targets: &[Arc::new(
            Target::known(
                &"http://127.0.0.1:7001".parse().unwrap(),
                vec![([127, 0, 0, 1], 7001).into()],
                &scenario.tls,
                SourceIps::default(),
            )
            .unwrap(),
        )],
        prepared: &prepared(Supply::Ready(Arc::from([]))),
    }))
    .unwrap();
    let job: Job = serde_json::from_value(good.clone()).unwrap();
    let mix = job.understand().unwrap().scenario.mix;
    assert_eq!(mix.expected(TokenKind::Missing), Expected::Accept);
    for (key, value, part) in [
        ("protocol", serde_json::json!(5), "protocol"),
        ("token_in", serde_json::json!("nowhere"), "token_in"),
        ("source_ips", serde_json::json!("127.0.0.300"), "source_ips"),
        ("targets", serde_json::json!([]), "targets"),
        ("bad", serde_json::json!([["worse", []]]), "bad tokens"),
        ("load", serde_json::json!({"staged": {"stages": [], "poisson": false}}), "load"),
    ] {
        let mut wrong = good.clone();
        wrong[key] = value;
        let job: Job = serde_json::from_value(wrong).unwrap();
        let error = job.understand().map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(part), "{key}: {error}");
    }
}
