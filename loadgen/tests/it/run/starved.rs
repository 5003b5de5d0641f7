//! A generator that is kept from its processor measures itself, and must say so.

use std::process::{Child, Command, Stdio};

use gatecrash::ground::environment::allowed_cpus;
use gatecrash::judge::verdict::INVALID;
use reports::schema::VerdictName;

use super::program::run;
use crate::engine_servers::serve_websocket;

/// A process that is busy on one processor until it is dropped.
struct Busy(Child);

impl Busy {
    fn on(cpu: usize) -> Self {
        let child = Command::new("taskset")
            .args(["-c", &cpu.to_string(), "sh", "-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn();
        Self(child.expect("taskset is part of util-linux, which the tests need"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Next to a busy process of the usual priority one of nice 10 has a tenth of the processor: 110 of 1,134 shares
/// (`sched_prio_to_weight` of the kernel). So many arrivals a second take more than that.
#[tokio::test]
async fn a_generator_with_a_tenth_of_a_core_is_invalid() {
    let addr = serve_websocket(|_| {});
    let cpu = allowed_cpus()[0];
    let mint = "--token-source mint --secret any-secret-will-do --token-per user";
    for threshold in ["", "--threshold handshake.p99<10ms"] {
        let flags = format!("--target ws://{addr} -r 4000 -c 4000 --auth-grace 1ms --hold 0s {mint} {threshold}");
        let _busy = Busy::on(cpu);
        let ended = run(&flags).after(&format!("renice -n 10 -p $$ >&2; taskset -pc {cpu} $$ >&2")).end().await;
        ended.exits_with(INVALID, "starved");
        let result = ended.result();
        assert!(!result.validity.valid && !result.validity.reasons.is_empty());
        let late = |reason: &String| reason.starts_with("arrivals began late");
        assert!(result.validity.reasons.iter().any(late), "{:?}", result.validity.reasons);
        assert_eq!(result.verdict.name, VerdictName::Invalid, "never reported as slow");
    }
}
