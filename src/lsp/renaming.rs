//! Which names can be changed, to what, and how a name is written in place of another.

use super::client::Error;
use super::describe::schema_of;
use super::session::Session;
use super::view::View;
use zrecipe_language::contract::Contracts;
use zrecipe_language::diagnostic::Edit;
use zrecipe_language::lint::respelled;
use zrecipe_language::names::{Name, Occurrence};
use zrecipe_language::syntax::Kind;
use zrecipe_language::value::write_string;

/// The name at a byte if it can be changed.
///
/// # Errors
/// It cannot; why.
pub fn renamable(view: &View, at: gen_lsp_types::Position) -> Result<&Occurrence, Error> {
    let found = view.name_at(at).ok_or_else(|| Error::Failed("there is no name here".to_owned()))?;
    match &found.name {
        Name::Rule(_) => Err(Error::Failed("the names of rules are those of zrecipe".to_owned())),
        Name::Recipe(_) => Err(Error::Failed("a recipe has the name of its file: rename that".to_owned())),
        Name::Placeholder(name) if name == "guid" => {
            Err(Error::Failed("the dispatcher adds `guid`, under this name".to_owned()))
        }
        Name::Environment(name) if name == "default" => {
            Err(Error::Failed("`default` is the environment that is used when none is named".to_owned()))
        }
        name => match promised(view, name) {
            Some(service) => {
                let (kind, text) = (name.kind(), name.text());
                Err(Error::Failed(format!("the {kind} `{text}` is that of `{service}`, which is part of zrecipe")))
            }
            None => Ok(found),
        },
    }
}

/// The service that is built in and goes by a name, or has it.
fn promised<'v>(view: &'v View, name: &Name) -> Option<&'v str> {
    let contracts = view.basis.contracts();
    let contract = match name {
        Name::Service(service) => contracts.of_service(service)?,
        Name::Queue(queue) => contracts.of_queue(queue)?,
        Name::Channel(member) => {
            let contract = contracts.of_service(&member.owner)?;
            contract.channel(&member.name).map(|_| contract)?
        }
        Name::Parameter(member) => {
            let contract = contracts.of_service(&member.owner)?;
            let mut known = schema_of(contract, member.part)?.properties();
            known.any(|(name, _)| name == member.name).then_some(contract)?
        }
        _ => return None,
    };
    Contracts::built_in().iter().any(|built_in| std::ptr::eq(built_in, contract)).then(|| contract.name())
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
            _ => fails("is not a step number: 1, 2, 3, …"),
        };
    }
    if new.trim().is_empty() || new.contains(['{', '}', '\n']) {
        return fails("is not a valid name: it needs a letter, and has no braces");
    }
    Ok(match name {
        Name::Placeholder(_) if new == "guid" => return fails("is added to every request by the dispatcher"),
        Name::Placeholder(_) => {
            if new.contains(['[', ']', ':', '!', '.', '$', ' ']) || new.starts_with(|c: char| c.is_ascii_digit()) {
                return fails("is not a valid parameter name: use letters, digits and `_`");
            }
            Name::Placeholder(text)
        }
        Name::Channel(member) => Name::Channel(zrecipe_language::names::Member { name: text, ..member.clone() }),
        Name::Parameter(member) => Name::Parameter(zrecipe_language::names::Member { name: text, ..member.clone() }),
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
    let is_declared = |name: &str| view.basis.project.settings.declared.contains_key(name);
    if matches!(new, Name::Placeholder(text) if is_declared(text)) {
        return Err(Error::Failed(format!(
            "`{}` is declared in zrecipe.toml already, as another parameter",
            new.text()
        )));
    }
    let text = new.text();
    let mut edits = Vec::new();
    for found in view.names().iter().filter(|found| found.name == *name) {
        let node = view.compilation.tree.node(found.node);
        if let Some(why) = obstacle(view, name, found) {
            return Err(Error::Failed(why));
        }
        // What is written at its anchor is changed there.
        if node.is_alias() {
            continue;
        }
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

/// Why a name cannot be changed in one place.
fn obstacle(view: &View, name: &Name, found: &Occurrence) -> Option<String> {
    let tree = &view.compilation.tree;
    let (node, text) = (tree.node(found.node), view.source().text());
    let line = view.position(node.span().start).line + 1;
    let named = || view.names().iter().filter(|other| other.name == *name);
    if node.is_alias() {
        let label = &node.raw()[1..];
        let before = &text[..node.span().start as usize];
        let anchors = before.rmatch_indices('&').map(|(at, _)| at + 1);
        let mut ends = anchors.filter(|&at| before[at..].split(char::is_whitespace).next() == Some(label));
        let end = ends.next()? + label.len();
        let anchored =
            tree.nodes().filter(|node| node.span().start as usize >= end).min_by_key(|node| node.span().start);
        let is_same =
            anchored.is_some_and(|anchored| named().any(|other| tree.node(other.node).span() == anchored.span()));
        return (!is_same).then(|| format!("`*{label}` in line {line} stands for something else as well"));
    }
    let before = text[..node.span().start as usize].trim_end();
    let label = before.rsplit(char::is_whitespace).next().and_then(|word| word.strip_prefix('&'));
    if let Some(label) = label.filter(|_| before.len() < node.span().start as usize) {
        let aliases = tree.nodes().filter(|alias| alias.is_alias() && alias.raw().strip_prefix('*') == Some(label));
        if aliases.into_iter().any(|alias| named().all(|other| other.node != alias.id())) {
            return Some(format!("`*{label}` stands for something else as well"));
        }
    }
    // Where of a text of several lines a name is, cannot always be told.
    let is_whole = node.kind() == Kind::String && found.span == node.span();
    (is_whole && node.raw() != found.name.text()).then(|| format!("it cannot be changed in line {line}"))
}

fn has_sibling(view: &View, found: &Occurrence, text: &str) -> bool {
    let mut at = view.compilation.tree.root();
    loop {
        let Some(member) = at.member_around(found.node) else {
            match at.item_around(found.node) {
                Some((_, item)) => at = item,
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

/// The documents in which a name is changed: that of a parameter of a recipe means something in that recipe only,
/// unless the settings declare it.
///
/// # Errors
/// Nobody wants to know any more.
pub fn scope(
    session: &mut Session,
    view: &std::sync::Arc<View>,
    name: &Name,
) -> Result<Vec<std::sync::Arc<View>>, Error> {
    let is_declared = |name: &str| view.basis.project.settings.declared.get(name).is_some();
    let is_own = matches!(name, Name::Placeholder(text) if !is_declared(text))
        && view.compilation.document.kind() != zrecipe_language::document::DocumentKind::Settings;
    if is_own { Ok(vec![std::sync::Arc::clone(view)]) } else { session.views_with(view, name) }
}
