//! The summary on a terminal.

use std::path::Path;

use crate::render::tables::{self, Fact};
use crate::schema::{Distribution, Outcome, RunResult};
use crate::{files, units};

/// How a terminal wants its summary.
#[derive(Clone, Copy, Debug)]
pub struct TextOptions<'a> {
    /// Columns; fewer than 40 are taken as 40.
    pub columns: usize,
    /// Whether it understands colours (ECMA-48 SGR).
    pub color: bool,
    /// Where the files of the result are, to be named at the end.
    pub directory: Option<&'a Path>,
}

/// A phase, its view and two percentiles need this many columns.
const COLUMNS_MIN: usize = 40;

/// Wider lines of prose are hard to read.
const PROSE_COLUMNS_MAX: usize = 96;

/// The verdict first, then the totals, the latencies, what went wrong, what it cost, and where the files are.
pub fn text(result: &RunResult, options: &TextOptions) -> String {
    let paint = Paint { color: options.color };
    let columns = options.columns.max(COLUMNS_MIN);
    let mut page = verdict(result, columns, paint);
    page += &totals(result, paint);
    page += &thresholds(result, paint);
    page += &latencies(result, columns, paint);
    page += &kinds(result, columns, paint);
    page += &targets(result, paint);
    page += &costs("Messages", &tables::message_facts(result), columns, paint);
    page += &failures_and_refusals(result, columns, paint);
    page += &costs("Tokens", &tables::token_facts(result), columns, paint);
    page += &costs("Sockets", &tables::socket_facts(result), columns, paint);
    page += &costs("Server", &tables::server_facts(result), columns, paint);
    page += &costs("Generator", &tables::generator_facts(result), columns, paint);
    if let Some(directory) = options.directory {
        let report = printable(&directory.join(files::REPORT_HTML).display().to_string());
        page += &format!("\n{}  {report}\n", paint.bold("Report"));
        page += &format!(
            "        {}\n",
            paint.faint("beside it: result.json, summary.md, junit.xml, intervals.csv, run.hlog")
        );
    }
    page
}

fn verdict(result: &RunResult, columns: usize, paint: Paint) -> String {
    let title = tables::verdict_title(result).to_uppercase();
    let title = if result.verdict.passed() { paint.good(&title) } else { paint.bad(&title) };
    let mut text = format!("{title}\n");
    for line in wrapped(&printable(&result.verdict.sentence), columns) {
        text += &format!("{line}\n");
    }
    if result.validity.valid {
        text += &format!("{}\n", paint.faint("The measurement is valid."));
    }
    for reason in &result.validity.reasons {
        for (index, line) in wrapped(&printable(reason), columns - 2).iter().enumerate() {
            text += &format!("{} {line}\n", if index == 0 { "-" } else { " " });
        }
    }
    text
}

fn totals(result: &RunResult, paint: Paint) -> String {
    let totals = &result.totals;
    let mut rows =
        vec![vec!["planned".to_owned(), units::count(totals.planned), units::rate(result.rates.planned_per_s)]];
    for (outcome, count) in totals.outcomes() {
        let rate = match outcome {
            Outcome::Established => units::rate(result.rates.established_per_s),
            _ => String::new(),
        };
        if count > 0 || matches!(outcome, Outcome::Established | Outcome::Failed) {
            rows.push(vec![tables::outcome_label(outcome).to_owned(), units::count(count), rate]);
        }
    }
    format!("\n{}\n{}", paint.bold("Arrivals"), aligned(&rows))
}

fn thresholds(result: &RunResult, paint: Paint) -> String {
    if result.thresholds.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = result
        .thresholds
        .iter()
        .map(|threshold| {
            let came_out = if threshold.pass { "pass" } else { "FAIL" };
            vec![printable(&threshold.text), tables::observed(threshold), came_out.to_owned()]
        })
        .collect();
    format!("\n{}\n{}", paint.bold("Thresholds"), aligned(&rows))
}

type Figure = (&'static str, fn(&Distribution) -> String);

/// The columns of the latency table.
const FIGURES: [Figure; 6] = [
    ("count", |held| units::count(held.count)),
    ("p50", |held| units::duration_us(held.p50_us)),
    ("p90", |held| units::duration_us(held.p90_us)),
    ("p99", |held| units::duration_us(held.p99_us)),
    ("p99.9", |held| units::duration_us(held.p999_us)),
    ("max", |held| units::duration_us(held.max_us)),
];

/// The columns that a narrow terminal leaves out, in this order.
const DROPPED: [&str; 4] = ["count", "p90", "p99.9", "max"];

fn latencies(result: &RunResult, columns: usize, paint: Paint) -> String {
    let rows = tables::latency_rows(result);
    let rows: Vec<_> = rows.iter().map(|row| (printable(&row.name()), row.distribution)).collect();
    latency_section("Latency of what was established", &rows, columns, paint)
}

fn kinds(result: &RunResult, columns: usize, paint: Paint) -> String {
    let Some((view, rows)) = tables::kind_rows(result) else {
        return String::new();
    };
    let rows: Vec<_> = rows.iter().map(|(kind, held)| (kind.to_string(), *held)).collect();
    let heading = format!("Handshake {} by token kind, however it ended", view.as_str());
    latency_section(&heading, &rows, columns, paint)
}

/// A table of distributions with as many figures as there is room for; nothing where it has no rows.
fn latency_section(heading: &str, rows: &[(String, &Distribution)], columns: usize, paint: Paint) -> String {
    if rows.is_empty() {
        return String::new();
    }
    for dropped in 0..=DROPPED.len() {
        let figures = FIGURES.iter().filter(|(name, _)| !DROPPED[..dropped].contains(name));
        let table = latency_table(rows, figures.collect());
        let fits = table.lines().all(|line| line.chars().count() <= columns);
        if fits || dropped == DROPPED.len() {
            return format!("\n{}\n{table}", paint.bold(heading));
        }
    }
    String::new()
}

fn latency_table(rows: &[(String, &Distribution)], figures: Vec<&Figure>) -> String {
    let mut cells = vec![vec![String::new()]];
    cells[0].extend(figures.iter().map(|(name, _)| (*name).to_owned()));
    for (name, held) in rows {
        let mut line = vec![name.clone()];
        line.extend(figures.iter().map(|(_, figure)| figure(held)));
        cells.push(line);
    }
    aligned(&cells)
}

fn targets(result: &RunResult, paint: Paint) -> String {
    if result.targets.is_empty() {
        return String::new();
    }
    let heads = tables::TARGET_HEADS.map(str::to_lowercase).to_vec();
    let rows = result.targets.iter().map(|target| {
        let cells = tables::target_row(target).into_iter();
        cells.map(|cell| printable(&cell)).collect()
    });
    let table: Vec<Vec<String>> = [heads].into_iter().chain(rows).collect();
    format!("\n{}\n{}", paint.bold("Targets"), aligned(&table))
}

fn failures_and_refusals(result: &RunResult, columns: usize, paint: Paint) -> String {
    let failures = result.failures.iter().map(|one| Trouble {
        what: format!("{} {}", one.phase, printable(&one.kind)),
        count: one.count,
        words: one.words.as_deref(),
    });
    let refusals = result.refusals.iter().map(|one| Trouble {
        what: format!("{} {}", one.token_kind, printable(&one.reason)),
        count: one.count,
        words: None,
    });
    let drops = result.sockets.drops.iter();
    let drops = drops.map(|one| Trouble { what: printable(&one.kind), count: one.count, words: one.words.as_deref() });
    let mut text = String::new();
    for (heading, troubles) in [
        ("Failures", failures.collect::<Vec<_>>()),
        ("Refusals", refusals.collect()),
        ("Sockets dropped by the target", drops.collect()),
    ] {
        if !troubles.is_empty() {
            text += &format!("\n{}\n{}", paint.bold(heading), trouble_rows(&troubles, columns, paint));
        }
    }
    text
}

/// Something that went wrong.
struct Trouble<'a> {
    what: String,
    count: u64,
    /// Of the target or the kernel, for the first of them.
    words: Option<&'a str>,
}

/// A line for each with its count; its words follow below.
fn trouble_rows(troubles: &[Trouble<'_>], columns: usize, paint: Paint) -> String {
    let rows: Vec<_> = troubles.iter().map(|one| vec![one.what.clone(), units::count(one.count)]).collect();
    let mut text = String::new();
    for (row, trouble) in aligned(&rows).lines().zip(troubles) {
        text += &format!("{row}\n");
        for line in trouble.words.into_iter().flat_map(|words| wrapped(&printable(words), columns - 4)) {
            text += &format!("    {}\n", paint.faint(&line));
        }
    }
    text
}

fn costs(heading: &str, facts: &[Fact], columns: usize, paint: Paint) -> String {
    if facts.is_empty() {
        return String::new();
    }
    let mut shown: Vec<String> = facts.iter().map(|fact| format!("{} {},", fact.label, fact.value)).collect();
    if let Some(last) = shown.last_mut() {
        last.pop();
    }
    let mut text = format!("\n{}\n", paint.bold(heading));
    for line in packed(shown.iter().map(String::as_str), columns - 2) {
        text += &format!("  {line}\n");
    }
    text
}

/// Columns two apart, the first to the left and the others to the right, each line two columns in.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let cell = if column == 0 { format!(" {cell:<width$}") } else { format!("  {cell:>width$}") };
            line += &cell;
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// `text` in lines of at most `columns`, broken between words.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    packed(text.split_whitespace(), columns)
}

/// `pieces` in lines of at most `columns`, none of them broken; a longer one has a line of its own.
fn packed<'a>(pieces: impl Iterator<Item = &'a str>, columns: usize) -> Vec<String> {
    let columns = columns.min(PROSE_COLUMNS_MAX);
    let mut lines = vec![String::new()];
    for piece in pieces {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(piece);
        } else if line.chars().count() + 1 + piece.chars().count() <= columns {
            line.push(' ');
            line.push_str(piece);
        } else {
            lines.push(piece.to_owned());
        }
    }
    lines
}

/// `text` without control characters, which a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn good(self, text: &str) -> String {
        self.paint("1;32", text)
    }

    fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
