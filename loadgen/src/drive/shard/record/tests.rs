use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::drive::processes::shard_index;
use crate::ground::recorder::Part;
use crate::judge::collect::{Collected, Collector};
use crate::plan::arrival::Schedule;
use crate::plan::model::{Arrivals, Model};

/// What a record is after its way through a pipe or a file.
fn sent(report: FromShard) -> FromShard {
    let text = serde_json::to_string(&ShardRecord::from(&report)).unwrap();
    serde_json::from_str::<ShardRecord>(&text).unwrap().try_into().unwrap()
}

/// Records what became of an arrival, which its number decides.
fn record(recorder: &mut Recorder, number: u64, seed: u64) {
    let mixed = (number ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
    let outcome = Outcome::ALL[(mixed % 8) as usize];
    let kind = TokenKind::ALL[(mixed / 8 % 12) as usize];
    // Some are beyond what a histogram holds.
    let service_ns = mixed >> (mixed % 60);
    recorder.outcome(outcome);
    recorder.counters.planned += 1;
    recorder.counters.sent_bytes += mixed % 1000;
    recorder.phase(Phase::Connect, outcome, kind, service_ns / 2);
    recorder.handshake(outcome, kind, service_ns, Some(mixed % 100_000));
    match outcome {
        Outcome::Failed => recorder.failure(
            Failure { phase: Phase::Upgrade, kind: [FailureKind::Reset, FailureKind::Http(503)][(mixed % 2) as usize] },
            String::new,
        ),
        Outcome::FalseReject => recorder.refusal(kind, ["expired", "who?"][(mixed % 2) as usize]),
        Outcome::Established => {
            recorder.echo(kind, service_ns, None);
            if mixed.is_multiple_of(3) {
                recorder.dropped([FailureKind::Reset, FailureKind::Closed(1001)][(mixed % 2) as usize], String::new);
            }
        }
        _ => {}
    }
}

/// The whole of a schedule over so many processes and workers, each shard's seconds sent as records.
fn measured(schedule: &Schedule, processes: usize, workers: usize, seed: u64) -> Collected {
    let of = processes * workers;
    let mut collector = Collector::new(of, SystemTime::UNIX_EPOCH, Part::Response);
    for process in 0..processes {
        for worker in 0..workers {
            let shard = shard_index(process, worker, processes);
            let mut seconds: BTreeMap<u64, Recorder> = BTreeMap::new();
            for arrival in schedule.shard(shard, of) {
                assert_eq!(arrival.number as usize % processes, process, "arrival j, process j mod N");
                let second = seconds.entry(arrival.offset_ns / 1_000_000_000).or_default();
                record(second, arrival.number, seed);
            }
            for (second, recorder) in seconds {
                let received = sent(FromShard::Interval(Interval {
                    shard,
                    second,
                    recorders: vec![recorder],
                    held: 0,
                    in_flight: 0,
                }));
                let FromShard::Interval(interval) = received else {
                    panic!("a second is a second");
                };
                collector.deliver(&interval);
            }
        }
    }
    collector.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_shards_of_any_number_of_processes_are_the_whole(
        seed: u64,
        processes in 1_usize..9,
        workers in 1_usize..4,
        poisson: bool,
        rate_per_s in 1.0_f64..400.0,
        count in 1_u64..600,
    ) {
        let load = Model::Open {
            rate_per_s,
            arrivals: if poisson { Arrivals::Poisson } else { Arrivals::Uniform },
        };
        let schedule = Schedule::new(&load, Some(count), None, seed).unwrap();
        let of = processes * workers;
        let mut union: Vec<_> = (0..of)
            .flat_map(|shard| schedule.shard(shard, of))
            .map(|arrival| (arrival.number, arrival.offset_ns))
            .collect();
        union.sort_unstable();
        let whole: Vec<_> = schedule
            .shard(0, 1)
            .map(|arrival| (arrival.number, arrival.offset_ns))
            .collect();
        prop_assert_eq!(union, whole);

        let (parts, one) = (measured(&schedule, processes, workers, seed), measured(&schedule, 1, 1, seed));
        prop_assert_eq!(RecorderRecord::from(&parts.total), RecorderRecord::from(&one.total));
        prop_assert_eq!(parts.rows, one.rows);
        prop_assert_eq!(parts.log, one.log);
    }
}

#[test]
fn every_report_of_a_shard_survives_serialisation() {
    let mut recorder = Recorder::new();
    (0..500).for_each(|number| record(&mut recorder, number, 7));
    recorder.counters.each_mut().into_iter().zip(1..).for_each(|((_, count), n)| *count = n);
    let interval = FromShard::Interval(Interval {
        shard: 3,
        second: 9,
        recorders: vec![recorder, Recorder::new()],
        held: 17,
        in_flight: 2,
    });
    let done = FromShard::Done {
        shard: 1,
        report: ShardReport {
            planned: 5,
            started: 4,
            first_start_ns: Some(u64::MAX),
            last_handshake_end_ns: None,
            cpu_ns: 9,
        },
    };
    let broken = FromShard::Broken { shard: 2, error: io::Error::other("EBADF") };
    let lost = FromShard::Lost { error: "process 2 of 3".to_owned() };
    for report in [interval, done, broken, lost, FromShard::ArrivalsDone { shard: 4 }] {
        let record = ShardRecord::from(&report);
        assert_eq!(ShardRecord::from(&sent(report)), record);
    }
}

#[test]
fn records_of_others_are_refused_by_name() {
    let good = IntervalRecord::from(&Interval {
        shard: 0,
        second: 0,
        recorders: vec![Recorder::new()],
        held: 0,
        in_flight: 0,
    });
    let with = |change: fn(&mut IntervalRecord)| {
        let mut record = good.clone();
        change(&mut record);
        Interval::try_from(record).map(|_| ()).map_err(|error| error.to_string())
    };
    type Change = fn(&mut IntervalRecord);
    let rows: [(Change, Option<&str>, &str); 7] = [
        (|_| (), None, "as it was made"),
        (|it| it.version = 2, Some("version 2"), "another release"),
        (|it| it.targets.clear(), Some("without a recorder"), "of no target"),
        (
            |it| {
                it.targets[0].outcomes.insert("lost".into(), 1);
            },
            Some("\"lost\" is not the name of any outcome"),
            "an unknown outcome",
        ),
        (
            |it| {
                it.targets[0].counters.insert("sent".into(), 1);
            },
            Some("counter"),
            "an unknown counter",
        ),
        (
            |it| {
                it.targets[0].latencies.push(LatencyRecord {
                    metric: "connect".into(),
                    outcome: "established".into(),
                    token_kind: "valid".into(),
                    over_max: 0,
                    hdr: "HISTFAAA".into(),
                });
            },
            Some("a histogram of connect"),
            "a histogram that is none",
        ),
        (
            |it| {
                it.targets[0].failures.push(FailureRecord {
                    phase: "upgrade".into(),
                    kind: "http-".into(),
                    count: 1,
                    words: String::new(),
                });
            },
            Some("failure"),
            "an unknown failure",
        ),
    ];
    for (change, fault, why) in rows {
        match (with(change), fault) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) => assert!(error.contains(part), "{why}: {error}"),
            (read, _) => panic!("{why}: {read:?}"),
        }
    }
}
