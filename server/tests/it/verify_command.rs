//! `gatekeeper verify`, as a process: tokens in, verdicts out.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::{
    servers::gatekeeper,
    tokens::{SECRET, sign, sign_es256},
};

/// RFC 7515 appendix A.1.
const RFC7515_A1: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const RFC7515_A1_KEY: &str =
    r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;

fn run(flags: &[&str], input: &str) -> Output {
    let mut child = gatekeeper().arg("verify").args(flags).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The process may have ended already, for lack of keys.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// The verdicts, and the exit code.
fn verify(flags: &[&str], input: &str) -> (Vec<Value>, i32) {
    let output = run(flags, input);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (lines.collect(), output.status.code().unwrap())
}

fn valid(claims: Value) -> Value {
    json!({"valid": true, "reason": null, "claims": claims})
}

fn refused(reason: &str) -> Value {
    json!({"valid": false, "reason": reason, "claims": null})
}

#[test]
fn each_token_gets_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rfc7515.json");
    std::fs::write(&path, RFC7515_A1_KEY).unwrap();
    let keys = format!("--keys={}", path.display());
    let secret = format!("--secret={SECRET}");
    let claims = json!({"sub": "ann", "exp": 2_000_000_000u64, "x": [1.5]});
    let token = sign(&claims, SECRET);
    let forged = sign(&claims, "another secret of at least 32 bytes");
    let joe = json!({"iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true});

    let at = |unix_s: u64| format!("--at={unix_s}");
    for (flags, input, verdicts, code, why) in [
        (vec![secret.as_str()], format!("{token}\n"), vec![valid(claims.clone())], 0, "a good one"),
        (
            vec![&secret],
            format!("{token}\r\n{forged}\n\n{token}"),
            vec![valid(claims.clone()), refused("signature_invalid"), refused("missing"), valid(claims.clone())],
            1,
            "one verdict per line, also for invalid tokens",
        ),
        (vec![&secret, &at(2_000_000_000)], token.clone(), vec![refused("expired")], 1, "judged at its exp"),
        (
            vec![&secret, "--issuer=joe"],
            token.clone(),
            vec![refused("issuer_missing")],
            1,
            "by the same rules as a gate",
        ),
        (
            vec![&keys, &at(1_300_819_379)],
            RFC7515_A1.to_owned(),
            vec![valid(joe.clone())],
            0,
            "with line ends in its claims",
        ),
        (vec![&keys, "--signature-only"], RFC7515_A1.to_owned(), vec![valid(joe)], 0, "expired, with --signature-only"),
        (vec![&secret], "x".repeat(1 << 20), vec![refused("too_long")], 1, "a megabyte of text"),
        (vec![&secret], String::new(), vec![], 0, "no token"),
    ] {
        let (found, status) = verify(&flags, &input);
        assert_eq!(found, verdicts, "{why}");
        assert_eq!(status, code, "{why}");
    }
}

#[test]
fn signature_only_accepts_payloads_that_are_not_claims() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rfc8037.json");
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    std::fs::write(&path, jwk).unwrap();
    let keys = format!("--keys={}", path.display());
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let no_claims = json!({"valid": true, "reason": null, "claims": null});
    assert_eq!(verify(&[&keys, "--signature-only"], token), (vec![no_claims], 0));
    assert_eq!(verify(&[&keys], token), (vec![refused("claims_malformed")], 1));
    let other = token.replace("RXhh", "RXhi");
    let (found, code) = verify(&[&keys, "--signature-only"], &other);
    assert_eq!((found, code), (vec![refused("signature_invalid")], 1));
}

#[test]
fn missing_keys_and_files_are_reported() {
    for (flags, code, part, why) in [
        (&[][..], 104, "--secret, --keys or --jwks", "no keys"),
        (&["--keys=/nonexistent"], 104, "/nonexistent", "no file"),
        (&["--secret="], 104, "--secret is empty", "no secret"),
        (&["--jwks=http://127.0.0.1:1/"], 104, "--jwks", "no source"),
        (&["--jwks=http://issuer.example/"], 2, "https://", "plain HTTP to another host"),
        (&["--listen=127.0.0.1:0"], 2, "--listen", "a flag of the server"),
    ] {
        let output = run(flags, &sign_es256("a"));
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{why}: {log}");
        assert!(log.contains(part), "{why}: {log}");
        assert!(output.stdout.is_empty(), "{why}");
    }
}
