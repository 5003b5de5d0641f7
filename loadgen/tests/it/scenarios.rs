//! The scenario files that come with the program, run as they stand but for their size.

use gatecrash::outcome::Outcome;

use crate::peers::tools::Peers;
use crate::run::program::{Program, run};
use crate::run::services::{SECRET, Site};

/// A run of an example file, by its name, with flags over it.
fn example(name: &str, flags: &str) -> Program {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    run(&format!("{file}/{name}.toml {flags}"))
}

#[tokio::test]
async fn the_embedded_example_runs() {
    // Its own threshold asks for a machine of its own.
    let ended = example("embedded", "-c 100")
        .flag("--threshold", "errors==0%")
        .end()
        .await;
    ended.passes_or_is_late("embedded.toml");
    let result = ended.counts(&[(Outcome::Established, 100)], "embedded.toml");
    let asked = &result.scenario;
    assert_eq!(
        (asked.connections, asked.rate_per_s),
        (Some(100), Some(500.0))
    );
    assert_eq!(asked.arrivals.as_deref(), Some("poisson"));
    let thresholds: Vec<&str> = result.thresholds.iter().map(|t| t.text.as_str()).collect();
    assert_eq!(
        thresholds,
        ["established>0", "errors==0%"],
        "a flag displaces the whole list"
    );
}

#[tokio::test]
async fn a_flag_displaces_the_files_model() {
    let flags = "--concurrency 8 -c 60 --echo 0 --threshold errors<1%";
    let ended = example("embedded", flags).end().await;
    ended.exits_with(0, "the schedule of the file is gone, rate and gaps");
    let result = ended.counts(&[(Outcome::Established, 60)], "closed");
    let asked = &result.scenario;
    assert_eq!((asked.rate_per_s, asked.arrivals.as_ref()), (None, None));
    assert_eq!((asked.concurrency, asked.echo), (Some(8), Some(0)));
    assert!(
        !result.phases.contains_key("echo"),
        "{:?}",
        result.phases.keys()
    );
}

#[tokio::test]
async fn the_minting_example_runs_against_node() {
    let Some(peers) = Peers::find() else { return };
    let server = peers.serve("socketio-server.js", &["--version", "4"]).await;
    let flags = format!(
        "--target http://{} --secret env:SECRET -c 300 --hold 0s --threshold errors<1%",
        server.addr
    );
    let ended = example("socketio-minted", &flags)
        .env("SECRET", SECRET)
        .end()
        .await;
    ended.exits_with(0, "socketio-minted.toml");
    let result = ended.counts(&[(Outcome::Established, 300)], "socketio-minted.toml");
    assert_eq!(result.scenario.concurrency, Some(64));
    assert_eq!(result.scenario.token_ttl_s, Some(60.0));
    assert_eq!(server.stats().await["accepted"], 300);
}

#[tokio::test]
async fn the_login_example_runs_against_a_site() {
    let site = Site::start(&[]).await;
    let (gate, frontend) = (site.gate, site.frontend);
    let flags = format!(
        "--target ws://{gate}/ws --login-url http://{frontend}/login \
         --token-url http://{frontend}/getIoConnectionToken \
         --concurrency 8 -c 50 --hold 300ms --message-rate 20/s --threshold errors<1%"
    );
    let ended = example("websocket-login", &flags).end().await;
    ended.exits_with(0, "websocket-login.toml");
    let result = ended.counts(&[(Outcome::Established, 50)], "websocket-login.toml");
    assert_eq!(result.phases["echo"].established.count, 250);
    assert_eq!(result.scenario.token_in.as_deref(), Some("header"));
    assert_eq!(result.scenario.message_bytes, Some(128));
}
