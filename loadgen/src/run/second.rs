//! What is known of a load at the end of each of its seconds, put together for whoever watches.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Rig;
use super::figures::measured;
use super::load::LoadPlan;
use crate::arrival::Schedule;
use crate::collect::Collector;
use crate::live::{GeneratorNow, Left, Now};
use crate::observe::resident_bytes;
use crate::scenario::{Hold, Scenario};
use crate::validity;

/// The seconds of one load.
pub struct Seconds {
    began: Instant,
    /// Processor time of this process then.
    cpu_began: Duration,
    /// Arrivals in all, where that is known.
    planned: Option<u64>,
    /// When its last socket is to be gone, where a plan says so.
    ends_after: Option<Duration>,
}

impl Seconds {
    /// The load begins now; without a schedule it is one of the closed model.
    pub fn begin(plan: &LoadPlan<'_>, schedule: Option<&Schedule>) -> Self {
        let scenario = &plan.scenario;
        let last_arrival = match schedule {
            Some(schedule) => Some(schedule.end_hint()),
            None => scenario.duration,
        };
        Self {
            began: Instant::now(),
            cpu_began: process_cpu(),
            planned: match schedule {
                Some(schedule) => schedule.len_hint(),
                None => scenario.connections,
            },
            ends_after: last_arrival.map(|last| last + stays(scenario)),
        }
    }

    /// The load as it is now; sockets and handshakes under way are known to others.
    pub fn now(
        &self,
        rig: &Rig,
        plan: &LoadPlan<'_>,
        collector: &Collector,
        broken: &[String],
    ) -> Now {
        let total = collector.total();
        let now = Now::of(total, collector.rows(), plan.scenario.load.is_planned());
        let cpu_s = process_cpu().saturating_sub(self.cpu_began).as_secs_f64();
        let elapsed_s = self.began.elapsed().as_secs_f64();
        let cpu_share = cpu_s / (elapsed_s * rig.share.generator.len() as f64);
        let cpu_share = cpu_share.is_finite().then_some(cpu_share);
        Now {
            warming_up: plan.warming_up,
            left: self.left(&now),
            planned: self.planned,
            generator: GeneratorNow {
                cpu_s,
                cpu_share,
                rss_bytes: resident_bytes(std::process::id()).ok(),
                doubts: validity::judge(&measured(plan, total, cpu_share, broken)).reasons,
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

/// How long the last socket stays, as far as that is planned: a drawn lifetime is not.
fn stays(scenario: &Scenario) -> Duration {
    let echo = &scenario.echo;
    match (scenario.hold, echo.rate_per_s) {
        (Hold::For(time), _) => time,
        // What is held until the end says all of its messages first.
        (Hold::UntilEnd, Some(per_s)) => Duration::from_secs_f64(f64::from(echo.count) / per_s),
        (Hold::UntilEnd, None) | (Hold::Drawn(_), _) => Duration::ZERO,
    }
}

/// Processor time of this process, of threads that have ended as well.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
