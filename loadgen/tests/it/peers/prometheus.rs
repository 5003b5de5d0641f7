//! The page of `--prometheus`, read in mid-run by Prometheus' own client.

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::timeout;

use crate::run::program::run;
use testkit::PATIENCE;
use testkit::Peers;

#[tokio::test]
async fn prometheus_reads_a_run() {
    let Some(peers) = Peers::find() else { return };
    let flags = "-c 5000 -r 200/s --mix valid=90,expired=10 --prometheus 127.0.0.1:0";
    let running = run(flags).start();
    let line = running.first_line().await;
    let url = line.strip_prefix("metrics at ").expect(&line);
    // Looked at until there are arrivals of both kinds; the page is whole from the beginning.
    let page = timeout(PATIENCE, async {
        loop {
            let told = peers.output("python/metrics.py", &[url], String::new()).await;
            let page: Value = serde_json::from_str(&told).unwrap();
            let labels = [("outcome", "refused_expected")];
            if value(&page, "gatecrash_arrivals_total", &labels) > 5.0 {
                return page;
            }
        }
    });
    let page = page.await.expect("arrivals of both kinds in time");
    running.signal(Signal::INT);
    running.end().await;

    let count = |name, labels| value(&page, name, labels);
    let established = count("gatecrash_arrivals_total", &[("outcome", "established")]);
    assert!(established > 100.0, "{page}");
    assert_eq!(count("gatecrash_arrivals_planned", &[]), 5000.0);
    let handshake = [("phase", "handshake.response")];
    assert_eq!(count("gatecrash_phase_seconds_count", &handshake), established);
    let mean_s = count("gatecrash_phase_seconds_sum", &handshake) / established;
    assert!((1e-5..1.0).contains(&mean_s), "{mean_s}");
    let buckets: Vec<f64> = samples(&page)
        .filter(|sample| {
            sample["name"] == "gatecrash_phase_seconds_bucket" && sample["labels"]["phase"] == "handshake.response"
        })
        .map(|sample| sample["value"].as_f64().unwrap())
        .collect();
    assert!(buckets.is_sorted() && buckets.len() > 10, "{buckets:?}");
    assert_eq!(buckets.last(), Some(&established));
    for (name, kind) in [
        ("gatecrash_phase_seconds", "histogram"),
        ("gatecrash_arrivals", "counter"),
        ("gatecrash_sockets_held", "gauge"),
        ("gatecrash_refusals", "counter"),
        ("gatecrash_generator_cpu_seconds", "counter"),
    ] {
        assert_eq!(page["types"][name], kind, "{name}: {page}");
    }
    let refused = samples(&page).filter(|sample| sample["name"] == "gatecrash_refusals_total");
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["labels"]["token_kind"], "expired");
}

fn samples(page: &Value) -> impl Iterator<Item = &Value> {
    page["samples"].as_array().unwrap().iter()
}

/// The value of the one sample of this name and these labels.
#[track_caller]
fn value(page: &Value, name: &str, labels: &[(&str, &str)]) -> f64 {
    let mut found = samples(page).filter(|sample| {
        sample["name"] == name && labels.iter().all(|(label, text)| sample["labels"][*label] == *text)
    });
    let sample = found.next().unwrap_or_else(|| panic!("no {name} {labels:?} in {page}"));
    assert!(found.next().is_none(), "{name} {labels:?} is there once");
    sample["value"].as_f64().unwrap()
}
