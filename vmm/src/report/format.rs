//! Numbers and texts as people read them.

/// A count with thousands apart: `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in the unit that fits: `830 ns`, `12.3 µs`, `4.56 ms`, `7.89 s`.
pub(super) fn time(nanoseconds: u64) -> String {
    let (scale, unit) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => (1e3, "µs"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    let value = nanoseconds as f64 / scale;
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// A size given in bytes: `64 MiB`, `1.5 KiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (0..units.len()).rev().find(|power| bytes >> (10 * power) > 0).unwrap_or(0);
    let unit = 1u64 << (10 * power);
    if bytes.is_multiple_of(unit) {
        return format!("{} {}", bytes / unit, units[power]);
    }
    format!("{:.1} {}", bytes as f64 / unit as f64, units[power])
}

/// A share of a whole: `12.3 %`; a share of nothing is `-`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// A signal's name.
pub(super) fn signal(number: i64) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        31 => "SIGSYS",
        _ => return format!("signal {number}"),
    };
    name.into()
}

/// Text of the guest made safe for a terminal: control characters other than tab become visible.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [time(999), time(1_500), time(15_000_000), time(200_000_000_000)],
            ["999 ns", "1.50 µs", "15.0 ms", "200 s"]
        );
        assert_eq!([bytes(0), bytes(64 << 20), bytes(1536)], ["0 B", "64 MiB", "1.5 KiB"]);
        assert_eq!([percent(1, 3), percent(0, 0)], ["33.3 %", "-"]);
        assert_eq!(printable("a\x1b[31m\tb"), "a\u{fffd}[31m\tb");
    }
}
