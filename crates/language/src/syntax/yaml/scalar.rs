//! What a scalar means: the resolvers and constructors of PyYAML's `SafeLoader` (`resolver.py`, `constructor.py` of
//! PyYAML 6), which are those of YAML 1.1, and the core schema of YAML 1.2 to compare them with.

use std::borrow::Cow;

/// Python refuses to write an integer of more digits.
const MOST_DIGITS: usize = 4300;

/// What a plain scalar, or one with a tag, stands for. Numbers are as JSON writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning<'t> {
    Null,
    Bool(bool),
    Number(Cow<'t, str>),
    Text,
    /// A date, or a date and a time; JSON has none, so its text stands for it.
    Date,
    /// `<<`.
    Merge,
    /// `=`, for which PyYAML has no value.
    Equals,
    /// An integer that is too long to be written down.
    Oversized,
}

impl Meaning<'_> {
    fn in_words(&self, plain: &str) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => format!("`{value}`"),
            Self::Number(number) => format!("the number {number}"),
            Self::Date => "a date".to_owned(),
            _ => format!("the text `{plain}`"),
        }
    }
}

/// Whether a plain scalar is a text and nothing else, in YAML 1.1 and in YAML 1.2.
pub fn is_text(plain: &str) -> bool {
    resolve(plain) == Meaning::Text && core(plain) == Meaning::Text
}

/// What YAML 1.1 and YAML 1.2 make of a plain scalar, in words, where they differ.
pub fn readings(plain: &str) -> Option<(String, String)> {
    // The first characters of all that is no text in either.
    if !plain.starts_with(|c: char| c.is_ascii_digit() || "-+.yYnNtTfFoO".contains(c)) {
        return None;
    }
    let (old, new) = (resolve(plain), core(plain));
    let same = match (&old, &new) {
        // One number may be written in two ways.
        (Meaning::Number(old), Meaning::Number(new)) => old == new || old.parse::<f64>() == new.parse::<f64>(),
        (Meaning::Equals | Meaning::Merge | Meaning::Oversized, _) => true,
        _ => old == new,
    };
    (!same).then(|| (old.in_words(plain), new.in_words(plain)))
}

/// What PyYAML makes of a plain scalar.
pub(super) fn resolve(plain: &str) -> Meaning<'_> {
    match plain {
        "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Meaning::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Meaning::Bool(false),
        "<<" => Meaning::Merge,
        "=" => Meaning::Equals,
        _ if !plain.starts_with(|c: char| c.is_ascii_digit() || "-+.".contains(c)) => Meaning::Text,
        _ if is_date(plain) => Meaning::Date,
        _ => integer(plain).or_else(|| float(plain)).unwrap_or(Meaning::Text),
    }
}

/// What the core schema of YAML 1.2 makes of a plain scalar.
fn core(plain: &str) -> Meaning<'_> {
    let (sign, body) = signed(plain);
    let number = |digits: Option<String>| digits.map_or(Meaning::Oversized, |digits| Meaning::Number(digits.into()));
    match plain {
        "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
        "true" | "True" | "TRUE" => Meaning::Bool(true),
        "false" | "False" | "FALSE" => Meaning::Bool(false),
        _ if consists(body, |c| c.is_ascii_digit()) => Meaning::Number(format!("{sign}{}", whole(body)).into()),
        _ if plain.strip_prefix("0o").is_some_and(|digits| consists(digits, |c| ('0'..='7').contains(&c))) => {
            number(decimal(plain[2..].chars().filter_map(|c| c.to_digit(8)), 8))
        }
        _ if plain.strip_prefix("0x").is_some_and(|digits| consists(digits, |c| c.is_ascii_hexdigit())) => {
            number(decimal(plain[2..].chars().filter_map(|c| c.to_digit(16)), 16))
        }
        _ => {
            let (mantissa, exponent) = body.split_once(['e', 'E']).unwrap_or((body, "0"));
            let exponent_is_right = consists(signed(exponent).1, |c| c.is_ascii_digit());
            let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
            let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
            let some = !before.is_empty() || !after.is_empty();
            if exponent_is_right && some && digits(before) && digits(after) {
                Meaning::Number(format!("{sign}{}.{}e{exponent}", whole(before), or_zero(after)).into())
            } else {
                special(sign, body).unwrap_or(Meaning::Text)
            }
        }
    }
}

/// What a scalar with a tag of YAML itself stands for; none where the tag does not allow it or is for something else.
pub(super) fn construct<'t>(kind: &str, text: &'t str) -> Option<Meaning<'t>> {
    Some(match kind {
        "str" | "binary" => Meaning::Text,
        "null" => Meaning::Null,
        "timestamp" if is_date(text) => Meaning::Date,
        "bool" => match resolve(text) {
            meaning @ Meaning::Bool(_) => meaning,
            _ => return None,
        },
        "int" => integer(text)?,
        "float" => float(text).or_else(|| core_number(text))?,
        _ => return None,
    })
}

fn core_number(text: &str) -> Option<Meaning<'_>> {
    Some(core(text)).filter(|meaning| matches!(meaning, Meaning::Number(_)))
}

fn signed(text: &str) -> (&'static str, &str) {
    match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    }
}

fn consists(text: &str, of: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(of)
}

/// Decimal digits without leading zeros.
fn whole(digits: &str) -> &str {
    or_zero(digits.trim_start_matches('0'))
}

fn or_zero(digits: &str) -> &str {
    if digits.is_empty() { "0" } else { digits }
}

fn special<'t>(sign: &str, body: &str) -> Option<Meaning<'t>> {
    match body {
        ".inf" | ".Inf" | ".INF" => Some(Meaning::Number(format!("{sign}Infinity").into())),
        ".nan" | ".NaN" | ".NAN" => Some(Meaning::Number("NaN".into())),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Meaning<'_>> {
    let (sign, body) = signed(text);
    let of_base = |digits: &str, base: u32| {
        let is_digit = |c: char| c == '_' || c.is_digit(base);
        let right = consists(digits, is_digit) && digits.contains(|c| c != '_');
        right.then(|| decimal(digits.chars().filter_map(|c| c.to_digit(base)), base))
    };
    let found = if let Some(digits) = body.strip_prefix("0b") {
        of_base(digits, 2)?
    } else if let Some(digits) = body.strip_prefix("0x") {
        of_base(digits, 16)?
    } else if body.starts_with('0') {
        of_base(body, 8)?
    } else {
        let mut parts = body.split(':');
        let first = parts.next()?;
        if !first.starts_with(|c: char| c.is_ascii_digit()) || !consists(first, |c| c == '_' || c.is_ascii_digit()) {
            return None;
        }
        let digits = first.replace('_', "");
        match sixties(parts)? {
            rest if rest.is_empty() => Some(digits),
            rest => {
                let first = digits.parse::<u32>().ok();
                first.and_then(|first| decimal(std::iter::once(first).chain(rest), 60))
            }
        }
    };
    Some(match found {
        Some(digits) if sign == "-" && digits != "0" => Meaning::Number(format!("-{digits}").into()),
        Some(digits) => Meaning::Number(digits.into()),
        None => Meaning::Oversized,
    })
}

/// The parts of a number to the base of 60 after the first.
fn sixties<'t>(parts: impl Iterator<Item = &'t str>) -> Option<Vec<u32>> {
    parts.map(|part| part.parse().ok().filter(|&value| value < 60 && part.len() <= 2)).collect()
}

fn float(text: &str) -> Option<Meaning<'_>> {
    let (sign, body) = signed(text);
    let digits = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_digit());
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => {
            let exponent = &body[at + 1..];
            let right = exponent.starts_with(['-', '+']) && consists(&exponent[1..], |c| c.is_ascii_digit());
            (&body[..at], right.then(|| format!("e{exponent}"))?)
        }
        None => (body, String::new()),
    };
    let (before, after) = mantissa.split_once('.')?;
    if let Some(meaning) = special(sign, body) {
        return Some(meaning);
    }
    if !digits(after) {
        return None;
    }
    let after = after.replace('_', "");
    if before.is_empty() {
        // A sign is not allowed here, and there must be something after the point.
        let right = text.starts_with('.') && !after.is_empty() && body[1..].starts_with(|c: char| c.is_ascii_digit());
        return right.then(|| Meaning::Number(format!("0.{after}{exponent}").into()));
    }
    let mut parts = before.split(':');
    let first = parts.next().filter(|first| first.starts_with(|c: char| c.is_ascii_digit()) && digits(first))?;
    let first = first.replace('_', "");
    let rest = sixties(parts)?;
    if rest.is_empty() {
        let text = format!("{sign}{}.{}{exponent}", whole(&first), or_zero(&after));
        return Some(Meaning::Number(text.into()));
    }
    let seconds = rest.iter().fold(first.parse::<f64>().ok()?, |sum, &part| sum * 60.0 + f64::from(part));
    let seconds = seconds + format!("0.{}", or_zero(&after)).parse::<f64>().ok()?;
    exponent.is_empty().then(|| Meaning::Number(format!("{sign}{seconds:?}").into()))
}

/// A number to any base in decimal digits; none where Python would not write it down.
fn decimal(digits: impl Iterator<Item = u32>, base: u32) -> Option<String> {
    const LIMB: u64 = 1_000_000_000;
    let mut limbs: Vec<u64> = vec![0];
    for digit in digits {
        let mut carry = u64::from(digit);
        for limb in &mut limbs {
            let value = *limb * u64::from(base) + carry;
            (*limb, carry) = (value % LIMB, value / LIMB);
        }
        if carry > 0 {
            limbs.push(carry);
        }
        if limbs.len() > MOST_DIGITS / 9 {
            return None;
        }
    }
    let mut text = limbs.pop().unwrap_or(0).to_string();
    text.extend(limbs.iter().rev().map(|limb| format!("{limb:09}")));
    Some(text)
}

/// `2001-12-14`, or `2001-12-14t21:59:43.10-05:00` and its like. Only the first form must have two digits everywhere.
fn is_date(text: &str) -> bool {
    let digits = |text: &str| consists(text, |c| c.is_ascii_digit());
    let Some((_, rest)) = text.split_at_checked(4).filter(|(year, _)| digits(year)) else { return false };
    match rest.as_bytes() {
        &[b'-', a, b, b'-', c, d] if [a, b, c, d].iter().all(u8::is_ascii_digit) => true,
        _ => is_date_and_time(rest).is_some(),
    }
}

/// What follows the year.
fn is_date_and_time(rest: &str) -> Option<()> {
    fn digits<'t>(rest: &mut &'t str, least: usize, most: usize) -> Option<&'t str> {
        let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (found, after) = rest.split_at(count);
        *rest = after;
        (count >= least).then_some(found)
    }
    let mut rest = rest.strip_prefix('-')?;
    digits(&mut rest, 1, 2)?;
    rest = rest.strip_prefix('-')?;
    digits(&mut rest, 1, 2)?;
    let spaces = rest.trim_start_matches([' ', '\t']);
    rest = if spaces.len() < rest.len() { spaces } else { rest.strip_prefix(['T', 't'])? };
    digits(&mut rest, 1, 2)?;
    for _ in 0..2 {
        rest = rest.strip_prefix(':')?;
        digits(&mut rest, 2, 2)?;
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    rest = rest.trim_start_matches([' ', '\t']);
    if rest.is_empty() || rest == "Z" {
        return Some(());
    }
    rest = rest.strip_prefix(['-', '+'])?;
    digits(&mut rest, 1, 2)?;
    if !rest.is_empty() {
        rest = rest.strip_prefix(':')?;
        digits(&mut rest, 2, 2)?;
    }
    rest.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with PyYAML 6.0.3: `json.dumps(yaml.safe_load(text))`; none for text.
    #[test]
    fn plain_scalars_mean_what_they_mean_to_pyyaml() {
        for (plain, expected) in [
            ("yes", Some("true")),
            ("y", None),
            ("oN", None),
            ("~", Some("null")),
            ("0", Some("0")),
            ("-0", Some("0")),
            ("017", Some("15")),
            ("08", None),
            ("0o17", None),
            ("0x_fF", Some("255")),
            ("-0b101", Some("-5")),
            ("1_000", Some("1000")),
            ("+12", Some("12")),
            ("190:20:30", Some("685230")),
            ("1:60", None),
            ("00:11:22:33:44:55", None),
            ("0xffffffffffffffffffffffffffffffffff", Some("87112285931760246646623899502532662132735")),
            ("1.", Some("1.0")),
            (".5", Some("0.5")),
            ("-.5", None),
            ("012.50", Some("12.50")),
            ("1_0.5e+3", Some("10.5e+3")),
            ("1e3", None),
            ("1.0e3", None),
            ("1:30.5", Some("90.5")),
            ("-.inf", Some("-Infinity")),
            (".NaN", Some("NaN")),
            ("+.5", None),
            ("._5", None),
            ("5672", Some("5672")),
            ("1.2.3", None),
            ("-", None),
            ("2026-11-24", None),
        ] {
            let found = match resolve(plain) {
                Meaning::Null => Some("null".to_owned()),
                Meaning::Bool(value) => Some(value.to_string()),
                Meaning::Number(number) => Some(number.into_owned()),
                _ => None,
            };
            assert_eq!(found.as_deref(), expected, "{plain}");
        }
        for (plain, is) in [
            ("2026-11-24", true),
            ("2026-1-2", false),
            ("2001-12-14t21:59:43.10-05:00", true),
            ("2001-1-1 1:59:43", true),
            ("2001-1-1 1:59:43 Z", true),
            ("2001-1-1 1:59:43 +5:0", false),
            ("2001-11-24x", false),
            ("20010-11-24", false),
        ] {
            assert_eq!(resolve(plain) == Meaning::Date, is, "{plain}");
        }
    }

    #[test]
    fn the_two_versions_are_compared() {
        for (plain, expected) in [
            ("on", Some(("`true`", "the text `on`"))),
            ("012", Some(("the number 10", "the number 12"))),
            ("0o12", Some(("the text `0o12`", "the number 10"))),
            ("1e3", Some(("the text `1e3`", "the number 1.0e3"))),
            ("12:30", Some(("the number 750", "the text `12:30`"))),
            ("2026-11-24", Some(("a date", "the text `2026-11-24`"))),
            ("12", None),
            ("-1.5", None),
            ("1.5e+3", None),
            (".5", None),
            ("+.inf", None),
            ("true", None),
            ("images", None),
            ("=", None),
        ] {
            let found = readings(plain);
            let found = found.as_ref().map(|(old, new)| (old.as_str(), new.as_str()));
            assert_eq!(found, expected, "{plain}");
        }
    }
}
