//! The renderings that are plain text, held against snapshots.

use std::path::Path;

use insta::assert_snapshot;
use reports::render::{self, TextOptions};

use crate::fixture::{HOSTILE, fixture, troubled};

const PLAIN: TextOptions = TextOptions { columns: 100, color: false, directory: None };

#[test]
fn a_good_run_on_a_terminal() {
    let options = TextOptions { directory: Some(Path::new("gatecrash-out/1")), ..PLAIN };
    assert_snapshot!(render::text(&fixture().0, &options), @r###"
PASS
All 5,000 sockets were established on schedule, and every threshold holds.
The measurement is valid.

Arrivals
  planned      5,000  500/s
  established  5,000  500/s
  failed           0

Thresholds
  established>0         5,000  pass
  handshake.p99<50ms  1.06 ms  pass
  errors<0.1%             0 %  pass

Latency of what was established
                      count      p50      p90      p99    p99.9      max
  login                 100  1.84 ms  2.37 ms  2.80 ms  3.14 ms  3.14 ms
  token               5,000   411 µs   611 µs   833 µs  1.56 ms  1.99 ms
  connect             5,000  64.1 µs   115 µs   223 µs   334 µs   390 µs
  upgrade             5,000   158 µs   303 µs   552 µs   821 µs  1.07 ms
  open                5,000  22.1 µs  46.8 µs  84.6 µs   142 µs   212 µs
  auth                5,000   102 µs   210 µs   429 µs   671 µs   905 µs
  handshake response  5,000   374 µs   615 µs  1.06 ms  1.36 ms  1.76 ms
  handshake service   5,000   364 µs   605 µs  1.05 ms  1.35 ms  1.76 ms
  handshake lag       5,000  9.14 µs  19.6 µs  34.6 µs  50.2 µs   101 µs
  echo response       5,000   104 µs   188 µs   337 µs   473 µs  1.14 ms
  echo service        5,000  92.7 µs   177 µs   327 µs   466 µs  1.14 ms
  echo lag            5,000  9.14 µs  19.6 µs  34.6 µs  50.2 µs   101 µs

Server
  CPU per handshake 41.2 µs, CPU in all 206 ms, Share of its processors 1.03 %,
  Memory per socket 590 B, Kernel memory per socket 4.30 KiB, Memory when idle 9.00 MiB,
  Memory at its peak 11.8 MiB, Frontend CPU 1.21 s, Frontend memory 21.1 MiB

Generator
  CPU per handshake 46.2 µs, Share of its processors 2.31 %, Of it spent waiting 1.07 %,
  Late at the 99th percentile 34.6 µs, Memory at its peak 36.5 MiB, Whole machine busy 11.7 %

Report  gatecrash-out/1/report.html
        beside it: result.json, summary.md, junit.xml, intervals.csv, run.hlog
"###);
}

#[test]
fn a_bad_run_on_a_terminal() {
    assert_snapshot!(render::text(&troubled(), &PLAIN), @r###"
INVALID RUN
The generator did not keep its schedule against <script src=//x>|'"& [31m`, so nothing is known
of the server.
- The p99 lag of 7.20 ms exceeds a tenth of the latency objective (5 ms): the generator was late.
- 10 of 5,000 planned arrivals were not sent.

Arrivals
  planned              5,000  500/s
  established          4,700  500/s
  refused as expected    150
  refused by mistake       3
  timed out               40
  failed                  97
  not sent                10

Thresholds
  established>0                 5,000  pass
  handshake.p99<50ms  infinitely slow  FAIL
  errors<0.1%                     3 %  FAIL

Latency of what was established
                      count      p50      p90      p99    p99.9      max
  login                 100  1.84 ms  2.37 ms  2.80 ms  3.14 ms  3.14 ms
  token               5,000   411 µs   611 µs   833 µs  1.56 ms  1.99 ms
  connect             5,000  64.1 µs   115 µs   223 µs   334 µs   390 µs
  upgrade             5,000   158 µs   303 µs   552 µs   821 µs  1.07 ms
  open                5,000  22.1 µs  46.8 µs  84.6 µs   142 µs   212 µs
  auth                5,000   102 µs   210 µs   429 µs   671 µs   905 µs
  handshake response  5,000   374 µs   615 µs  1.06 ms  1.36 ms  1.76 ms
  handshake service   5,000   364 µs   605 µs  1.05 ms  1.35 ms  1.76 ms
  handshake lag       5,000  9.14 µs  19.6 µs  34.6 µs  50.2 µs   101 µs
  echo response       5,000   104 µs   188 µs   337 µs   473 µs  1.14 ms
  echo service        5,000  92.7 µs   177 µs   327 µs   466 µs  1.14 ms
  echo lag            5,000  9.14 µs  19.6 µs  34.6 µs  50.2 µs   101 µs

Handshake response by token kind, however it ended
            count     p50     p90      p99    p99.9      max
  valid     5,000  374 µs  615 µs  1.06 ms  1.36 ms  1.76 ms
  replayed  5,000  374 µs  615 µs  1.06 ms  1.36 ms  1.76 ms
  expired   5,000  374 µs  615 µs  1.06 ms  1.36 ms  1.76 ms

Targets
  target                      planned  established  timed out  failed     p50      p99
  a                             3,750        3,700         10      40  374 µs  1.06 ms
  <script src=//x>|'"& [31m`    1,250        1,200         10      40  374 µs  1.06 ms

Messages
  Sent 5,000, Answered 4,988, Without an answer 12

Failures
  connect reset                       90
    <script src=//x>|'"& [31m`
  auth timeout                        40
    <script src=//x>|'"& [31m`
  upgrade <script src=//x>|'"& [31m`   7
    <script src=//x>|'"& [31m`

Refusals
  expired <script src=//x>|'"& [31m`  150

Sockets dropped by the target
  closed-1001                 30
  <script src=//x>|'"& [31m`   2

Sockets
  Dropped by the target 32

Generator
  CPU per handshake 46.2 µs, Share of its processors 2.31 %, Of it spent waiting 1.07 %,
  Late at the 99th percentile 34.6 µs, Memory at its peak 36.5 MiB, Whole machine busy 11.7 %
"###);
}

#[test]
fn a_narrow_terminal_drops_columns_before_it_wraps() {
    for (columns, figures, why) in [
        (100, "count p50 p90 p99 p99.9 max", "room for all"),
        (66, "p50 p90 p99 p99.9 max", "the count is the least of it"),
        (60, "p50 p99 p99.9 max", "a percentile less"),
        (48, "p50 p99 max", "the median, the tail and the worst"),
        (40, "p50 p99", "the median and the tail"),
        (0, "p50 p99", "taken as forty"),
    ] {
        let text = render::text(&fixture().0, &TextOptions { columns, ..PLAIN });
        let heads = text.lines().find(|line| line.trim_start().contains("p50")).unwrap();
        let heads: Vec<&str> = heads.split_whitespace().collect();
        assert_eq!(heads.join(" "), figures, "{why}");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= columns.max(40), "{why}: {widest} columns");
    }
}

#[test]
fn colours_are_asked_for() {
    let options = TextOptions { color: true, ..PLAIN };
    assert!(!render::text(&fixture().0, &PLAIN).contains('\x1b'));
    assert!(render::text(&fixture().0, &options).starts_with("\x1b[1;32mPASS\x1b[0m"));
    assert!(render::text(&troubled(), &options).starts_with("\x1b[1;31mINVALID RUN\x1b[0m"));
    assert!(!render::text(&troubled(), &PLAIN).contains('\x1b'), "nor does a target ask for them");
}

#[test]
fn a_bad_run_as_a_step_summary() {
    assert_snapshot!(render::markdown(&troubled()), @r###"
## Gatecrash: invalid run

The generator did not keep its schedule against &lt;script src=//x>\|'"&amp; \[31m\`, so nothing is known of the server.

- The p99 lag of 7.20 ms exceeds a tenth of the latency objective (5 ms): the generator was late.
- 10 of 5,000 planned arrivals were not sent.

**4,700 established, 150 refused as expected, 3 refused by mistake, 40 timed out, 97 failed, 10 not sent** of 5,000 planned, at 500/s (planned 500/s), in 10.4 s.

| Threshold | Observed | Result |
|---|---:|---:|
| `established>0` | 5,000 | pass |
| `handshake.p99<50ms` | infinitely slow | **fail** |
| `errors<0.1%` | 3 % | **fail** |

| Phase | Count | p50 | p90 | p99 | p99.9 | Max |
|---|---:|---:|---:|---:|---:|---:|
| login | 100 | 1.84 ms | 2.37 ms | 2.80 ms | 3.14 ms | 3.14 ms |
| token | 5,000 | 411 µs | 611 µs | 833 µs | 1.56 ms | 1.99 ms |
| connect | 5,000 | 64.1 µs | 115 µs | 223 µs | 334 µs | 390 µs |
| upgrade | 5,000 | 158 µs | 303 µs | 552 µs | 821 µs | 1.07 ms |
| open | 5,000 | 22.1 µs | 46.8 µs | 84.6 µs | 142 µs | 212 µs |
| auth | 5,000 | 102 µs | 210 µs | 429 µs | 671 µs | 905 µs |
| handshake response | 5,000 | 374 µs | 615 µs | 1.06 ms | 1.36 ms | 1.76 ms |
| handshake service | 5,000 | 364 µs | 605 µs | 1.05 ms | 1.35 ms | 1.76 ms |
| handshake lag | 5,000 | 9.14 µs | 19.6 µs | 34.6 µs | 50.2 µs | 101 µs |
| echo response | 5,000 | 104 µs | 188 µs | 337 µs | 473 µs | 1.14 ms |
| echo service | 5,000 | 92.7 µs | 177 µs | 327 µs | 466 µs | 1.14 ms |
| echo lag | 5,000 | 9.14 µs | 19.6 µs | 34.6 µs | 50.2 µs | 101 µs |

| Token, handshake response | Count | p50 | p90 | p99 | p99.9 | Max |
|---|---:|---:|---:|---:|---:|---:|
| valid | 5,000 | 374 µs | 615 µs | 1.06 ms | 1.36 ms | 1.76 ms |
| replayed | 5,000 | 374 µs | 615 µs | 1.06 ms | 1.36 ms | 1.76 ms |
| expired | 5,000 | 374 µs | 615 µs | 1.06 ms | 1.36 ms | 1.76 ms |

| Target | Planned | Established | Timed out | Failed | p50 | p99 |
|---|---:|---:|---:|---:|---:|---:|
| a | 3,750 | 3,700 | 10 | 40 | 374 µs | 1.06 ms |
| &lt;script src=//x>\|'"&amp; \[31m\` | 1,250 | 1,200 | 10 | 40 | 374 µs | 1.06 ms |

| Messages | Count |
|---|---:|
| Sent | 5,000 |
| Answered | 4,988 |
| Without an answer | 12 |

| Failed in | Kind | Count | The first in words |
|---|---:|---:|---:|
| connect | reset | 90 | &lt;script src=//x>\|'"&amp; \[31m\` |
| auth | timeout | 40 | &lt;script src=//x>\|'"&amp; \[31m\` |
| upgrade | &lt;script src=//x>\|'"&amp; \[31m\` | 7 | &lt;script src=//x>\|'"&amp; \[31m\` |

| Refused token | Reason | Count |
|---|---:|---:|
| expired | &lt;script src=//x>\|'"&amp; \[31m\` | 150 |

| Socket dropped by | Count | The first in words |
|---|---:|---:|
| closed-1001 | 30 |  |
| &lt;script src=//x>\|'"&amp; \[31m\` | 2 |  |

| Sockets | Count |
|---|---:|
| Dropped by the target | 32 |

| Generator | Cost |
|---|---:|
| CPU per handshake | 46.2 µs |
| Share of its processors | 2.31 % |
| Of it spent waiting | 1.07 % |
| Late at the 99th percentile | 34.6 µs |
| Memory at its peak | 36.5 MiB |
| Whole machine busy | 11.7 % |
"###);
}

#[test]
fn a_bad_run_as_test_cases() {
    assert_snapshot!(render::junit(&troubled()), @r###"
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="gatecrash" tests="5" failures="4" errors="0" time="10.410">
  <testsuite name="gatecrash run" tests="5" failures="4" errors="0" skipped="0" time="10.410" timestamp="2026-05-04T10:00:00.250Z">
    <properties>
      <property name="totals.planned" value="5000"/>
      <property name="totals.established" value="4700"/>
      <property name="totals.refused_expected" value="150"/>
      <property name="totals.false_accept" value="0"/>
      <property name="totals.false_reject" value="3"/>
      <property name="totals.timeout" value="40"/>
      <property name="totals.failed" value="97"/>
      <property name="totals.interrupted" value="0"/>
      <property name="totals.not_sent" value="10"/>
    </properties>
    <testcase classname="gatecrash.run" name="verdict">
      <failure message="The generator did not keep its schedule against &lt;script src=//x&gt;|&#39;&quot;&amp;�[31m`, so nothing is known of the server.">The generator did not keep its schedule against &lt;script src=//x&gt;|&#39;&quot;&amp;�[31m`, so nothing is known of the server.</failure>
    </testcase>
    <testcase classname="gatecrash.run" name="validity">
      <failure message="The p99 lag of 7.20 ms exceeds a tenth of the latency objective (5 ms): the generator was late. 10 of 5,000 planned arrivals were not sent.">The p99 lag of 7.20 ms exceeds a tenth of the latency objective (5 ms): the generator was late.
10 of 5,000 planned arrivals were not sent.</failure>
    </testcase>
    <testcase classname="gatecrash.run" name="established&gt;0"/>
    <testcase classname="gatecrash.run" name="handshake.p99&lt;50ms">
      <failure message="observed infinitely slow">observed infinitely slow</failure>
    </testcase>
    <testcase classname="gatecrash.run" name="errors&lt;0.1%">
      <failure message="observed 3 %">observed 3 %</failure>
    </testcase>
  </testsuite>
</testsuites>
"###);
}

#[test]
fn a_good_run_fails_no_test_case() {
    let xml = render::junit(&fixture().0);
    assert!(xml.contains("tests=\"5\" failures=\"0\""), "{xml}");
    assert!(!xml.contains("<failure"), "{xml}");
}

#[test]
fn seconds_as_rows() {
    let csv = render::csv(&fixture().0);
    let rows: Vec<&str> = csv.lines().take(3).collect();
    assert_snapshot!(rows.join("\n"), @r###"
second,planned,started,established,refused_expected,failed,held,echoes,handshake_p50_us,handshake_p99_us,handshake_max_us,lag_p99_us,echo_p50_us,echo_p99_us,sent_bytes,received_bytes
0,500,500,500,0,0,500,500,366.591,706.047,955.903,40.863,96.447,213.503,312500,181000
1,500,500,500,0,0,1000,500,364.287,761.855,1213.439,39.039,100.031,252.415,312500,181000
"###);
    let columns: Vec<usize> = csv.lines().map(|row| row.split(',').count()).collect();
    assert_eq!(columns, [16; 11], "a header and ten seconds, all of one width");
}

#[test]
fn no_rendering_repeats_hostile_text_as_it_came() {
    let result = troubled();
    for (text, why) in
        [(render::junit(&result), "XML"), (render::markdown(&result), "Markdown"), (render::html(&result), "HTML")]
    {
        assert!(!text.contains(HOSTILE), "{why}");
        assert!(!text.contains("<script"), "{why}");
        assert!(!text.contains('\x1b'), "{why}");
    }
}
