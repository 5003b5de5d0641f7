use std::time::Duration;

use insta::assert_snapshot;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::*;
use crate::ground::outcome::{Failure, FailureKind, Outcome, Phase, TokenKind};
use crate::ground::recorder::Recorder;
use crate::run::live::{Left, Now};

const PLAIN: Look = Look { color: false };

/// Six seconds of 500/s, each arrival a little slower than the one before.
fn smooth() -> Now {
    let mut recorder = Recorder::new();
    for number in 0..3_000 {
        let (outcome, kind) = (Outcome::Established, TokenKind::Valid);
        recorder.outcome(outcome);
        for (phase, ns) in [
            (Phase::Token, 160_000),
            (Phase::Connect, 20_000),
            (Phase::Upgrade, 95_000),
            (Phase::Open, 10_000),
            (Phase::Auth, 80_000),
        ] {
            recorder.phase(phase, outcome, kind, ns + number * 10);
        }
        recorder.handshake(outcome, kind, 205_000 + number * 40, Some(900));
        recorder.echo(kind, 85_000 + number * 5, Some(0));
    }
    for number in 0..100 {
        let (outcome, kind) = (Outcome::Established, TokenKind::Valid);
        recorder.phase(Phase::Login, outcome, kind, 1_000_000 + number * 9_000);
    }
    let now = Now::of(&recorder, &[], true);
    Now {
        elapsed_s: 6,
        left: Some(Left::Planned(Duration::from_secs(4))),
        planned: Some(5_000),
        in_flight: 3,
        held: 2_999,
        last: crate::run::live::LastSecond { due: 500, started: 500, established: 499 },
        p99_us: vec![Some(300.0), Some(310.0), None, Some(900.0), Some(320.0), Some(325.0)],
        generator: crate::run::live::GeneratorNow {
            lag_p99_last_us: Some(12.5),
            cpu_s: 0.9,
            cpu_share: Some(0.152),
            rss_bytes: Some(21_600_000),
            ..now.generator
        },
        ..now
    }
}

/// The same with failures, hostile text from the target, and a generator that is late.
fn troubled() -> Now {
    let mut recorder = Recorder::new();
    for _ in 0..90 {
        recorder.failure(Failure { phase: Phase::Connect, kind: FailureKind::Reset }, String::new);
    }
    recorder.failure(Failure { phase: Phase::Auth, kind: FailureKind::Timeout }, String::new);
    recorder.dropped(FailureKind::Closed(1001), String::new);
    recorder.refusal(TokenKind::Expired, "\u{1b}[31mno <b>way</b>\u{7}");
    let seen = Now::of(&recorder, &[], true);
    let mut now = smooth();
    now.outcomes = [2_900, 8, 1, 0, 1, 90, 0, 0];
    now.failures = seen.failures;
    now.drops = seen.drops;
    now.refusals = seen.refusals;
    now.generator.doubts = vec![
        "arrivals began late: the lag's p99 is 1.85 ms, above 1 ms and above a quarter of the response's 6.62 ms"
            .to_owned(),
    ];
    now
}

fn drawn(now: Option<&Now>, (width, height): (u16, u16), look: Look) -> Buffer {
    let shown = Shown { step: "logging 100 users in", now, stopping: false };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, &shown, look)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let rows = buffer.content.chunks(width);
    let lines = rows.map(|row| {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_smooth_run() {
    assert_snapshot!(text(&drawn(Some(&smooth()), (90, 26), PLAIN)), @r#"
Gatecrash  6 s, 4 s left                              q ends the run and writes its result
█████████████████████████████████████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 3,000 of 5,000
500/s planned  500/s begun  499/s established  2,999 held  3 in flight  0 failed
Generator  valid so far  lag p99 900 ns  12.5 µs in this second  CPU 15.2 %
memory 20.6 MiB

Handshake p99 by second  now 325 µs  highest 900 µs
   █
   █
   █
▅▅ █▆▆
██ ███

Phase                   count       p50       p90       p99       max
login                     100   1.44 ms   1.80 ms   1.88 ms   1.89 ms
token                   3,000    175 µs    187 µs    190 µs    190 µs
connect                 3,000   35.0 µs   47.0 µs   49.7 µs   50.0 µs
upgrade                 3,000    110 µs    122 µs    125 µs    125 µs
open                    3,000   25.0 µs   37.0 µs   39.7 µs   40.0 µs
auth                    3,000   95.0 µs    107 µs    110 µs    110 µs
handshake response      3,000    266 µs    314 µs    325 µs    326 µs
echo response           3,000   92.5 µs   98.5 µs   99.9 µs    100 µs
"#);
}

#[test]
fn trouble_is_told_before_anything_that_can_wait() {
    assert_snapshot!(text(&drawn(Some(&troubled()), (80, 24), PLAIN)), @r#"
Gatecrash  6 s, 4 s left                    q ends the run and writes its result
███████████████████████████████████████░░░░░░░░░░░░░░░░░░░░░░░░░░ 3,000 of 5,000
500/s planned  500/s begun  499/s established  2,999 held  3 in flight
8 refused as expected  1 ACCEPTED BY MISTAKE  91 failed
INVALID SO FAR: arrivals began late: the lag's p99 is 1.85 ms, above 1 ms and
above a quarter of the response's 6.62 ms
Generator  lag p99 900 ns  12.5 µs in this second  CPU 15.2 %  memory 20.6 MiB

Phase                   count       p50       p90       p99       max
login                     100   1.44 ms   1.80 ms   1.88 ms   1.89 ms
token                   3,000    175 µs    187 µs    190 µs    190 µs
connect                 3,000   35.0 µs   47.0 µs   49.7 µs   50.0 µs
upgrade                 3,000    110 µs    122 µs    125 µs    125 µs
open                    3,000   25.0 µs   37.0 µs   39.7 µs   40.0 µs
auth                    3,000   95.0 µs    107 µs    110 µs    110 µs
handshake response      3,000    266 µs    314 µs    325 µs    326 µs
echo response           3,000   92.5 µs   98.5 µs   99.9 µs    100 µs

Failures, drops and refusals
failed   connect reset                                                       90
failed   auth timeout                                                         1
dropped  closed-1001                                                          1
refused  expired  [31mno <b>way</b>                                           1
"#);
}

#[test]
fn a_tiny_terminal_shows_what_matters() {
    assert_snapshot!(text(&drawn(Some(&smooth()), (40, 10), PLAIN)), @r#"
Gatecrash  6 s, 4 s left       q ends it
███████████████░░░░░░░░░░ 3,000 of 5,000
500/s planned  500/s begun
499/s established  2,999 held
3 in flight  0 failed
Generator  valid so far  lag p99 900 ns
Phase                     p50       p99
auth                  95.0 µs    110 µs
handshake response     266 µs    325 µs
echo response         92.5 µs   99.9 µs
"#);
    assert_snapshot!(text(&drawn(Some(&troubled()), (40, 10), PLAIN)), @r#"
Gatecrash  6 s, 4 s left       q ends it
███████████████░░░░░░░░░░ 3,000 of 5,000
500/s planned  500/s begun
499/s established  2,999 held
3 in flight  8 refused as expected
1 ACCEPTED BY MISTAKE  91 failed
INVALID SO FAR: arrivals began late: the
lag's p99 is 1.85 ms, above 1 ms and
Generator  lag p99 900 ns
failed   connect reset               90
"#);
}

#[test]
fn before_the_first_arrival_there_is_a_step() {
    assert_snapshot!(text(&drawn(None, (60, 3), PLAIN)), @"Gatecrash  logging 100 users in                    q ends it");
}

#[test]
fn each_stage_of_a_run_has_its_title() {
    let now = smooth();
    type Change = fn(&mut Now);
    let rows: [(Change, &str, &str); 5] = [
        (|_| (), "Gatecrash  6 s, 4 s left", "by plan"),
        (
            |now| now.left = Some(Left::About(Duration::from_secs(75))),
            "Gatecrash  6 s, about 1 min 15 s left",
            "the closed model goes on as it did",
        ),
        (|now| now.left = None, "Gatecrash  6 s", "nobody knows"),
        (|now| now.warming_up = true, "Gatecrash  warming up, 6 s", "thrown away"),
        (
            |now| now.left = Some(Left::Planned(Duration::ZERO)),
            "Gatecrash  6 s, 0 s left",
            "its sockets are still closing",
        ),
    ];
    for (change, expected, why) in rows {
        let mut now = now.clone();
        change(&mut now);
        let seen = text(&drawn(Some(&now), (90, 26), PLAIN));
        let title = seen.lines().next().unwrap();
        let (left, right) = title.split_at(expected.len());
        assert_eq!(left, expected, "{why}");
        assert!(right.trim_start().starts_with("q ends"), "{why}: {title}");
    }
}

#[test]
fn any_size_can_be_drawn() {
    for now in [None, Some(smooth()), Some(troubled()), Some(Now::default())] {
        for width in [0, 1, 2, 5, 19, 20, 39, 40, 47, 80, 200, 500] {
            for height in [0, 1, 2, 3, 5, 8, 10, 19, 20, 24, 60] {
                drawn(now.as_ref(), (width, height), PLAIN);
            }
        }
    }
}

#[test]
fn colours_are_there_unless_they_are_not_wanted() {
    for (color, why) in [(true, "as usual"), (false, "NO_COLOR is set")] {
        let buffer = drawn(Some(&troubled()), (80, 24), Look { color });
        let colored = buffer.content.iter().any(|cell| cell.fg != Color::Reset);
        assert_eq!(colored, color, "{why}");
        assert_eq!(text(&buffer), text(&drawn(Some(&troubled()), (80, 24), PLAIN)), "{why}: the words are the same");
    }
}
