//! The figures of a load at the end of each of its seconds, for the live view and Prometheus.

use std::time::{Duration, Instant};

use crate::judge::collect::Collector;
use crate::judge::validity::{self, Measured, Used};
use crate::plan::arrival::Schedule;
use crate::plan::hold::Hold;
use crate::run::context::RunContext;
use crate::run::live::{GeneratorNow, Left, Now};
use crate::run::observe::ProcessSample;
use crate::run::plan::LoadPlan;
use crate::spec::LoadSpec;

/// The seconds of one load.
pub struct Seconds {
    began: Instant,
    /// Processor time of the generator's processes at that instant.
    cpu_began_ns: u64,
    /// Arrivals in all, where that is known.
    planned: Option<u64>,
    /// From the start to the planned end of the last socket, where there is one.
    ends_after: Option<Duration>,
}

impl Seconds {
    /// Starts to count now, with the processor time that the generator has used so far. Without a schedule the load is
    /// one of the closed model.
    pub fn begin(plan: &LoadPlan<'_>, schedule: Option<&Schedule>, generator: Option<&ProcessSample>) -> Self {
        let load = &plan.load;
        let last_arrival = match schedule {
            Some(schedule) => Some(schedule.end_hint()),
            None => load.duration,
        };
        Self {
            began: Instant::now(),
            cpu_began_ns: generator.map_or(0, ProcessSample::cpu_ns),
            planned: match schedule {
                Some(schedule) => schedule.len_hint(),
                None => load.connections,
            },
            ends_after: last_arrival.map(|last| last + last_hold(load)),
        }
    }

    /// The load as it is now; the caller fills in held sockets and handshakes in flight.
    pub fn now(
        &self,
        context: &RunContext,
        plan: &LoadPlan<'_>,
        collector: &Collector,
        generator: Option<&ProcessSample>,
        broken: &[String],
    ) -> Now {
        let total = collector.total();
        let now = Now::of(total, collector.rows(), plan.load.model.is_planned());
        let cpu_ns = generator.map_or(0, ProcessSample::cpu_ns);
        let cpu_ns = cpu_ns.saturating_sub(self.cpu_began_ns);
        let elapsed_s = self.began.elapsed().as_secs_f64();
        let spun_ns = total.counters.spun_ns;
        let used = Used::of(cpu_ns, spun_ns, elapsed_s, context.share.generator.len());
        let measured = Measured {
            server_died: plan.server.died().cloned(),
            broken_shards: broken.to_vec(),
            ..Measured::of(total, &plan.spec.report.thresholds, now.open_model, used)
        };
        Now {
            warming_up: plan.warming_up,
            left: self.left(&now),
            planned: self.planned,
            generator: GeneratorNow {
                cpu_s: cpu_ns as f64 / 1e9,
                cpu_share: used.map(|used| used.cpu_share),
                rss_bytes: generator.map(|sample| sample.rss_bytes),
                doubts: validity::judge(&measured).to_result().reasons,
                ..now.generator
            },
            ..now
        }
    }

    fn left(&self, now: &Now) -> Option<Left> {
        let elapsed = Duration::from_secs(now.elapsed_s);
        if let Some(end) = self.ends_after {
            return Some(Left::Planned(end.saturating_sub(elapsed)));
        }
        let (ended, planned) = (now.ended(), self.planned?);
        let part = planned.saturating_sub(ended) as f64 / ended as f64;
        let left = Duration::try_from_secs_f64(elapsed.as_secs_f64() * part);
        left.ok().map(Left::About)
    }
}

/// How long the last socket is held, as far as that is planned: a random lifetime is not.
fn last_hold(load: &LoadSpec) -> Duration {
    let echo = &load.echo;
    match (load.hold, echo.rate_per_s) {
        (Hold::For(time), _) => time,
        // A socket that is held until the end sends all of its messages first.
        (Hold::UntilEnd, Some(per_s)) => Duration::from_secs_f64(f64::from(echo.count) / per_s),
        (Hold::UntilEnd, None) | (Hold::Drawn(_), _) => Duration::ZERO,
    }
}
