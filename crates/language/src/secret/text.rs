//! Secrets in running text: tokens of known forms, values beside a name for a secret, and passwords of commands.

use std::ops::Range;

use super::programs;
use super::{is_secret, mentions, user_info};
use crate::source::Span;

/// Beginnings of tokens that services issue, and the fewest characters that follow.
const PREFIXES: &[(&str, usize)] = &[
    ("ATATT", 20),
    ("ATBB", 20),
    ("AKIA", 12),
    ("ASIA", 12),
    ("ABIA", 12),
    ("ACCA", 12),
    ("AIza", 30),
    ("AGE-SECRET-KEY-1", 20),
    ("dapi", 32),
    ("dckr_pat_", 20),
    ("dop_v1_", 40),
    ("doo_v1_", 40),
    ("dor_v1_", 40),
    ("figd_", 20),
    ("GOCSPX-", 20),
    ("NRAK-", 20),
    ("rubygems_", 40),
    ("sq0atp-", 20),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("gldt-", 16),
    ("glrt-", 16),
    ("glcbt-", 16),
    ("glptt-", 16),
    ("glsa_", 20),
    ("hf_", 20),
    ("hvb.", 20),
    ("hvs.", 20),
    ("key-", 32),
    ("lin_api_", 20),
    ("npm_", 30),
    ("pypi-", 30),
    ("rk_live_", 10),
    ("rk_test_", 10),
    ("SG.", 32),
    ("shpat_", 20),
    ("sk-", 20),
    ("sk_live_", 10),
    ("sk_test_", 10),
    ("whsec_", 20),
    ("xapp-", 10),
    ("xoxa-", 10),
    ("xoxb-", 10),
    ("xoxe-", 10),
    ("xoxp-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("ya29.", 20),
];

/// Beginnings of password hashes as `crypt` writes them.
const HASHES: [&str; 9] = ["$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$7$", "$y$", "$argon2"];

/// Parameters of signed URLs.
const SIGNATURES: [&str; 4] = ["sig", "signature", "x-amz-signature", "x-goog-signature"];

/// Schemes of the header `Authorization`.
const SCHEMES: [&str; 8] = ["bearer", "basic", "digest", "token", "apikey", "negotiate", "ntlm", "aws4-hmac-sha256"];

/// Options of programs that take a password: the beginning of the program's name, the option, and the sign behind which
/// the password begins in the option's value.
const OPTIONS: &[(&str, &str, Option<char>)] = &[
    ("7z", "-p", None),
    ("curl", "-u", Some(':')),
    ("curl", "--user", Some(':')),
    ("curl", "-U", Some(':')),
    ("curl", "-b", None),
    ("http", "-a", Some(':')),
    ("ipmitool", "-P", None),
    ("kubectl", "--from-literal", Some('=')),
    ("ldap", "-w", None),
    ("lftp", "-u", Some(',')),
    ("mariadb", "-p", None),
    ("mongo", "-p", None),
    ("mosquitto", "-P", None),
    ("mysql", "-p", None),
    ("openssl", "-k", None),
    ("rabbitmqadmin", "-p", None),
    ("redis-cli", "-a", None),
    ("smbclient", "-U", Some('%')),
    ("snmp", "-A", None),
    ("snmp", "-c", None),
    ("snmp", "-X", None),
    ("sqlcmd", "-P", None),
    ("sshpass", "-p", None),
    ("unzip", "-P", None),
    ("xfreerdp", "/p", Some(':')),
    ("zip", "-P", None),
];

/// Of these programs the option takes a password only when it is glued to it: apart, the word is something else.
const GLUED: [&str; 3] = ["mysql", "mariadb", "7z"];

/// Everything in a text that is a secret by its form, by the name beside it, or as the option of a command; in order.
pub(super) fn secrets(text: &str) -> Vec<Span> {
    let mut found = shapes(text);
    named(text, &mentions(text), &mut found);
    commands(text, &mut found);
    programs::secrets(text, &mut found);
    found.sort_unstable();
    found
}

/// Everything in a text that is a secret by its form alone.
pub(super) fn shapes(text: &str) -> Vec<Span> {
    let mut found = Vec::new();
    user_info(text, &mut found);
    private_keys(text, &mut found);
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_part(bytes[at]) {
            at += 1;
            continue;
        }
        let end = run(bytes, at, is_part);
        let word = &text[at..end];
        if word.len() >= 12 && (is_token(word) || is_jwt(word) || is_random(word)) {
            found.push(Span::new(at, end));
        } else if HASHES.iter().any(|hash| word.starts_with(hash)) || is_salted(word) {
            let stop = run(bytes, at, |byte| byte.is_ascii_graphic() && !b"\"'`,;".contains(&byte));
            // `$1$2` of awk is none.
            found.extend((stop - at >= 20).then(|| Span::new(at, stop)));
        } else if SIGNATURES.iter().any(|name| word.eq_ignore_ascii_case(name))
            && at > 0
            && b"?&;".contains(&bytes[at - 1])
            && bytes.get(end) == Some(&b'=')
        {
            let stop = run(bytes, end + 1, |byte| byte.is_ascii_graphic() && !b"\"'`<>&".contains(&byte));
            found.push(Span::new(end + 1, stop));
        } else if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
            && let Some(value) = credentials(text, at..end)
        {
            found.push(Span::new(value.start, value.end));
        }
        at = end;
    }
    found.sort_unstable();
    found
}

/// Where the bytes end that belong to a run.
fn run(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|&byte| !belongs(byte)).map_or(bytes.len(), |length| from + length)
}

fn is_token(word: &str) -> bool {
    PREFIXES.iter().any(|&(prefix, least)| {
        word.strip_prefix(prefix).is_some_and(|rest| {
            // A word such as `key-of-the-first-detector-element-here` has no digits.
            rest.len() >= least && (prefix.contains('_') || rest.bytes().any(|byte| byte.is_ascii_digit()))
        })
    })
}

/// A hash as `crypt` writes it: `$method$salt$`.
fn is_salted(word: &str) -> bool {
    let mut parts = word.split('$');
    let is_name = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    parts.next() == Some("")
        && parts.next().is_some_and(is_name)
        && parts.next().is_some_and(|salt| salt.len() >= 4)
        && parts.next().is_some()
}

/// Text that nobody has made up: letters and digits change places too often. Hexadecimal digits alone are the name of
/// some content, or a UUID.
fn is_random(word: &str) -> bool {
    word.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| {
        let bytes = part.as_bytes();
        if bytes.len() < 20 || bytes.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        let class = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
        let changes = bytes.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
        let digits = bytes.windows(2).filter(|pair| !pair[0].is_ascii_digit() && pair[1].is_ascii_digit()).count();
        let has = |is: fn(&u8) -> bool| bytes.iter().any(is);
        let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        let (length, runs) = if is_mixed { (20, 3) } else { (24, 5) };
        bytes.len() >= length && digits >= runs && changes * 3 >= bytes.len()
    })
}

/// A JSON Web Token: parts in base64, of which the first is an object.
fn is_jwt(word: &str) -> bool {
    word.starts_with("eyJ") && word.len() >= 20 && word.contains('.')
}

/// The credentials behind a scheme of `Authorization`, unless both are words of a sentence.
fn credentials(text: &str, scheme: Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = run(bytes, scheme.end, |byte| byte == b' ');
    let end = run(bytes, start, |byte| byte.is_ascii_alphanumeric() || b"_-.~+/=".contains(&byte));
    let value = text[start..end].trim_end_matches('.');
    if start == scheme.end || value.len() < 4 {
        return None;
    }
    let is_basic = text[scheme.clone()].eq_ignore_ascii_case("basic");
    let is_encoded = || value.ends_with('=') || value[1..].bytes().any(|byte| byte.is_ascii_uppercase());
    let is_all = is_alone(text, scheme.start..end);
    let is_mixed = value.bytes().any(|byte| byte.is_ascii_digit()) && value.len() >= 8;
    let is_secret = if is_basic {
        is_encoded() || is_mixed
    } else if text[scheme.clone()].eq_ignore_ascii_case("bearer") {
        is_all || is_mixed || value.len() >= 24
    } else {
        is_mixed && (is_all || value.len() >= 16)
    };
    is_secret.then_some(start..end)
}

/// Whether a part of a text is a value of its own: all of it, all between quotes, or all behind a key.
fn is_alone(text: &str, part: Range<usize>) -> bool {
    let before = text[..part.start].trim_end_matches(' ');
    let after = text[part.end..].trim_start_matches(' ');
    let begins = before.is_empty() || before.ends_with(['"', '\'', '\n', ':', '=']);
    begins && (after.is_empty() || after.starts_with(['"', '\'', '\\', '\r', '\n', ',', '}', ']']))
}

/// What stands between the first and the last line of a private key, or to the end of the text.
fn private_keys(text: &str, found: &mut Vec<Span>) {
    const BEGIN: &str = "-----BEGIN ";
    for at in memchr::memmem::find_iter(text.as_bytes(), BEGIN) {
        let label = &text[at + BEGIN.len()..];
        let Some(length) = label.find("-----").filter(|&length| label[..length].contains("PRIVATE KEY")) else {
            continue;
        };
        let start = at + BEGIN.len() + length + 5;
        let end = text[start..].find("-----END").map_or(text.len(), |length| start + length);
        found.push(Span::new(start, end));
    }
}

/// Values beside a name for a secret: `NAME=value`, `"name": "value"`, `--name value`, `Name: value`.
fn named(text: &str, mentions: &[usize], found: &mut Vec<Span>) {
    let bytes = text.as_bytes();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || !byte.is_ascii();
    let mut done = 0;
    for &at in mentions {
        if at < done {
            continue;
        }
        let start = bytes[..at].iter().rposition(|&byte| !is_part(byte)).map_or(0, |before| before + 1);
        let end = run(bytes, at, is_part);
        done = end;
        let word = &text[start..end];
        let name = word.trim_start_matches('-');
        // A header within quotes ends with them.
        let opening = start.checked_sub(1).map(|before| bytes[before]).filter(|byte| b"\"'".contains(byte));
        let header = is_header(name).then_some(opening.unwrap_or(b'\n'));
        if is_secret(name)
            && let Some(value) = value_beside(text, end, word.len() > name.len(), header)
                .or_else(|| element(text, start, end))
                .or_else(|| said(text, name, end))
        {
            found.push(Span::new(value.start, value.end));
            done = done.max(value.end);
        }
    }
}

/// Whether the value of a header of this name goes on to the end of the line.
fn is_header(name: &str) -> bool {
    ["authorization", "cookie"].iter().any(|header| name.to_ascii_lowercase().ends_with(header))
}

/// The value beside a name that ends at `at`.
fn value_beside(text: &str, at: usize, is_option: bool, header: Option<u8>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let is_quote = |byte: u8| b"\"'\\`".contains(&byte);
    let quoted = run(bytes, at, is_quote);
    let sign = run(bytes, quoted, |byte| byte == b' ' || byte == b'\t');
    let start = match bytes.get(sign) {
        Some(b':' | b'=') if !text[sign..].starts_with("://") => run(bytes, sign, |byte| b":=> \t".contains(&byte)),
        // The next item of a list.
        Some(b',') if is_option && quoted > at => run(bytes, sign + 1, |byte| byte.is_ascii_whitespace()),
        Some(byte) if is_option && sign > quoted && *byte != b'-' => sign,
        _ => return None,
    };
    let open = run(bytes, start, is_quote);
    let quote = bytes[start..open].last().copied();
    // An escaped quote ends at an escaped quote.
    let is_end = |byte: u8| match quote {
        Some(quote) => byte == quote || (byte == b'\\' && open - start > 1) || byte == b'\n',
        None if header.is_some() => Some(byte) == header || byte == b'\n',
        None => byte.is_ascii_whitespace() || b"\"',;&|)}]<>`".contains(&byte),
    };
    let end = run(bytes, open, |byte| !is_end(byte));
    let value = text[open..end].trim_end();
    let is_reference =
        value.starts_with('$') || value.starts_with('{') || value.starts_with('[') || value.starts_with('%');
    let is_word =
        ["null", "none", "true", "false", "yes", "no", "~"].iter().any(|word| value.eq_ignore_ascii_case(word));
    (!value.is_empty() && !is_reference && !is_word).then_some(open..open + value.len())
}

/// The content of an element of XML with a name for a secret, or the value of an attribute beside one that says the name.
fn element(text: &str, start: usize, at: usize) -> Option<Range<usize>> {
    let rest = &text[at..];
    if text[..start].ends_with('<') && rest.starts_with('>') {
        return Some(at + 1..at + 1 + rest[1..].find('<')?).filter(|value| !value.is_empty());
    }
    let value = rest.strip_prefix('"')?.trim_start().strip_prefix("value=\"")?;
    let from = text.len() - value.len();
    Some(from..from + value.find('"')?).filter(|value| !value.is_empty())
}

/// A value that a sentence tells of: `the password is …`, `token "…" was refused`. It looks like one: it has letters and
/// digits.
fn said(text: &str, name: &str, at: usize) -> Option<Range<usize>> {
    const NAMES: [&str; 8] = ["passw", "pwd", "passphrase", "passcode", "secret", "token", "kennwort", "access_key"];
    const FILLERS: [&str; 7] = ["is", "was", "ist", "war", "est", "to", "set"];
    let name = name.to_ascii_lowercase();
    if !NAMES.iter().any(|known| name.contains(known)) {
        return None;
    }
    let bytes = text.as_bytes();
    let mut start = at;
    for _ in 0..3 {
        start = run(bytes, start, |byte| byte == b' ');
        if start == at {
            return None;
        }
        let open = run(bytes, start, |byte| b"\"'`".contains(&byte));
        let end = run(bytes, open, |byte| !byte.is_ascii_whitespace() && !b"\"'`,;()<>".contains(&byte));
        let word = text[open..end].trim_end_matches(['.', ':', '!', '?']);
        if open == start && FILLERS.contains(&word) {
            start = end;
            continue;
        }
        let has = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
        let is_value = word.len() >= 6 && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
        let is_other = word.starts_with(['-', '/', '{', '$', '%']) || word.contains(['=', '/', '{']);
        return (is_value && !is_other).then_some(open..open + word.len());
    }
    None
}

/// Passwords among the options of commands.
fn commands(text: &str, found: &mut Vec<Span>) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.contains(" -") || line.contains("\"-") {
            command(line, start, found);
        }
        start += line.len();
    }
}

fn command(text: &str, base: usize, found: &mut Vec<Span>) {
    let mut program = "";
    let mut words = Vec::new();
    let mut at = 0;
    for word in text.split(|c: char| c.is_ascii_whitespace() || "\"'`()".contains(c)) {
        words.push((at, word));
        at += word.len() + 1;
    }
    words.retain(|(_, word)| !matches!(*word, "" | ","));
    for (index, &(at, word)) in words.iter().enumerate() {
        let name = word.rsplit('/').next().unwrap_or(word);
        if OPTIONS.iter().any(|&(program, ..)| name.starts_with(program)) {
            program = name;
            continue;
        }
        if word.ends_with(['|', ';', '&']) {
            program = "";
        }
        let known = OPTIONS.iter().filter(|&&(known, ..)| !program.is_empty() && program.starts_with(known));
        for &(known, option, sign) in known {
            let Some(rest) = word.strip_prefix(option) else { continue };
            if option.starts_with("--") && !(rest.is_empty() || rest.starts_with('=')) {
                continue;
            }
            let (start, value) = match rest.strip_prefix('=').unwrap_or(rest) {
                "" if GLUED.contains(&known) => continue,
                "" => match words.get(index + 1) {
                    Some(&(next, value)) => (next, value),
                    None => continue,
                },
                value => (at + word.len() - value.len(), value),
            };
            let skipped = match sign.map(|sign| value.find(sign)) {
                None => 0,
                Some(Some(before)) => before + 1,
                Some(None) => continue,
            };
            let is_reference = value[skipped..].starts_with(['$', '{', '-']);
            if !is_reference && skipped < value.len() {
                found.push(Span::new(base + start + skipped, base + start + value.len()));
            }
        }
    }
}
