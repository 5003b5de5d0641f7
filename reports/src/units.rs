//! Quantities as people read them: three significant digits and a unit.

use std::time::{Duration, SystemTime};

/// A duration given in microseconds: `950 ns`, `12.3 µs`, `1.24 ms`, `10.0 s`, `2 min 5 s`, `1 h 1 min`.
pub fn duration_us(us: f64) -> String {
    if !us.is_finite() {
        return "infinite".to_owned();
    }
    if us <= 0.0 {
        return "0".to_owned();
    }
    if us >= 59.95e6 {
        return minutes((us / 1e6).round() as u64);
    }
    if us < 1.0 && format!("{:.0}", us * 1e3) != "1000" {
        return format!("{:.0} ns", us * 1e3);
    }
    scaled(us, 1e3, &["µs", "ms", "s"])
}

/// A duration given in seconds, as [`duration_us`] shows it.
pub fn duration_s(seconds: f64) -> String {
    duration_us(seconds * 1e6)
}

/// A duration given in microseconds without idle zeros, for the ticks of an axis: `2 ms`, `1.5 s`.
pub fn tick_us(us: f64) -> String {
    let full = duration_us(us);
    match full.split_once(' ') {
        Some((value, unit)) if value.contains('.') => {
            let value = value.trim_end_matches('0').trim_end_matches('.');
            format!("{value} {unit}")
        }
        _ => full,
    }
}

/// Bytes in powers of 1,024: `512 B`, `16.2 KiB`, `1.50 GiB`.
pub fn bytes(bytes: f64) -> String {
    if bytes.abs() < 999.5 {
        return format!("{bytes:.0} B");
    }
    scaled(bytes / 1024.0, 1024.0, &["KiB", "MiB", "GiB", "TiB"])
}

/// A count with its thousands apart: `5,000`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A rate per second: `500/s`, `12.5/s`, `12,345/s`.
pub fn rate(per_s: f64) -> String {
    format!("{}/s", number(per_s))
}

/// A part of a whole, 0 to 1, in percent: `0 %`, `0.12 %`, `99.9 %`, `100 %`.
///
/// What is not all of it never reads as 100 %, and what is not nothing never as 0 %.
pub fn share(share: f64) -> String {
    let percent = share * 100.0;
    if percent <= 0.0 {
        "0 %".to_owned()
    } else if percent < 0.005 {
        "<0.01 %".to_owned()
    } else if (99.95..100.0).contains(&percent) {
        ">99.9 %".to_owned()
    } else {
        format!("{} %", number(percent))
    }
}

/// A bare number: three significant digits without idle zeros, thousands apart: `0.5`, `12.3`, `12,345`.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "infinite".to_owned();
    }
    if value.abs() >= 999.5 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(value.abs().round() as u64));
    }
    let text = three_digits(value);
    if text.contains('.') {
        let trimmed = text.trim_end_matches('0').trim_end_matches('.');
        return trimmed.to_owned();
    }
    text
}

/// An instant in UTC as RFC 3339 section 5.6 writes it, to the millisecond: `2026-05-04T10:00:00.250Z`.
///
/// An instant before 1970 is shown as 1970's first.
pub fn rfc3339(instant: SystemTime) -> String {
    let since_epoch = instant.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let millisecond = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// `value` in the first unit in which it has at most three digits before the point.
fn scaled(value: f64, base: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut left = units.iter();
    let mut unit = left.next().copied().unwrap_or_default();
    while value.abs() >= 999.5 {
        let Some(larger) = left.next() else { break };
        value /= base;
        unit = larger;
    }
    format!("{} {unit}", three_digits(value))
}

/// Three significant digits, counted after rounding: 9.996 is `10.0`.
fn three_digits(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn minutes(seconds: u64) -> String {
    let parts = match seconds {
        0..3_600 => [(seconds / 60, "min"), (seconds % 60, "s")],
        _ => [(seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")],
    };
    let shown: Vec<String> = parts
        .iter()
        .filter(|(amount, _)| *amount > 0)
        .map(|(amount, unit)| format!("{} {unit}", count(*amount)))
        .collect();
    shown.join(" ")
}

/// Year, month and day of a day counted from 1970-01-01 (Hinnant 2013, `civil_from_days`, for days after 1970).
///
/// Years are counted from March, so that the leap day is the last of its year, in eras of 400 years.
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_FROM_0000_03_01: u64 = 719_468;
    const ERA_DAYS: u64 = 146_097;
    let days = days_since_1970 + DAYS_FROM_0000_03_01;
    let era = days / ERA_DAYS;
    let day_of_era = days % ERA_DAYS;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_a_unit() {
        for (us, shown, why) in [
            (0.0, "0", "nothing has no unit"),
            (0.95, "950 ns", "below a microsecond"),
            (0.9999, "1.00 µs", "rounded up into the next unit"),
            (12.34, "12.3 µs", "a decimal"),
            (999.4, "999 µs", "still microseconds"),
            (999.6, "1.00 ms", "rounded up into the next unit"),
            (9_996.0, "10.0 ms", "digits are counted after rounding"),
            (1.5e6, "1.50 s", "seconds"),
            (59.96e6, "1 min", "rounded up to a minute"),
            (125e6, "2 min 5 s", "minutes have whole seconds"),
            (3_660e6, "1 h 1 min", "hours have whole minutes"),
            (f64::INFINITY, "infinite", "failures rank so"),
        ] {
            assert_eq!(duration_us(us), shown, "{why}");
        }
    }

    #[test]
    fn counts_bytes_rates_and_shares_read_well() {
        for (got, shown) in [
            (tick_us(2_000.0), "2 ms"),
            (tick_us(1_500.0), "1.5 ms"),
            (tick_us(100.0), "100 µs"),
            (tick_us(125e6), "2 min 5 s"),
            (count(0), "0"),
            (count(999), "999"),
            (count(5_000), "5,000"),
            (count(12_345_678), "12,345,678"),
            (bytes(512.0), "512 B"),
            (bytes(1_000.0), "0.98 KiB"),
            (bytes(16_588.8), "16.2 KiB"),
            (bytes(1.5 * 1024.0 * 1024.0 * 1024.0), "1.50 GiB"),
            (rate(500.0), "500/s"),
            (rate(499.98), "500/s"),
            (rate(12.5), "12.5/s"),
            (rate(12_345.4), "12,345/s"),
            (share(0.0), "0 %"),
            (share(0.000_01), "<0.01 %"),
            (share(0.001_234), "0.12 %"),
            (share(0.123_4), "12.3 %"),
            (share(0.999_99), ">99.9 %"),
            (share(1.0), "100 %"),
            (number(-1_234.0), "-1,234"),
            (number(0.5), "0.5"),
            (number(100.0), "100"),
        ] {
            assert_eq!(got, shown);
        }
    }

    #[test]
    fn instants_follow_the_calendar() {
        for (seconds, shown, why) in [
            (0, "1970-01-01T00:00:00.000Z", "the epoch"),
            (951_782_400, "2000-02-29T00:00:00.000Z", "a leap day of a century"),
            (1_777_888_999, "2026-05-04T10:03:19.000Z", "an ordinary day"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z", "2100 has no leap day"),
        ] {
            let instant = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(rfc3339(instant), shown, "{why}");
        }
        let half = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(rfc3339(half), "1970-01-01T00:00:01.500Z", "milliseconds");
    }
}
