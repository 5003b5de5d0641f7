//! Whether a run's figures may be trusted: the generator is judged before the server.
//!
//! A generator that does not keep its schedule measures itself. Validity is a pure function of measured values; an
//! invalid run has its reasons and is never reported as a slow one.

use reports::schema::Validity;
use reports::units::duration_us;

use crate::ground::expression::Expression;
use crate::ground::outcome::{FailureKind, Outcome};
use crate::ground::recorder::{Metric, Part, Recorder};

/// Part of the latency objective that the 99th percentile of the lag may take.
const LAG_SHARE_OF_OBJECTIVE_MAX: f64 = 0.1;
/// Without an objective: lag below this is finer than any verdict, whatever the response.
const LAG_NS_MAX: f64 = 1e6;
/// Without an objective: part of the response's 99th percentile that the lag's may be.
const LAG_SHARE_OF_RESPONSE_MAX: f64 = 0.25;
/// Above this lag the schedule was not kept, however slow the response: a starved generator also reads late, so that its
/// response grows with its lag.
const LAG_NS_NEVER: f64 = 50e6;
/// Part of the planned starts that must have happened.
const STARTED_SHARE_MIN: f64 = 0.995;
/// Part of its processors above which a generator queues its own work.
const CPU_SHARE_MAX: f64 = 0.8;

/// What a run is judged by. `None`: not measured, which is no reason for doubt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Arrivals had planned instants (the open model). The closed model saturates by design: its generator's lag and
    /// processor time are reported, not judged.
    pub open_model: bool,
    /// 99th percentile of how late arrivals began.
    pub lag_p99_ns: Option<f64>,
    /// 99th percentile of the handshake's response over the established.
    pub response_p99_ns: Option<f64>,
    /// The tightest latency that a threshold asks of the handshake.
    pub objective_ns: Option<f64>,
    /// Arrivals that became due.
    pub planned: u64,
    /// Arrivals that were begun.
    pub started: u64,
    /// Arrivals lost because descriptors, ports, memory or a queue of the generator had no room.
    pub lost_to_limits: u64,
    /// Processor time of the generator as a part of what it may use, 0 to 1, without its spinning before planned instants,
    /// which is time to spare.
    pub working_share: Option<f64>,
    /// How the embedded server ended, if it ended before it was stopped.
    pub server_died: Option<String>,
    /// Shards whose loop broke, each with the kernel's error.
    pub broken_shards: Vec<String>,
}

/// Processor time that the generator used, as parts of what its processors offered.
#[derive(Clone, Copy)]
pub struct Used {
    /// All of it, logins and pacing included.
    pub cpu_share: f64,
    /// The part of it spent spinning before planned instants, which is waiting and not work.
    pub spin_share: f64,
}

impl Used {
    /// `cpu_ns` used within `seconds` on `processors`; `None` where no time has passed.
    pub fn of(cpu_ns: u64, spun_ns: u64, seconds: f64, processors: usize) -> Option<Self> {
        let offered_ns = seconds * processors as f64 * 1e9;
        let used = Self { cpu_share: cpu_ns as f64 / offered_ns, spin_share: spun_ns.min(cpu_ns) as f64 / offered_ns };
        used.cpu_share.is_finite().then_some(used)
    }
}

impl Measured {
    /// Of everything recorded so far; `server_died` and `broken_shards` are the caller's.
    pub fn of(total: &Recorder, thresholds: &[Expression], open_model: bool, used: Option<Used>) -> Self {
        let response = total.latency(Metric::Handshake(Part::Response), Outcome::Established);
        let lag = total.handshake_lag();
        let lost = total.failures().filter(|(failure, _)| failure.kind == FailureKind::Limit);
        Self {
            open_model,
            lag_p99_ns: (!lag.is_empty()).then(|| lag.quantile_ns(0.99) as f64),
            response_p99_ns: (!response.is_empty()).then(|| response.quantile_ns(0.99) as f64),
            objective_ns: thresholds.iter().filter_map(Expression::handshake_limit_ns).min_by(f64::total_cmp),
            planned: total.ended(),
            started: total.ended() - total.count(Outcome::NotSent),
            lost_to_limits: lost.map(|(_, count)| count).sum(),
            working_share: used.map(|used| used.cpu_share - used.spin_share),
            ..Self::default()
        }
    }
}

/// Whether the run is valid, with every reason for doubt as a sentence, the gravest first.
pub fn judge(measured: &Measured) -> Validity {
    let reasons: Vec<String> = [
        server_died(measured),
        broken_shards(measured),
        limits(measured),
        starts(measured),
        lag(measured),
        cpu(measured),
    ]
    .into_iter()
    .flatten()
    .collect();
    Validity { valid: reasons.is_empty(), reasons }
}

fn server_died(measured: &Measured) -> Option<String> {
    let how = measured.server_died.as_ref()?;
    Some(format!("the embedded server died during the run: {how}"))
}

fn broken_shards(measured: &Measured) -> Option<String> {
    let errors = &measured.broken_shards;
    (!errors.is_empty()).then(|| {
        let of = errors.join("; ");
        format!("a part of the generator was lost, and with it figures and arrivals: {of}")
    })
}

fn limits(measured: &Measured) -> Option<String> {
    let lost = measured.lost_to_limits;
    (lost > 0).then(|| {
        format!(
            "{lost} arrivals were not sent because the generator ran out of descriptors, ports or room in a queue; \
             raise the limit (ulimit -n) or ask for fewer sockets"
        )
    })
}

fn starts(measured: &Measured) -> Option<String> {
    let Measured { planned, started, .. } = *measured;
    let share = started as f64 / planned.max(1) as f64;
    (planned > 0 && share < STARTED_SHARE_MIN).then(|| {
        format!(
            "only {started} of {planned} planned arrivals were begun ({}, at least {} are needed)",
            percent(share),
            percent(STARTED_SHARE_MIN)
        )
    })
}

fn lag(measured: &Measured) -> Option<String> {
    let lag_ns = measured.lag_p99_ns.filter(|_| measured.open_model)?;
    let late = format!("arrivals began late: the lag's p99 is {}", duration(lag_ns));
    if let Some(objective_ns) = measured.objective_ns {
        let limit_ns = objective_ns * LAG_SHARE_OF_OBJECTIVE_MAX;
        return (lag_ns > limit_ns).then(|| {
            format!("{late}, and a tenth of the {} that is asked for is {}", duration(objective_ns), duration(limit_ns))
        });
    }
    if lag_ns > LAG_NS_NEVER {
        let limit = duration_us(LAG_NS_NEVER / 1e3);
        return Some(format!("{late}, above {limit}, which no schedule survives"));
    }
    let response_ns = measured.response_p99_ns.unwrap_or_default();
    (lag_ns > LAG_NS_MAX && lag_ns > response_ns * LAG_SHARE_OF_RESPONSE_MAX).then(|| {
        format!(
            "{late}, above {} and above a quarter of the response's {}",
            duration(LAG_NS_MAX),
            duration(response_ns)
        )
    })
}

fn cpu(measured: &Measured) -> Option<String> {
    let share = measured.working_share.filter(|_| measured.open_model)?;
    (share > CPU_SHARE_MAX).then(|| {
        format!(
            "the generator worked for {} of the time of the processors it may use, above {}: it measures its own queue; \
             ask for a lower rate or give it more workers",
            percent(share),
            percent(CPU_SHARE_MAX)
        )
    })
}

fn duration(ns: f64) -> String {
    duration_us(ns / 1e3)
}

/// With one decimal, rounded down, so that a share just below a limit does not read as the limit.
fn percent(share: f64) -> String {
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e6;

    /// A run without fault: 1,000 arrivals, little lag, half a core.
    fn healthy() -> Measured {
        Measured {
            open_model: true,
            lag_p99_ns: Some(0.1 * MS),
            response_p99_ns: Some(2.0 * MS),
            planned: 1000,
            started: 1000,
            working_share: Some(0.5),
            ..Measured::default()
        }
    }

    #[test]
    fn each_fault_is_a_reason_and_its_limit_is_not() {
        type Change = fn(&mut Measured);
        let rows: [(Change, Option<&str>, &str); 17] = [
            (|_| (), None, "a healthy run"),
            (|m| m.lag_p99_ns = Some(0.9 * MS), None, "below a millisecond"),
            (|m| m.lag_p99_ns = Some(1.1 * MS), Some("lag"), "over 1 ms, over a quarter of 2 ms"),
            (
                |m| {
                    m.lag_p99_ns = Some(1.1 * MS);
                    m.response_p99_ns = Some(5.0 * MS);
                },
                None,
                "over 1 ms, but below a quarter of the response",
            ),
            (
                |m| {
                    m.lag_p99_ns = Some(1.1 * MS);
                    m.response_p99_ns = None;
                },
                Some("lag"),
                "nothing was established, and the lag is long",
            ),
            (
                |m| {
                    m.lag_p99_ns = Some(51.0 * MS);
                    m.response_p99_ns = Some(1000.0 * MS);
                },
                Some("no schedule"),
                "late by far, and so slow in reading that the response hides it",
            ),
            (|m| m.objective_ns = Some(1.0 * MS), None, "exactly a tenth of the objective"),
            (|m| m.objective_ns = Some(0.9 * MS), Some("lag"), "over a tenth of the objective"),
            (
                |m| {
                    m.lag_p99_ns = Some(4.0 * MS);
                    m.objective_ns = Some(50.0 * MS);
                },
                None,
                "4 ms of 50 ms: the objective decides",
            ),
            (
                |m| {
                    m.open_model = false;
                    m.lag_p99_ns = Some(9.0 * MS);
                    m.working_share = Some(1.0);
                },
                None,
                "the closed model saturates by design",
            ),
            (|m| m.started = 995, None, "99.5 % began"),
            (|m| m.started = 994, Some("994 of 1000"), "99.4 % began"),
            (|m| m.working_share = Some(0.8), None, "80 %"),
            (|m| m.working_share = Some(0.81), Some("81.0 %"), "81 %"),
            (|m| m.lost_to_limits = 1, Some("descriptors"), "one arrival found no descriptor"),
            (|m| m.server_died = Some("killed".into()), Some("died"), "the server is gone"),
            (|m| m.broken_shards = vec!["EBADF".into()], Some("EBADF"), "a shard is gone"),
        ];
        for (change, reason, why) in rows {
            let mut measured = healthy();
            change(&mut measured);
            let validity = judge(&measured);
            assert_eq!(validity.valid, reason.is_none(), "{why}: {:?}", validity.reasons);
            assert_eq!(validity.reasons.len(), usize::from(reason.is_some()), "{why}");
            if let Some(reason) = reason {
                assert!(validity.reasons[0].contains(reason), "{why}: {:?}", validity.reasons);
            }
        }
    }

    #[test]
    fn the_gravest_reason_comes_first() {
        let measured = Measured {
            server_died: Some("signal 9".into()),
            lost_to_limits: 3,
            started: 10,
            working_share: Some(0.95),
            ..healthy()
        };
        let reasons = judge(&measured).reasons;
        assert_eq!(reasons.len(), 4);
        assert!(reasons[0].contains("signal 9") && reasons[3].contains("95.0 %"), "{reasons:?}");
    }

    #[test]
    fn a_run_without_arrivals_has_nothing_to_doubt() {
        assert!(judge(&Measured::default()).valid);
    }
}
