//! Python's `format(value, spec)`: the specification taken apart, and values laid out by it.

use std::iter::repeat_n;

use super::unicode::decimal_digit;
use super::{FormatError, MAX_WIDTH, integer_parts, invalid, is_raw_string, str, str_within};
use crate::value::Value;

/// CPython's default limit for conversions between decimal text and `int`.
const MAX_INTEGER_DIGITS: usize = 4300;

/// `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spec {
    /// What fills the width; a space unless given. A `0` before the width is fill `'0'`.
    pub fill: Option<char>,
    /// Where the value stands in the width.
    pub align: Option<Align>,
    /// What non-negative numbers start with.
    pub sign: Option<Sign>,
    /// `z`: a float that rounds to zero has no minus.
    pub no_negative_zero: bool,
    /// `#`: keep the decimal point, or write `0x` and its like.
    pub alternate: bool,
    /// A `0` before the width: numbers without an alignment have the fill after their sign.
    pub zero: bool,
    /// The least width in characters.
    pub width: Option<usize>,
    /// `,` or `_` between groups of digits.
    pub grouping: Option<char>,
    /// Digits of a float, or the most characters of a string.
    pub precision: Option<usize>,
    /// The presentation type.
    pub presentation: Option<char>,
}

/// Where a value stands in its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// `<`
    Left,
    /// `>`
    Right,
    /// `^`
    Center,
    /// `=`: the fill goes between the sign and the digits.
    AfterSign,
}

/// What a number's sign looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// `-`: only negative numbers have one, as by default.
    Minus,
    /// `+`: every number has one.
    Plus,
    /// A space before numbers that are not negative.
    Space,
}

/// How a value reads a format specification. `None`, lists and dicts take only the empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer, or a boolean.
    Integer,
    /// A float.
    Float,
}

/// Takes a specification apart and checks that a value of some type can be formatted with it.
pub fn parse_spec(spec: &str) -> Result<Spec, FormatError> {
    let spec = Spec::parse(spec)?;
    if [Kind::Text, Kind::Integer, Kind::Float].iter().any(|&kind| spec.check(kind).is_ok()) {
        return Ok(spec);
    }
    // The complaint is about the kind of value that the author must have had in mind.
    let kind = match spec.presentation {
        Some('b' | 'c' | 'd' | 'o' | 'x' | 'X') => Kind::Integer,
        Some('\0' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%') => Kind::Float,
        None | Some('s') => Kind::Text,
        Some(code) => return invalid(std::format!("unknown format code '{}'", code.escape_debug())),
    };
    spec.check(kind).map(|()| spec)
}

impl Spec {
    /// Reads the syntax; [`check`](Self::check) knows which parts go together.
    pub(in crate::template) fn parse(text: &str) -> Result<Self, FormatError> {
        let mut spec = Self::default();
        let mut rest = text;

        let mut chars = text.chars();
        let (first, second) = (chars.next(), chars.next());
        if let (Some(fill), Some(align)) = (first, second.and_then(alignment)) {
            spec.fill = Some(fill);
            spec.align = Some(align);
            rest = chars.as_str();
        } else if let Some(align) = first.and_then(alignment) {
            spec.align = Some(align);
            rest = &rest[1..];
        }
        let sign = match rest.bytes().next() {
            Some(b'-') => Some(Sign::Minus),
            Some(b'+') => Some(Sign::Plus),
            Some(b' ') => Some(Sign::Space),
            _ => None,
        };
        if sign.is_some() {
            spec.sign = sign;
            rest = &rest[1..];
        }
        spec.no_negative_zero = take(&mut rest, 'z');
        spec.alternate = take(&mut rest, '#');
        if spec.fill.is_none() && take(&mut rest, '0') {
            spec.fill = Some('0');
            spec.zero = true;
        }
        spec.width = take_integer(&mut rest)?;
        if take(&mut rest, ',') {
            spec.grouping = Some(',');
        }
        if take(&mut rest, '_') {
            if spec.grouping.is_some() {
                return invalid("cannot specify both ',' and '_'");
            }
            spec.grouping = Some('_');
        }
        if spec.grouping == Some('_') && rest.starts_with(',') {
            return invalid("cannot specify both ',' and '_'");
        }
        if take(&mut rest, '.') {
            spec.precision = take_integer(&mut rest)?;
            if spec.precision.is_none() {
                return invalid("format specifier missing precision");
            }
        }
        let mut chars = rest.chars();
        spec.presentation = chars.next();
        if chars.next().is_some() {
            return invalid(std::format!("invalid format specifier '{text}'"));
        }
        Ok(spec)
    }

    /// Whether a value of this kind can be formatted, as far as that does not depend on the value.
    pub fn check(&self, kind: Kind) -> Result<(), FormatError> {
        // With these an integer becomes a float first.
        if kind == Kind::Integer && matches!(self.presentation, Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) {
            return self.check(Kind::Float);
        }
        let (name, types) = match kind {
            Kind::Text => ("string", "s"),
            Kind::Integer => ("integer", "bcdoxXn"),
            Kind::Float => ("float", "\0eEfFgGn%"),
        };
        if let Some(code) = self.presentation.filter(|&code| !types.contains(code)) {
            return invalid(std::format!("unknown format code '{}' for {name}s", code.escape_debug()));
        }
        if let Some(separator) = self.grouping {
            let refused = match self.presentation {
                None if kind == Kind::Text => Some('s'),
                Some(code @ ('s' | 'c' | 'n')) => Some(code),
                Some(code @ ('b' | 'o' | 'x' | 'X')) if separator == ',' => Some(code),
                _ => None,
            };
            if let Some(code) = refused {
                return invalid(std::format!("cannot specify '{separator}' with '{code}'"));
            }
        }
        let character = self.presentation == Some('c');
        let not_allowed = [
            (self.sign == Some(Sign::Space) && kind == Kind::Text, "space"),
            (self.sign.is_some() && (kind == Kind::Text || character), "sign"),
            (self.no_negative_zero && kind != Kind::Float, "negative zero coercion (z)"),
            (self.alternate && (kind == Kind::Text || character), "alternate form (#)"),
            (self.align == Some(Align::AfterSign) && kind == Kind::Text, "'=' alignment"),
            (self.precision.is_some() && kind == Kind::Integer, "precision"),
        ];
        if let Some((_, what)) = not_allowed.iter().find(|(refused, _)| *refused) {
            let with = if character { " 'c'" } else { "" };
            return invalid(std::format!("{what} not allowed in {name} format specifier{with}"));
        }
        if kind == Kind::Float && self.precision.is_some_and(|precision| precision > i32::MAX as usize) {
            return invalid("precision too big");
        }
        let precision = self.precision.filter(|_| kind == Kind::Float);
        if self.width.max(precision).is_some_and(|length| length > MAX_WIDTH) {
            return Err(FormatError::TooLong);
        }
        Ok(())
    }
}

fn alignment(c: char) -> Option<Align> {
    match c {
        '<' => Some(Align::Left),
        '>' => Some(Align::Right),
        '^' => Some(Align::Center),
        '=' => Some(Align::AfterSign),
        _ => None,
    }
}

fn take(rest: &mut &str, expected: char) -> bool {
    match rest.strip_prefix(expected) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

/// Takes decimal digits of any script, as Python does; nothing if there are none.
fn take_integer(rest: &mut &str) -> Result<Option<usize>, FormatError> {
    let mut number = None;
    while let Some(c) = rest.chars().next() {
        let Some(digit) = decimal_digit(c) else { break };
        let longer = number.unwrap_or(0i64).checked_mul(10).and_then(|n| n.checked_add(digit.into()));
        let Some(longer) = longer else { return invalid("too many decimal digits in format string") };
        number = Some(longer);
        *rest = &rest[c.len_utf8()..];
    }
    Ok(number.map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
}

// ---------------------------------------------------------------------------------------------------------------
// Formatting

/// Python's `format(value, spec)`.
pub fn format(value: &Value, spec: &str) -> Result<String, FormatError> {
    if spec.is_empty() {
        if value.as_str().is_some_and(|text| text.len() > MAX_WIDTH) {
            return Err(FormatError::TooLong);
        }
        let text = str_within(value, MAX_WIDTH);
        return if text.len() > MAX_WIDTH { Err(FormatError::TooLong) } else { Ok(text) };
    }
    let type_name = match value {
        Value::String(text) => return format_text(text, &Spec::parse(spec)?),
        Value::Raw(json) if is_raw_string(json) => return format_text(&str(value), &Spec::parse(spec)?),
        Value::Bool(value) => return format_integer(if *value { "1" } else { "0" }, &Spec::parse(spec)?),
        Value::Number(number) if number.is_integer() => return format_integer(number.as_str(), &Spec::parse(spec)?),
        Value::Number(number) => return format_float(number.as_f64(), &Spec::parse(spec)?),
        Value::Null => "None",
        Value::Array(_) => "list",
        Value::Object(_) | Value::Raw(_) => "dict",
    };
    invalid(std::format!("unsupported format string for {type_name}"))
}

fn format_text(text: &str, spec: &Spec) -> Result<String, FormatError> {
    spec.check(Kind::Text)?;
    let cut = spec.precision.and_then(|length| text.char_indices().nth(length)).map_or(text.len(), |(at, _)| at);
    let text = &text[..cut];
    let padding = match spec.width {
        Some(width) => width.saturating_sub(text.chars().count()),
        None => 0,
    };
    pad(spec, spec.align.unwrap_or(Align::Left), padding, "", &[text])
}

fn format_integer(literal: &str, spec: &Spec) -> Result<String, FormatError> {
    spec.check(Kind::Integer)?;
    let (negative, decimal) = integer_parts(literal);
    if decimal.len() > MAX_INTEGER_DIGITS {
        return invalid(std::format!("integer has more than {MAX_INTEGER_DIGITS} digits"));
    }
    let (prefix, bits) = match spec.presentation {
        None | Some('d' | 'n') => return lay_out(spec, negative, "", decimal, ""),
        Some('b') => ("0b", 1),
        Some('o') => ("0o", 3),
        Some('x') => ("0x", 4),
        Some('X') => ("0X", 4),
        Some('c') => {
            let code = decimal.parse().ok().filter(|&code| code <= 0x10ffff && !negative);
            let Some(code) = code else { return invalid("'c' argument not in range(0x110000)") };
            let Some(c) = char::from_u32(code) else { return invalid("'c' argument is a surrogate") };
            return lay_out(spec, false, "", "", c.encode_utf8(&mut [0; 4]));
        }
        Some(_) => {
            let magnitude: f64 = decimal.parse().unwrap_or(f64::NAN);
            if magnitude.is_infinite() {
                return invalid("int too large to convert to float");
            }
            return format_float(if negative { -magnitude } else { magnitude }, spec);
        }
    };
    let mut digits = in_base(decimal, bits);
    if prefix == "0X" {
        digits.make_ascii_uppercase();
    }
    lay_out(spec, negative, if spec.alternate { prefix } else { "" }, &digits, "")
}

/// The decimal number in base 2, 8 or 16 (`bits` to a digit).
fn in_base(decimal: &str, bits: u32) -> String {
    const LIMB_DIGITS: usize = 9;
    let mut limbs: Vec<u32> = Vec::new();
    // The first chunk is the odd one, so that all others scale by the same power.
    let head = decimal.len() % LIMB_DIGITS;
    let (head, tail) = decimal.as_bytes().split_at(head);
    for chunk in std::iter::once(head).chain(tail.chunks(LIMB_DIGITS)) {
        let mut carry = chunk.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
        for limb in &mut limbs {
            let product = u64::from(*limb) * 1_000_000_000 + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    }
    let mut digits = Vec::new();
    let (mut pending, mut pending_bits) = (0u64, 0);
    for limb in limbs {
        pending |= u64::from(limb) << pending_bits;
        pending_bits += 32;
        while pending_bits >= bits {
            digits.push(pending & ((1 << bits) - 1));
            pending >>= bits;
            pending_bits -= bits;
        }
    }
    digits.push(pending);
    let significant = digits.iter().rposition(|&digit| digit != 0).unwrap_or(0);
    digits[..=significant].iter().rev().filter_map(|&digit| char::from_digit(digit as u32, 16)).collect()
}

fn format_float(value: f64, spec: &Spec) -> Result<String, FormatError> {
    spec.check(Kind::Float)?;
    let percent = spec.presentation == Some('%');
    let value = if percent { value * 100.0 } else { value };
    let mut body = float_body(value, spec);
    let is_zero = body.split(['e', 'E']).next().is_some_and(|mantissa| mantissa.bytes().all(|b| b"0.".contains(&b)));
    let negative = value.is_sign_negative() && !value.is_nan() && !(spec.no_negative_zero && is_zero);
    if percent {
        body.push('%');
    }
    let end = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    lay_out(spec, negative, "", &body[..end], &body[end..])
}

/// The digits of a float without its sign, as `PyOS_double_to_string` has them.
pub(super) fn float_body(value: f64, spec: &Spec) -> String {
    // No double has more digits than this; the rest of a longer precision is zeros.
    const MAX_FRACTION: usize = 1074;
    const MAX_SIGNIFICANT: usize = 767;

    let value = value.abs();
    let kind = spec.presentation.filter(|&kind| kind != '\0');
    let upper = kind.is_some_and(|kind| kind.is_ascii_uppercase());
    if value.is_nan() || value.is_infinite() {
        return match (value.is_nan(), upper) {
            (true, false) => "nan",
            (true, true) => "NAN",
            (false, false) => "inf",
            (false, true) => "INF",
        }
        .to_owned();
    }
    let precision = spec.precision.unwrap_or(6);
    let scientific =
        |significant: usize| Digits::of(&std::format!("{value:.*e}", significant.min(MAX_SIGNIFICANT) - 1));
    match kind {
        Some('f' | 'F' | '%') => {
            let shown = precision.min(MAX_FRACTION);
            let mut body = std::format!("{value:.shown$}");
            body.extend(repeat_n('0', precision - shown));
            if precision == 0 && spec.alternate {
                body.push('.');
            }
            body
        }
        Some(e @ ('e' | 'E')) => {
            let mut digits = scientific(precision + 1);
            digits.pad_to(precision + 1);
            digits.scientific(e, spec.alternate)
        }
        // `g` is `e` or `f` by the size of the number, without the zeros at the end.
        Some(g) => {
            let precision = precision.max(1);
            let mut digits = scientific(precision);
            digits.trim();
            if spec.alternate {
                digits.pad_to(precision);
            }
            if digits.exponent < -4 || digits.exponent >= precision as i64 {
                digits.scientific(if g == 'G' { 'E' } else { 'e' }, spec.alternate)
            } else {
                digits.positional(if spec.alternate { "." } else { "" })
            }
        }
        // No type: like `repr`, or with a precision like `g`, but with a digit after the point.
        None => {
            let (mut digits, limit) = match spec.precision {
                None => (Digits::shortest(value), 16),
                Some(precision) => (scientific(precision.max(1)), precision.max(1) - 1),
            };
            digits.trim();
            if spec.alternate {
                digits.pad_to(spec.precision.unwrap_or(0));
            }
            if digits.exponent < -4 || digits.exponent >= limit as i64 {
                digits.scientific('e', spec.alternate)
            } else {
                digits.positional(".0")
            }
        }
    }
}

/// The number `d.ddd × 10^exponent`.
struct Digits {
    digits: String,
    exponent: i64,
}

impl Digits {
    /// Reads what Rust's `{:e}` writes.
    fn of(scientific: &str) -> Self {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
        Self { digits: mantissa.replace('.', ""), exponent: exponent.parse().unwrap_or(0) }
    }

    /// The fewest digits that read back as `value`, of these the nearest; of two as near, the even one. Rust's `{:e}`
    /// takes the odd one (`1125899906842624.3` for 2^50 + 0.25, where Python has `.2`).
    fn shortest(value: f64) -> Self {
        let shortest = std::format!("{value:e}");
        let digits = Self::of(&shortest);
        let nearest = std::format!("{value:.*e}", digits.digits.len() - 1);
        if nearest != shortest && nearest.parse() == Ok(value) { Self::of(&nearest) } else { digits }
    }

    /// Drops zeros at the end, but not the only digit.
    fn trim(&mut self) {
        let length = self.digits.trim_end_matches('0').len();
        self.digits.truncate(length.max(1));
    }

    fn pad_to(&mut self, length: usize) {
        self.digits.extend(repeat_n('0', length.saturating_sub(self.digits.len())));
    }

    /// `d.ddde+XX`
    fn scientific(&self, e: char, keep_point: bool) -> String {
        let (first, rest) = self.digits.split_at(1);
        let point = if keep_point || !rest.is_empty() { "." } else { "" };
        let sign = if self.exponent < 0 { '-' } else { '+' };
        std::format!("{first}{point}{rest}{e}{sign}{:02}", self.exponent.abs())
    }

    /// `ddd.ddd`, with `no_fraction` after a whole number.
    fn positional(&self, no_fraction: &str) -> String {
        if self.exponent < 0 {
            let zeros = self.exponent.unsigned_abs() as usize - 1;
            return std::format!("0.{:0<zeros$}{}", "", self.digits);
        }
        let whole = self.exponent as usize + 1;
        if self.digits.len() > whole {
            let (whole, fraction) = self.digits.split_at(whole);
            std::format!("{whole}.{fraction}")
        } else {
            std::format!("{:0<whole$}{no_fraction}", self.digits)
        }
    }
}

/// Puts a number together: `padding sign prefix padding digits rest padding`. Only `digits` are grouped.
fn lay_out(spec: &Spec, negative: bool, prefix: &str, digits: &str, rest: &str) -> Result<String, FormatError> {
    let sign = match spec.sign {
        _ if negative => "-",
        Some(Sign::Plus) => "+",
        Some(Sign::Space) => " ",
        _ => "",
    };
    let width = spec.width.unwrap_or(0);
    let align = spec.align.unwrap_or(if spec.zero { Align::AfterSign } else { Align::Right });
    let around = sign.len() + prefix.len() + rest.chars().count();

    // Zeros after the sign are digits, and take part in the grouping.
    let zeros_are_digits = spec.fill == Some('0') && align == Align::AfterSign;
    let grouped = match spec.grouping {
        Some(separator) if !digits.is_empty() => {
            let size = if matches!(spec.presentation, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
            let least = if zeros_are_digits { width.saturating_sub(around) } else { 0 };
            &group(digits, size, separator, least)
        }
        _ => digits,
    };
    let padding = width.saturating_sub(around + grouped.len());
    pad(spec, align, padding, &[sign, prefix].concat(), &[grouped, rest])
}

/// `digits` with a separator after every `size` from the right, and with zeros before them if shorter than `least`.
/// The first character is never a separator, so the result may be one longer than `least`.
fn group(digits: &str, size: usize, separator: char, least: usize) -> String {
    let (groups, odd) = (least / (size + 1), least % (size + 1));
    let count = digits.len().max(groups * size + odd.max(1));
    let mut out = String::with_capacity(count + count / size);
    let zeros = repeat_n('0', count - digits.len());
    for (index, digit) in zeros.chain(digits.chars()).enumerate() {
        if index > 0 && (count - index).is_multiple_of(size) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

/// `head` and `body` in a row, with `padding` fill characters before, between or after them.
fn pad(spec: &Spec, align: Align, padding: usize, head: &str, body: &[&str]) -> Result<String, FormatError> {
    let fill = spec.fill.unwrap_or(' ');
    let bytes = head.len() + body.iter().map(|part| part.len()).sum::<usize>() + padding * fill.len_utf8();
    if bytes > MAX_WIDTH {
        return Err(FormatError::TooLong);
    }
    let (before, between) = match align {
        Align::Left => (0, 0),
        Align::Right => (padding, 0),
        Align::Center => (padding / 2, 0),
        Align::AfterSign => (0, padding),
    };
    let mut out = String::with_capacity(bytes);
    out.extend(repeat_n(fill, before));
    out.push_str(head);
    out.extend(repeat_n(fill, between));
    out.extend(body.iter().copied());
    out.extend(repeat_n(fill, padding - before - between));
    Ok(out)
}
