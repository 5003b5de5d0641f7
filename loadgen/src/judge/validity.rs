//! Whether a run's figures may be trusted: the generator is judged before the server.
//!
//! A generator that does not keep its schedule measures itself. Validity is a pure function of measured values; an
//! invalid run has its reasons and is never reported as a slow one.

use reports::histogram::LatencyHistogram;
use reports::schema::Validity;
use reports::units::{count, duration_us};

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
/// The probability with which a start of a generator that keeps its schedule is later than the limit.
const LATE_SHARE: f64 = 0.01;
/// Late starts that would be this improbable are not explained by chance.
const LATE_BY_CHANCE_MAX: f64 = 0.01;
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
    /// How late arrivals began.
    pub lag: Option<Lag>,
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

/// How late arrivals began, against the limit that the run sets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// Arrivals that began.
    pub started: u64,
    /// Those of them that began later than the limit.
    pub late: u64,
    /// 99th percentile of the lag of all.
    pub p99_ns: f64,
    /// The limit.
    pub limit: LagLimit,
}

/// How late an arrival may begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LagLimit {
    /// A tenth of the tightest latency that a threshold asks of the handshake, which is this, in nanoseconds.
    OfObjective(f64),
    /// Without such a threshold: a quarter of the 99th percentile of the handshake's response, which is this, in
    /// nanoseconds; at least `LAG_NS_MAX` and at most `LAG_NS_NEVER`.
    OfResponse(f64),
}

impl Default for LagLimit {
    fn default() -> Self {
        Self::OfResponse(0.0)
    }
}

impl LagLimit {
    fn ns(self) -> f64 {
        match self {
            Self::OfObjective(objective_ns) => objective_ns * LAG_SHARE_OF_OBJECTIVE_MAX,
            Self::OfResponse(p99_ns) => (p99_ns * LAG_SHARE_OF_RESPONSE_MAX).clamp(LAG_NS_MAX, LAG_NS_NEVER),
        }
    }
}

impl Lag {
    /// Of the lags of a run and its limit; `None` where nothing began by a plan.
    pub fn of(lags: &LatencyHistogram, limit: LagLimit) -> Option<Self> {
        let above = lags.recorded().filter(|(lowest_ns, ..)| *lowest_ns as f64 > limit.ns());
        let late = above.map(|(.., count)| count).sum::<u64>() + lags.over_max();
        let started = lags.count() + lags.over_max();
        (started > 0).then(|| Self { started, late, p99_ns: lags.quantile_ns(0.99) as f64, limit })
    }
}

/// The fewest late starts among `started` that chance does not explain where each is late with a probability of 1 %:
///
/// ```text
/// the smallest k with P(X >= k) < 0.01,   X ~ Binomial(started, 0.01)
/// ```
///
/// 2 of 5, 4 of 50, 12 of 500. A percentile would let one late start in five pass or fail a run by luck.
fn late_min(started: u64) -> u64 {
    let (late, on_time) = (LATE_SHARE.ln(), (1.0 - LATE_SHARE).ln());
    // ln P(X = k), from k = 0 on; a logarithm, because P(X = 0) of a long run underflows.
    let mut ln_probability = started as f64 * on_time;
    let mut at_least = 1.0;
    let mut k = 0;
    while at_least >= LATE_BY_CHANCE_MAX && k <= started {
        at_least -= ln_probability.exp();
        ln_probability += ((started - k) as f64 / (k + 1) as f64).ln() + late - on_time;
        k += 1;
    }
    k
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
        let objective_ns = thresholds.iter().filter_map(Expression::handshake_limit_ns).min_by(f64::total_cmp);
        let limit =
            objective_ns.map_or_else(|| LagLimit::OfResponse(response.quantile_ns(0.99) as f64), LagLimit::OfObjective);
        let lost = total.failures().filter(|(failure, _)| failure.kind == FailureKind::Limit);
        Self {
            open_model,
            lag: Lag::of(&total.handshake_lag(), limit),
            planned: total.ended(),
            started: total.ended() - total.count(Outcome::NotSent),
            lost_to_limits: lost.map(|(_, count)| count).sum(),
            working_share: used.map(|used| used.cpu_share - used.spin_share),
            ..Self::default()
        }
    }
}

/// Why a run's figures may not be trusted, each reason as a sentence, the gravest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// A part of the load was lost: no figure is that of the load that was asked for.
    pub lost: Vec<String>,
    /// The generator was late or busy: latencies and timeouts may be its own. What the target sent (refusals, closes,
    /// resets) does not depend on that.
    pub doubts: Vec<String>,
}

impl Judgement {
    /// As the result shows it.
    pub fn to_result(&self) -> Validity {
        let reasons: Vec<String> = self.lost.iter().chain(&self.doubts).cloned().collect();
        Validity { valid: reasons.is_empty(), reasons }
    }
}

/// Judges what was measured.
pub fn judge(measured: &Measured) -> Judgement {
    let lost = [server_died(measured), broken_shards(measured), limits(measured), starts(measured)];
    let doubts = [lag(measured), cpu(measured)];
    Judgement { lost: lost.into_iter().flatten().collect(), doubts: doubts.into_iter().flatten().collect() }
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
    let lag = measured.lag.filter(|lag| measured.open_model && lag.late >= late_min(lag.started))?;
    let limit = match lag.limit {
        LagLimit::OfObjective(objective_ns) => format!("a tenth of the {} that is asked for", duration(objective_ns)),
        LagLimit::OfResponse(_) if lag.limit.ns() <= LAG_NS_MAX => "the limit of any run".to_owned(),
        LagLimit::OfResponse(_) if lag.limit.ns() >= LAG_NS_NEVER => "which no schedule survives".to_owned(),
        LagLimit::OfResponse(p99_ns) => format!("a quarter of the response's {}", duration(p99_ns)),
    };
    Some(format!(
        "arrivals began late: {} of {} by more than {} ({limit}), more than the 1 % that chance explains; the lag's p99 \
         is {}",
        count(lag.late),
        count(lag.started),
        duration(lag.limit.ns()),
        duration(lag.p99_ns)
    ))
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

    /// A run without fault: 1,000 arrivals, none late, half a core.
    fn healthy() -> Measured {
        let lag = Lag { started: 1000, late: 0, p99_ns: 0.1 * MS, limit: LagLimit::OfResponse(2.0 * MS) };
        let (planned, started) = (1000, 1000);
        Measured { open_model: true, lag: Some(lag), planned, started, working_share: Some(0.5), ..Measured::default() }
    }

    #[test]
    fn each_fault_is_a_reason_and_its_limit_is_not() {
        type Change = fn(&mut Measured);
        let rows: [(Change, Option<&str>, &str); 15] = [
            (|_| (), None, "a healthy run"),
            (|m| m.lag = m.lag.map(|lag| Lag { late: 18, ..lag }), None, "18 of 1,000 late is chance"),
            (
                |m| m.lag = m.lag.map(|lag| Lag { late: 19, ..lag }),
                Some("19 of 1,000 by more than 1.00 ms"),
                "19 are not",
            ),
            (
                |m| m.lag = m.lag.map(|lag| Lag { late: 30, limit: LagLimit::OfObjective(50.0 * MS), ..lag }),
                Some("5.00 ms (a tenth of the 50.0 ms"),
                "late against the objective",
            ),
            (
                |m| m.lag = m.lag.map(|lag| Lag { late: 30, limit: LagLimit::OfResponse(40.0 * MS), ..lag }),
                Some("10.0 ms (a quarter of the response's 40.0 ms"),
                "late against the response",
            ),
            (
                |m| m.lag = m.lag.map(|lag| Lag { late: 30, limit: LagLimit::OfResponse(1000.0 * MS), ..lag }),
                Some("no schedule"),
                "late by far, and so slow in reading that the response hides it",
            ),
            (
                |m| {
                    m.open_model = false;
                    m.lag = m.lag.map(|lag| Lag { late: 900, ..lag });
                    m.working_share = Some(1.0);
                },
                None,
                "the closed model saturates by design",
            ),
            (|m| m.lag = None, None, "nothing began by a plan"),
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
            let validity = judge(&measured).to_result();
            assert_eq!(validity.valid, reason.is_none(), "{why}: {:?}", validity.reasons);
            assert_eq!(validity.reasons.len(), usize::from(reason.is_some()), "{why}");
            if let Some(reason) = reason {
                assert!(validity.reasons[0].contains(reason), "{why}: {:?}", validity.reasons);
            }
        }
    }

    #[test]
    fn late_starts_are_counted_against_chance() {
        for (started, late) in [(1, 2), (2, 2), (5, 2), (50, 4), (500, 12), (1000, 19)] {
            assert_eq!(late_min(started), late, "of {started}");
        }
        assert!((10_200..10_260).contains(&late_min(1_000_000)), "about the 99th percentile of a long run");
    }

    #[test]
    fn the_limit_of_the_lag_is_that_of_the_objective_or_the_response() {
        for (limit, limit_ms, why) in [
            (LagLimit::OfObjective(1.0 * MS), 0.1, "a tenth of the objective"),
            (LagLimit::OfResponse(0.0), 1.0, "nothing was established"),
            (LagLimit::OfResponse(2.0 * MS), 1.0, "finer than any verdict"),
            (LagLimit::OfResponse(5.0 * MS), 1.25, "a quarter"),
            (LagLimit::OfResponse(1000.0 * MS), 50.0, "no schedule survives more"),
        ] {
            assert_eq!(limit.ns(), limit_ms * MS, "{why}");
        }
        let mut lags = LatencyHistogram::new();
        for lag_ns in [0, 900_000, 1_100_000, 2_000_000_000] {
            lags.record(lag_ns);
        }
        let lag = Lag::of(&lags, LagLimit::default()).unwrap();
        assert_eq!((lag.started, lag.late), (4, 2));
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
        let reasons = judge(&measured).to_result().reasons;
        assert_eq!(reasons.len(), 4);
        assert!(reasons[0].contains("signal 9") && reasons[3].contains("95.0 %"), "{reasons:?}");
    }

    #[test]
    fn a_run_without_arrivals_has_nothing_to_doubt() {
        assert_eq!(judge(&Measured::default()), Judgement::default());
    }
}
