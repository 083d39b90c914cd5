//! One section of an `.ini` file, as Python's `configparser` reads it.

use std::collections::HashMap;

use crate::source::Span;

/// Something wrong with a file. The lines of the file may hold a password, so they are not to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What: a clause.
    pub message: String,
}

/// A key's value: what is on its line and on the lines that continue it.
struct Entry {
    value: String,
    span: Span,
    /// Where the key is.
    key: Span,
    /// Whether it is in the section itself.
    is_own: bool,
}

/// One section of a file. Values may be secret: it has no `Debug`.
pub struct Section<'n> {
    name: &'n str,
    /// What stands in the section, or in `DEFAULT` for all sections.
    entries: HashMap<String, Entry>,
    faults: Vec<Fault>,
    is_present: bool,
}

impl<'n> Section<'n> {
    /// Reads the section of this name.
    pub fn read(text: &str, name: &'n str) -> Self {
        let mut section = Self { name, entries: HashMap::new(), faults: Vec::new(), is_present: false };
        section.lines(text);
        if !section.is_present && section.faults.is_empty() {
            section.fault(Span::default(), format!("there is no section `[{name}]`"));
        }
        section
    }

    /// Whether the file has the section.
    pub fn is_present(&self) -> bool {
        self.is_present
    }

    /// What is wrong with the file.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The keys of the section itself, with their places.
    pub fn keys(&self) -> impl Iterator<Item = (&str, Span)> {
        self.entries.iter().filter(|(_, entry)| entry.is_own).map(|(key, entry)| (key.as_str(), entry.key))
    }

    /// The value of a key with its place; nothing if there is none.
    ///
    /// # Errors
    /// It cannot be resolved.
    pub fn value(&self, key: &str) -> Result<Option<(String, Span)>, Fault> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        let fault = |message: String| Fault { span: entry.span, message };
        if has_lone_percent(&entry.value) {
            return Err(fault(format!("the `%` in `{key}` has to be doubled")));
        }
        let value = self.resolve(&entry.value, 0);
        let value = value.ok_or_else(|| fault(format!("`{key}` refers to a key that does not exist")))?;
        Ok(Some((value, entry.span)))
    }

    fn fault(&mut self, span: Span, message: impl Into<String>) {
        self.faults.push(Fault { span, message: message.into() });
    }

    fn lines(&mut self, text: &str) {
        let (mut at, mut section) = (0, None);
        // The key whose value an indented line continues, and its indentation.
        let mut open: Option<(String, usize)> = None;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            let content = line.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            let span = Span::new(start + indent, start + indent + content.len());
            if let Some((key, margin)) = &open
                && indent > *margin
            {
                if let Some(entry) = self.entries.get_mut(key) {
                    entry.value.push('\n');
                    entry.value.push_str(content);
                }
                continue;
            }
            if let Some((name, _)) = content.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
                if name == self.name && std::mem::replace(&mut self.is_present, true) {
                    self.fault(span, format!("there are two sections `{name}`"));
                }
                (section, open) = (Some(name), None);
                continue;
            }
            let Some(section) = section else {
                self.fault(span, format!("there is text before the section `[{}]`", self.name));
                return;
            };
            let Some((key, value)) = content.split_once(['=', ':']).filter(|(key, _)| !key.trim().is_empty()) else {
                self.fault(span, "the line is not of the form `key = value`");
                continue;
            };
            if section != self.name && section != "DEFAULT" {
                open = None;
                continue;
            }
            let key = key.trim().to_lowercase();
            let end = start + indent + content.len();
            let value = value.trim();
            let is_own = section == self.name;
            let entry = Entry { value: value.to_owned(), span: Span::new(end - value.len(), end), key: span, is_own };
            open = Some((if is_own { key.clone() } else { format!("DEFAULT {key}") }, indent));
            if is_own {
                if self.entries.insert(key.clone(), entry).is_some() {
                    self.fault(span, "the key is given twice");
                }
            } else {
                self.entries.insert(format!("DEFAULT {key}"), entry);
            }
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key).or_else(|| self.entries.get(&format!("DEFAULT {key}")))
    }

    /// A value as `configparser` gives it: `%%` is `%`, and `%(key)s` what the key says.
    fn resolve(&self, text: &str, depth: usize) -> Option<String> {
        const DEEPEST: usize = 10;
        let (mut resolved, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('%') {
            resolved.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                resolved.push('%');
                rest = after;
                continue;
            }
            let (key, after) = after.strip_prefix('(')?.split_once(")s")?;
            let entry = self.entry(&key.to_lowercase()).filter(|_| depth < DEEPEST)?;
            resolved.push_str(&self.resolve(&entry.value, depth + 1)?);
            rest = after;
        }
        resolved.push_str(rest);
        Some(resolved)
    }
}

/// Whether a value holds a `%` that does not stand for itself or for another key, which stops `configparser`.
fn has_lone_percent(value: &str) -> bool {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('%') {
        let Some(after) = after.strip_prefix('%').or_else(|| Some(after.strip_prefix('(')?.split_once(")s")?.1)) else {
            return true;
        };
        rest = after;
    }
    false
}
