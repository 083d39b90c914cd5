//! Passwords in commands that no single option tells of.

use crate::source::Span;

/// Programs that read a password from standard input, or do so with an option.
const READERS: [&str; 6] = ["sudo -S", "--password-stdin", "--stdin", "kinit", "passwd", "smbpasswd -s"];

/// Programs of Oracle, which take `user/password@database`.
const ORACLE: [&str; 5] = ["sqlplus", "sqlldr", "expdp", "impdp", "rman"];

/// Everything in commands that is a password by its place.
pub(super) fn secrets(text: &str, found: &mut Vec<Span>) {
    let mut base = 0;
    for line in text.split_inclusive('\n') {
        // Most lines have nothing of this.
        if line.contains(" -")
            || line.contains(['|', '@', '\\'])
            || line.contains("rabbitmqctl")
            || line.contains("<<<")
        {
            line_of(line, base, found);
        }
        base += line.len();
    }
}

fn line_of(line: &str, base: usize, found: &mut Vec<Span>) {
    let mut words: Vec<(usize, &str)> = Vec::new();
    let mut at = 0;
    for word in line.split(|c: char| c.is_ascii_whitespace() || "\"'`()".contains(c)) {
        if !word.is_empty() {
            words.push((at, word));
        }
        at += word.len() + 1;
    }
    let mut mask = |at: usize, word: &str| {
        let is_reference = word.starts_with(['$', '{', '-', '<', '|', '>']);
        // A port, or several, is none.
        let is_port = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        if !word.is_empty() && !is_reference && !is_port {
            found.push(Span::new(base + at, base + at + word.len()));
        }
    };
    for (index, &(at, word)) in words.iter().enumerate() {
        let next = |by: usize| words.get(index + by).copied();
        match word {
            // The name of a user, and then the password.
            "-u" | "-U" | "--user" | "--username" => {
                if let (Some((_, "-p" | "-P" | "-w" | "-A")), Some((at, value))) = (next(2), next(3)) {
                    mask(at, value);
                }
            }
            "add_user" | "change_password" | "authenticate_user" if line.contains("rabbitmqctl") => {
                if let Some((at, value)) = next(2) {
                    mask(at, value);
                }
            }
            "use" if index > 0 && words[index - 1].1 == "net" => {
                if let (Some((at, value)), Some((_, user))) = (next(2), next(3))
                    && user.starts_with("/user:")
                {
                    mask(at, value);
                }
            }
            "echo" | "printf" => {
                let rest = &words[index + 1..];
                let pipe = rest.iter().position(|(_, word)| word.starts_with('|'));
                if let Some(pipe) = pipe
                    && READERS.iter().any(|reader| line[rest[pipe].0..].contains(reader))
                {
                    rest[..pipe].iter().for_each(|&(at, word)| mask(at, word));
                }
            }
            "<<<" if READERS.iter().any(|reader| line[..at].contains(reader)) => {
                if let Some((at, value)) = next(1) {
                    let after = value.find(':').map_or(0, |colon| colon + 1);
                    mask(at + after, &value[after..]);
                }
            }
            _ => {
                // `--proxy-user me:password`
                if let (Some(option), Some((at, value))) = (word.strip_prefix("--"), next(1))
                    && option.ends_with("user")
                    && let Some(colon) = value.find(':')
                {
                    mask(at + colon + 1, &value[colon + 1..]);
                }
                let is_oracle = word.starts_with("jdbc:oracle:")
                    || index > 0 && ORACLE.iter().any(|program| words[index - 1].1.ends_with(program));
                if is_oracle && let Some(slash) = word.find('/') {
                    let end = word[slash..].find('@').map_or(word.len(), |length| slash + length);
                    mask(at + slash + 1, &word[slash + 1..end]);
                }
            }
        }
    }
}
