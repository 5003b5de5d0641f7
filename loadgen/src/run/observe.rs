//! What server and machine spend, read from `/proc` before, during and after the load.
//!
//! Processor time comes from each thread's `schedstat`, in nanoseconds: `/proc/PID/stat` ticks at 10 ms. A thread that
//! ends takes its time with it, so the figures are those of threads that live as long as the run, as servers' do.

mod cost;
mod metrics;
mod proc;
mod snapshot;

pub use cost::{frontend_cost, machine_cost, server_cost};
pub use metrics::{Metrics, MetricsError, Readings, Watch, metrics_cost};
pub use proc::{MachineSample, ProcessSample, ThreadSample};
pub use snapshot::{Observer, Snapshot};
