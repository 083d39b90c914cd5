//! Which names can be changed, to what, and how a name is written in place of another.

use super::session::{Error, Session, View};
use crate::diagnostic::Edit;
use crate::lint::respelled;
use crate::names::{Name, Occurrence};
use crate::syntax::Kind;
use crate::value::write_string;

/// The name at a byte if it can be changed.
///
/// # Errors
/// It cannot; why.
pub fn renamable(view: &View, at: gen_lsp_types::Position) -> Result<&Occurrence, Error> {
    let found = view.name_at(at).ok_or_else(|| Error::Failed("there is no name here".to_owned()))?;
    match &found.name {
        Name::Rule(_) => Err(Error::Failed("the names of rules are those of zrecipe".to_owned())),
        Name::Recipe(_) => Err(Error::Failed("a recipe has the name of its file: rename that".to_owned())),
        _ => Ok(found),
    }
}

/// The new name of what has another name now.
///
/// # Errors
/// It cannot be called that; why.
pub fn renamed(name: &Name, new: &str) -> Result<Name, Error> {
    let fails = |why: &str| Err(Error::Failed(format!("`{new}` {why}")));
    let text = new.to_owned();
    if let Name::Step(_) = name {
        return match new.parse::<i64>() {
            Ok(id) if id > 0 && id.to_string() == new => Ok(Name::Step(id)),
            _ => fails("is no number of a step: 1, 2, 3, …"),
        };
    }
    if new.trim().is_empty() || new.contains(['{', '}', '\n']) {
        return fails("is no name: it needs a letter, and has no braces");
    }
    Ok(match name {
        Name::Placeholder(_) => {
            if new.contains(['[', ']', ':', '!', '.', '$', ' ']) || new.starts_with(|c: char| c.is_ascii_digit()) {
                return fails("is no name of a parameter: letters, digits and `_`");
            }
            Name::Placeholder(text)
        }
        Name::Channel(member) => Name::Channel(crate::names::Member { name: text, ..member.clone() }),
        Name::Parameter(member) => Name::Parameter(crate::names::Member { name: text, ..member.clone() }),
        Name::Queue(_) => Name::Queue(text),
        Name::Topic(_) => Name::Topic(text),
        Name::Exchange(_) => Name::Exchange(text),
        Name::Service(_) => Name::Service(text),
        Name::Block(_) => Name::Block(text),
        Name::Environment(_) => Name::Environment(text),
        Name::Step(_) | Name::Recipe(_) | Name::Rule(_) => return fails("cannot be a name here"),
    })
}

/// Whether what has a name must be the only one of its document that has it.
fn is_unique(name: &Name) -> bool {
    matches!(name, Name::Step(_) | Name::Placeholder(_) | Name::Block(_) | Name::Environment(_))
}

/// The edits that change a name in a document.
///
/// # Errors
/// Something else has the new name already, or it cannot be written in some place.
pub fn edits(view: &View, name: &Name, new: &Name) -> Result<Vec<Edit>, Error> {
    let taken =
        || Error::Failed(format!("there is a {} `{}` already in {}", new.kind(), new.text(), view.path.display()));
    if is_unique(name) && view.names().iter().any(|found| found.name == *new) {
        return Err(taken());
    }
    let text = new.text();
    let mut edits = Vec::new();
    for found in view.names().iter().filter(|found| found.name == *name) {
        let node = view.compilation.tree.node(found.node);
        // Keys are unique in their object.
        if node.kind() == Kind::String && has_sibling(view, found, &text) {
            return Err(taken());
        }
        let replacement = match node.raw().chars().next() {
            Some('"') => {
                let mut quoted = String::new();
                write_string(&mut quoted, &text);
                quoted[1..quoted.len() - 1].to_owned()
            }
            Some('\'') => text.replace('\'', "''"),
            _ if matches!(name, Name::Step(_) | Name::Placeholder(_)) => text.clone(),
            _ => respelled(node.raw(), &text),
        };
        edits.push(Edit { span: found.span, replacement });
    }
    Ok(edits)
}

fn has_sibling(view: &View, found: &Occurrence, text: &str) -> bool {
    let mut at = view.compilation.tree.root();
    loop {
        let Some(member) = at.members().find(|member| member.key.id() == found.node || member.value.holds(found.node))
        else {
            match at.items().find(|item| item.holds(found.node)) {
                Some(item) => at = item,
                None => return false,
            }
            continue;
        };
        if member.key.id() == found.node {
            // A placeholder in a key is only a part of it.
            return member.key.text().len() == found.name.text().len() && at.get(text).is_some();
        }
        at = member.value;
    }
}

/// The documents in which a name is changed: that of a parameter of a recipe means something in that recipe only.
///
/// # Errors
/// Nobody wants to know any more.
pub fn scope(
    session: &mut Session,
    view: &std::sync::Arc<View>,
    name: &Name,
) -> Result<Vec<std::sync::Arc<View>>, Error> {
    let is_own = matches!(name, Name::Placeholder(_))
        && view.compilation.document.kind() != crate::document::DocumentKind::Settings;
    if is_own { Ok(vec![std::sync::Arc::clone(view)]) } else { session.views_with(view, name) }
}
