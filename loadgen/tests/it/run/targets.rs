//! Several targets of one run: each has its part, and its figures stand apart.

use super::carriers::ESTABLISHED;
use super::program::{Ended, run};
use super::services::{LocalServer, SECRET};
use crate::engine_servers::answering;
use reports::schema::{PhaseName, TokenKind};

/// Runs 400 arrivals of tokens that are minted over these `[[targets]]`.
async fn over(targets: &str, flags: &str) -> Ended {
    let settings = "token-source = \"mint\"\nconnections = 400\n";
    run(&format!("--hold 0s --echo 2 {flags}"))
        .scenario(&format!("{settings}{targets}"))
        .flag("--secret", SECRET)
        .end()
        .await
}

#[tokio::test]
async fn each_target_has_its_share_and_its_own_figures() {
    let (big, small) = (LocalServer::start(&[]).await, LocalServer::start(&[]).await);
    let targets = format!(
        "[[targets]]\nname = \"big\"\nurl = \"http://{}\"\nweight = 3\n\
         [[targets]]\nurl = \"http://{}\"\n",
        big.gate, small.gate
    );
    let mix = "--mix valid=9,garbage=1 --concurrency 8";
    let ended = over(&targets, mix).await;
    ended.exits_with(0, "both let in");
    let result = ended.result();
    let names: Vec<&str> = result.targets.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["big", format!("http://{}/", small.gate).as_str()]);
    let asked: Vec<f64> = result.scenario.targets.iter().map(|one| one.weight).collect();
    assert_eq!(asked, [3.0, 1.0]);
    for (target, server, planned) in [(&result.targets[0], &big, 300), (&result.targets[1], &small, 100)] {
        let totals = target.totals;
        assert!(totals.planned.abs_diff(planned) <= 3, "{totals:?}");
        let refused = totals.planned / 10;
        assert!(totals.refused_expected.abs_diff(refused) <= 3, "the whole mix: {totals:?}");
        assert_eq!(totals.established + totals.refused_expected, totals.planned);
        assert_eq!(server.metric(ESTABLISHED).await, totals.established, "{}", target.name);
        let handshake = &target.phases[&PhaseName::Handshake].established;
        assert_eq!(handshake.count, totals.established);
        let messages = target.messages.unwrap();
        assert_eq!((messages.sent, messages.answered), (2 * totals.established, 2 * totals.established));
        assert_eq!(target.refusals[0].token_kind, TokenKind::Garbage);
    }
    let sum: u64 = result.targets.iter().map(|one| one.totals.established).sum();
    assert_eq!(result.totals.established, sum, "the whole is the sum");
    assert!(ended.stdout.contains("\nTargets\n"), "{}", ended.stdout);
}

#[tokio::test]
async fn target_without_a_socket_server_is_named() {
    let (server, page) = (LocalServer::start(&[]).await, answering("HTTP/1.1 404 Not Found\r\n\r\n"));
    let targets =
        format!("[[targets]]\nurl = \"http://{}\"\nweight = 9\n[[targets]]\nurl = \"http://{page}\"\n", server.gate);
    let ended = over(&targets, "--concurrency 8").await;
    ended.exits_with(104, "one of two");
    let sentence = ended.result().verdict.sentence;
    assert!(sentence.starts_with(&format!("http://{page}/ is no Socket.IO server")), "{sentence}");
    let failed: Vec<u64> = ended.result().targets.iter().map(|one| one.totals.failed).collect();
    assert_eq!((failed[0], failed[1].abs_diff(40) <= 2), (0, true), "{failed:?}");
}

#[tokio::test]
async fn targets_that_contradict_each_other_are_refused() {
    for (targets, part, why) in [
        (
            "[[targets]]\nurl = \"ws://h\"\n[[targets]]\nurl = \"http://h\"\n",
            "a run speaks one protocol",
            "two protocols",
        ),
        ("[[targets]]\nurl = \"ws://h\"\n[[targets]]\nurl = \"ws://h\"\n", "two targets have it", "one name"),
        ("[[targets]]\nurl = \"ws://h\"\nweight = 0\n", "weight 0 is not allowed", "no part"),
        ("[[targets]]\nurl = \"ftp://h\"\n", "must begin with http://", "no sockets there"),
        ("[[targets]]\nurl = \"ws://h\"\nwieght = 3\n", "did you mean `weight`?", "a slip of the finger"),
        ("[[targets]]\nname = \"a\"\n", "missing field `url`", "nowhere"),
    ] {
        let ended = over(targets, "-q").await;
        assert!(ended.stderr.contains(part), "{why}: {}", ended.stderr);
    }
    let both = over("target = \"ws://h\"\n[[targets]]\nurl = \"ws://h\"\n", "-q").await;
    assert!(both.stderr.contains("not both"), "{}", both.stderr);
}
