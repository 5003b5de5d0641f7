//! Runs under TLS against the gate of this project, by every transport.

use testkit::Pki;

use super::program::run;
use super::services::{LocalServer, SECRET};

#[tokio::test]
async fn the_gate_is_loaded_under_tls_by_every_transport() {
    let pki = Pki::create();
    let (tls, authority) = (pki.flags(), pki.path("ca.pem"));
    for shards in [&["--workers=2"][..], &["--workers=1", "--processes=2"]] {
        let flags: Vec<_> = shards.iter().copied().chain(tls.iter().map(|it| &**it)).collect();
        let server = LocalServer::start(&flags).await;
        for (target, transport) in [
            (format!("wss://{}/ws", server.gate), "--protocol websocket"),
            (format!("https://{}", server.gate), "--transport websocket"),
            (format!("https://{}", server.gate), "--transport polling"),
            (format!("https://{}", server.gate), "--transport upgrade"),
        ] {
            for resumption in ["off", "on"] {
                let why = format!("{shards:?}: {target}, {transport}, resumption {resumption}");
                let asked = format!("--target {target} {transport} --token-source mint");
                let load = "-c 60 --concurrency 4 --hold 0s --echo 1 --mix valid=5,forged=1";
                let ended = run(&format!("{asked} {load} --tls-resumption {resumption}"))
                    .flag("--cacert", &authority)
                    .flag("--secret", SECRET)
                    .end()
                    .await;
                ended.exits_with(0, &why);
                let result = ended.result();
                let totals = result.totals;
                assert_eq!(totals.established + totals.refused_expected, 60, "{why}");
                let resumed = result.sockets.tls_resumed.unwrap();
                match resumption {
                    "off" => assert_eq!(resumed, 0, "{why}"),
                    // Those that begin at once have no ticket yet.
                    _ => assert!(resumed >= 40, "{why}: {resumed}"),
                }
            }
        }
        // Users log in and fetch their tokens under TLS as well.
        let logins = format!(
            "--target https://{} --login-url https://{}/login --token-url https://{}/getIoConnectionToken \
             --user gonzalo:password -c 20 --concurrency 4 --hold 0s --echo 1",
            server.gate, server.frontend, server.frontend
        );
        let ended = run(&logins).flag("--cacert", &authority).end().await;
        ended.exits_with(0, "logins under TLS");
        assert_eq!(ended.result().totals.established, 20);
    }
}
