//! Formats of text as pydantic reads them.
//!
//! What is here follows what pydantic 2 accepts for text in its ordinary mode, measured value by value: it takes more
//! than RFC 3339 (a time without seconds, a date for a date and time, a Unix time for either), and less in places.

/// Whether text has a format.
pub type Check = fn(&str) -> bool;

/// The formats that are checked, with their checks. Others are only words.
pub const FORMATS: [(&str, Check); 8] = [
    ("date", is_date),
    ("date-time", is_date_time),
    ("time", is_time),
    ("duration", is_duration),
    ("uuid", is_uuid),
    ("ipv4", is_ipv4),
    ("ipv6", is_ipv6),
    ("uri", is_uri),
];

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Unix times above are milliseconds.
const MAX_SECONDS: f64 = 2e10;

/// So many digits, and what is behind them.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let head = text.get(..count).filter(|head| head.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((head.parse().ok()?, &text[count..]))
}

/// `2020-01-31`, and what is behind it.
fn date(text: &str) -> Option<&str> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (year > 0 && (1..=days).contains(&day)).then_some(rest)
}

/// A fraction of a second, if there is one, and what is behind it.
fn fraction(text: &str) -> Option<&str> {
    let Some(rest) = text.strip_prefix(['.', ',']) else { return Some(text) };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    (end > 0).then(|| &rest[end..])
}

/// `10:00`, `10:00:00.5`: the seconds of the day, and what is behind it.
fn clock(text: &str) -> Option<(u32, &str)> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    if hour > 23 || minute > 59 {
        return None;
    }
    let Some(seconds) = rest.strip_prefix(':') else { return Some((hour * 3600 + minute * 60, rest)) };
    let (second, rest) = digits(seconds, 2)?;
    (second < 60).then_some((hour * 3600 + minute * 60 + second, fraction(rest)?))
}

/// Nothing, `Z`, `+01:00` or `+0100`.
fn is_zone(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['+', '-']) else { return matches!(text, "" | "Z" | "z") };
    let Some((hour, rest)) = digits(rest, 2) else { return false };
    let minute = digits(rest.strip_prefix(':').unwrap_or(rest), 2);
    hour < 24 && minute.is_some_and(|(minute, rest)| minute < 60 && rest.is_empty())
}

/// A Unix time: digits with a fraction perhaps.
fn unix_time(text: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let is_number = text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(plain);
    let seconds = text.parse::<f64>().ok().filter(|_| is_number)?;
    Some(if seconds > MAX_SECONDS { seconds / 1000.0 } else { seconds })
}

fn is_date(text: &str) -> bool {
    if let Some(seconds) = unix_time(text) {
        return seconds % DAY as f64 == 0.0;
    }
    match date(text) {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix(['T', 't', ' ', '_'])
            .and_then(clock)
            .is_some_and(|(seconds, zone)| seconds == 0 && is_zone(zone)),
        None => false,
    }
}

fn is_date_time(text: &str) -> bool {
    if unix_time(text).is_some() {
        return true;
    }
    match date(text) {
        Some("") => true,
        Some(rest) => rest.strip_prefix(['T', 't', ' ', '_']).and_then(clock).is_some_and(|(_, zone)| is_zone(zone)),
        None => false,
    }
}

fn is_time(text: &str) -> bool {
    clock(text).is_some_and(|(_, zone)| is_zone(zone))
}

/// `P1DT2H`, or days and a time: `1 day, 10:00:00`, `5d`, `100:00:00`.
fn is_duration(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(rest) = text.strip_prefix('P') {
        return is_iso_duration(rest);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return false;
    }
    let rest = text[end..].trim_start_matches(' ');
    let after_days = ["days", "day", "d"].iter().find_map(|word| rest.strip_prefix(word));
    match after_days {
        Some("") => true,
        Some(rest) => is_span(rest.strip_prefix(',').unwrap_or(rest).trim_start_matches(' ')),
        None => is_span(text),
    }
}

/// Hours, minutes and seconds perhaps; of hours there may be many.
fn is_span(text: &str) -> bool {
    let Some((hours, rest)) = text.split_once(':') else { return false };
    let Some((minutes, rest)) = digits(rest, 2) else { return false };
    let seconds = match rest.strip_prefix(':') {
        Some(rest) => digits(rest, 2).filter(|(seconds, _)| *seconds < 60).and_then(|(_, rest)| fraction(rest)),
        None => Some(rest),
    };
    hours.len() >= 2 && hours.bytes().all(|byte| byte.is_ascii_digit()) && minutes < 60 && seconds == Some("")
}

/// What is behind the `P` of an ISO 8601 duration.
fn is_iso_duration(text: &str) -> bool {
    let mut in_time = false;
    let mut any = false;
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            if in_time {
                return false;
            }
            (in_time, rest) = (true, time);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Some(unit) = (end > 0).then(|| fraction(&rest[end..])).flatten() else { return false };
        let Some(letter) = unit.chars().next() else { return false };
        if !(if in_time { "HMS" } else { "YMWD" }).contains(letter) {
            return false;
        }
        (any, rest) = (true, &unit[letter.len_utf8()..]);
    }
    any
}

fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

fn is_ipv4(text: &str) -> bool {
    let is_byte = |part: &str| {
        let plain = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        plain && part.parse::<u8>().is_ok() && (part == "0" || !part.starts_with('0'))
    };
    text.split('.').count() == 4 && text.split('.').all(is_byte)
}

fn is_ipv6(text: &str) -> bool {
    let (address, scope) = text.split_once('%').map_or((text, None), |(address, scope)| (address, Some(scope)));
    // Groups of four digits; the last two may be an IPv4 address, and `::` stands for groups that are zero.
    let groups = |text: &str| -> Option<usize> {
        if text.is_empty() {
            return Some(0);
        }
        let last = text.split(':').count() - 1;
        let counts = text.split(':').enumerate().map(|(at, group)| match group {
            group if at == last && group.contains('.') => is_ipv4(group).then_some(2),
            group => {
                let fits = (1..=4).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_hexdigit());
                fits.then_some(1)
            }
        });
        counts.sum()
    };
    let is_address = match address.split_once("::") {
        Some((head, tail)) => {
            !head.contains('.') && groups(head).zip(groups(tail)).is_some_and(|(head, tail)| head + tail < 8)
        }
        None => groups(address) == Some(8),
    };
    is_address && scope.is_none_or(|scope| !scope.is_empty() && !scope.contains('%'))
}

/// Whether text is an absolute URL. Of those of the web a host is asked for.
fn is_uri(text: &str) -> bool {
    let text = text.trim_matches(|c: char| c <= ' ');
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return false;
    }
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https" | "ws" | "wss" | "ftp") {
        return true;
    }
    let host = rest.trim_start_matches(['/', '\\']);
    let host = &host[..host.find(['/', '\\', '?', '#']).unwrap_or(host.len())];
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    !name.is_empty()
        && !name.contains(|c: char| c.is_whitespace() || "<>^|%".contains(c))
        && (port.is_empty() || port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What pydantic 2.14 takes and refuses, as it was asked.
    #[test]
    fn formats_are_read_as_pydantic_reads_them() {
        let rows: [(&str, &[&str], &[&str]); 8] = [
            (
                "date",
                &["2020-01-01", "2020-01-01T00:00:00", "1577836800", "0", "1577836800.0", "0001-01-01", "86400000"],
                &[
                    "2020-1-1",
                    "tomorrow",
                    "2020-13-01",
                    "2020-02-30",
                    "20200101",
                    "2020-01-01T10:00:00",
                    "1577836801",
                    "",
                    "2020-01-01 ",
                    " 2020-01-01",
                    "01/02/2020",
                    "2020-01-01Z",
                    "-1",
                    "10000-01-01",
                ],
            ),
            (
                "date-time",
                &[
                    "2020-01-01",
                    "2020-01-01T00:00",
                    "2020-01-01T00:00:00",
                    "2020-01-01 00:00:00",
                    "2020-01-01_00:00:00",
                    "2020-01-01t00:00:00z",
                    "2020-01-01T00:00:00Z",
                    "2020-01-01T00:00:00+01:00",
                    "2020-01-01T00:00:00+0100",
                    "2020-01-01T00:00:00.123",
                    "2020-01-01T00:00:00.1234567",
                    "2020-01-01T00:00:00,5",
                    "1577836800",
                    "1577836800.5",
                    "1577836800000",
                    "2020-01-01T00:00:00-00:00",
                    "2020-01-01T00:00:00.123456789",
                ],
                &[
                    "2020-01-01T00:00:00+01",
                    "2020-01-01T24:00:00",
                    "2020-01-01T23:59:60",
                    "now",
                    "",
                    "2020-01-01T0:00",
                    "2020-01-01T00",
                    "-1e3",
                    "1e3",
                    "nan",
                    "2020-01-01T00:00:00 +01:00",
                    "2020-01-01T00:00:00.",
                    "20200101T000000",
                    "2020-01-01T00:00:00+24:00",
                    " 2020-01-01T00:00:00 ",
                ],
            ),
            (
                "time",
                &["10:00", "10:00:00", "10:00:00.5", "10:00Z", "10:00+01:00", "10:00:00+0100"],
                &["24:00", "10:60", "1000", "10", "10.5", "86400", "-1", "noon", "", "10:0", "1:00", "10:00:00 "],
            ),
            (
                "duration",
                &[
                    "PT3H",
                    "P1DT2H",
                    "P1D",
                    "P1W",
                    "P1Y",
                    "P1M",
                    "PT1.5S",
                    "PT1.5H",
                    "-PT3H",
                    "+PT3H",
                    "00:10",
                    "10:00:00",
                    "24:00:00",
                    "25:00:00",
                    "100:00:00",
                    "01:30",
                    "1 day, 10:00:00",
                    "1 days 10:00:00",
                    "1 day",
                    "2 d",
                    "1d 10:00",
                    "5 days, 10:00",
                    "P1DT",
                    "-1 day, 10:00:00",
                    "1 day,10:00:00",
                    "5 days",
                    "5d",
                    "1day 10:00:00",
                ],
                &[
                    "P",
                    "PT",
                    "pt3h",
                    "10",
                    "10.5",
                    "-10",
                    "1:10",
                    "1:2:3",
                    "1-10:00:00",
                    "1,10:00",
                    "01,01:12",
                    "01 01:12",
                    "3 hours",
                    "soon",
                    "",
                    "10:60",
                    "10:59:60",
                    "1 00:00:10.5",
                    "10 00:00",
                    " PT3H",
                    "PT3H ",
                ],
            ),
            (
                "uuid",
                &[
                    "12345678-1234-1234-1234-123456789abc",
                    "12345678123412341234123456789abc",
                    "{12345678-1234-1234-1234-123456789abc}",
                    "urn:uuid:12345678-1234-1234-1234-123456789abc",
                    "12345678-1234-1234-1234-123456789ABC",
                ],
                &["12345678-1234-1234-1234-123456789ab", "", "x", "1234567812341234-1234-123456789abc"],
            ),
            (
                "ipv4",
                &["1.2.3.4"],
                &["1.2.3", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "", "16909060", "1.2.3.4/24", "localhost"],
            ),
            ("ipv6", &["::1", "fe80::1%eth0", "::ffff:1.2.3.4"], &["1.2.3.4", "1", "", "g::1", "[::1]"]),
            (
                "uri",
                &[
                    "http://a",
                    "http://a/b",
                    "file:///a",
                    "mailto:a@b",
                    "x:y",
                    "urn:x:y",
                    "https://[::1]/",
                    "HTTP://A",
                    "http:a",
                    "foo://",
                    " http://a",
                ],
                &["a", "/a/b", "http:", "http://", "ftp://a:70000", "http://a b", "1:2", "", "a b:c"],
            ),
        ];
        for (format, taken, refused) in rows {
            let (_, fits) = FORMATS.iter().find(|(name, _)| *name == format).expect("is one");
            for text in taken {
                assert!(fits(text), "{format} {text:?}");
            }
            for text in refused {
                assert!(!fits(text), "{format} {text:?}");
            }
        }
    }
}
