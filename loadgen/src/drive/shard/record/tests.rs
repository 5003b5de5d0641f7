use std::time::SystemTime;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::drive::processes::shard_index;
use crate::ground::outcome::Phase;
use crate::ground::recorder::Part;
use crate::judge::collect::{Collected, Collector};
use crate::plan::arrival::Schedule;
use crate::plan::model::{Arrivals, Model};

/// The report after its conversion to JSON and back.
fn sent(report: FromShard) -> FromShard {
    let text = serde_json::to_string(&ShardRecord::from(&report)).unwrap();
    serde_json::from_str::<ShardRecord>(&text).unwrap().try_into().unwrap()
}

/// Records an arrival whose outcome and durations follow from its number and the seed.
fn record(recorder: &mut Recorder, number: u64, seed: u64) {
    let mixed = (number ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
    let outcome = Outcome::ALL[(mixed % 8) as usize];
    let kind = TokenKind::ALL[(mixed / 8 % 12) as usize];
    // Some durations are above the maximum of a histogram.
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

/// Measures a schedule on this number of processes and workers; each interval is sent as a record.
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
                    panic!("an interval became another report");
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
    fn shards_of_any_number_of_processes_add_up_to_the_whole_schedule(
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
fn invalid_records_are_refused() {
    let recorders = vec![Recorder::new()];
    let interval = Interval { shard: 0, second: 0, recorders, held: 0, in_flight: 0 };
    let valid = serde_json::to_value(IntervalRecord::from(&interval)).unwrap();
    let check = |pointer: &str, value: serde_json::Value| {
        let mut record = valid.clone();
        *record.pointer_mut(pointer).unwrap() = value;
        let record = serde_json::from_value::<IntervalRecord>(record).map_err(|error| error.to_string())?;
        Interval::try_from(record).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(check("/version", json!(RECORD_VERSION)), Ok(()), "the record as it was written");
    let latency = json!([{"metric": "connect", "outcome": "established", "token_kind": "valid", "hdr": "HISTFAAA"}]);
    for (pointer, value, part, why) in [
        ("/version", json!(2), "version 2", "another release"),
        ("/targets", json!([]), "without a recorder", "no target"),
        ("/targets/0/outcomes", json!({"lost": 1}), "unknown variant `lost`", "an unknown outcome"),
        ("/targets/0/counters", json!({"sent": 1}), "\"sent\" is not the name of any counter", "an unknown counter"),
        ("/targets/0/latencies", latency, "a histogram of connect", "text that is no histogram"),
        (
            "/targets/0/failures",
            json!([[{"phase": "upgrade", "kind": "http-"}, {"count": 1, "words": ""}]]),
            "\"http-\" is not the name of any failure",
            "an unknown failure",
        ),
    ] {
        let error = check(pointer, value).expect_err(why);
        assert!(error.contains(part), "{why}: {error}");
    }
}
