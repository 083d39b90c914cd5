//! Tree to [`Recipe`]: finds the parts, and keeps those that have the wrong shape for the rules to report.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::recipe::{ErrorTarget, Link, Recipe, Repeated, Role, Shadowed, Start, StartEntry, Step, Target};
use crate::syntax::{Kind, Member, NodeId, NodeRef, Tree};

/// Reads a recipe out of a document.
pub fn lower(tree: Arc<Tree>) -> Recipe {
    let mut recipe = Recipe {
        tree: Arc::clone(&tree),
        is_object: tree.root().kind() == Kind::Object,
        steps: Vec::new(),
        by_id: Vec::new(),
        links: Vec::new(),
        start: None,
        error: None,
        other_keys: Vec::new(),
        repeated: Vec::new(),
        dropped: Vec::new(),
        shadowed: find_shadowed(tree.root()),
    };
    for member in &recipe.shadowed {
        let last = recipe.dropped.last();
        if !last.is_some_and(|&(_, value)| tree.node(value).holds(member.key)) {
            recipe.dropped.push((member.key, member.value));
        }
    }
    let members: Vec<Member<'_>> = tree.root().members().collect();
    let shadowed = shadowed(&members);
    for (index, member) in members.iter().enumerate() {
        if let Some(last) = shadowed[index] {
            recipe.repeated.push(Repeated {
                key: member.key.id(),
                value: member.value.id(),
                last: members[last].key.id(),
                comment: is_explained(&member.key.text()) && is_comment(member.value),
            });
            continue;
        }
        match &*member.key.text() {
            "start" => recipe.start = Some(start(*member)),
            "error" => recipe.error = Some(error(*member)),
            key => match step_id(key) {
                Some(id) => step(&mut recipe, id, *member),
                None => recipe.other_keys.push(member.key.id()),
            },
        }
    }
    recipe.by_id = recipe.steps.iter().enumerate().map(|(index, step)| (step.id, index as u32)).collect();
    recipe.by_id.sort_by_key(|&(id, index)| (id, std::cmp::Reverse(index)));
    recipe.by_id.dedup_by_key(|&mut (id, _)| id);
    recipe
}

/// From how many members on they are compared by a table instead of one by one.
const MANY: usize = 16;

/// For each member, the later one with the same key that readers keep instead.
fn shadowed(members: &[Member<'_>]) -> Vec<Option<usize>> {
    let mut shadowed = vec![None; members.len()];
    if members.len() < MANY {
        for (index, member) in members.iter().enumerate() {
            let same = |other: &Member<'_>| other.key.same_text(member.key);
            shadowed[index] = members[index + 1..].iter().rposition(same).map(|later| index + 1 + later);
        }
        return shadowed;
    }
    let mut last = HashMap::with_capacity(members.len());
    for (index, member) in members.iter().enumerate().rev() {
        let kept = *last.entry(member.key.text()).or_insert(index);
        shadowed[index] = (kept != index).then_some(kept);
    }
    shadowed
}

/// The members of all objects but the outermost that a later one replaces.
fn find_shadowed(root: NodeRef<'_>) -> Vec<Shadowed> {
    let mut found = Vec::new();
    let mut members: Vec<Member<'_>> = Vec::new();
    let steps = OnceCell::new();
    let steps = || steps.get_or_init(|| root.members().map(|member| member.value.id()).collect::<HashSet<NodeId>>());
    for object in root.descendants().filter(|node| node.kind() == Kind::Object) {
        // Of the top-level keys of a recipe some repetitions are comments: they are found apart.
        if object.id() == root.id() {
            continue;
        }
        members.clear();
        members.extend(object.members());
        if members.len() < MANY && all_differ(&members) {
            continue;
        }
        for (member, later) in members.iter().zip(shadowed(&members)) {
            if let Some(later) = later {
                let last = members[later].key.id();
                let is_part = steps().contains(&object.id());
                let comment = is_part && explains(*member, members[later]);
                found.push(Shadowed { key: member.key.id(), value: member.value.id(), last, comment });
            }
        }
    }
    found.sort_by_key(|shadowed| shadowed.key);
    found
}

fn all_differ(members: &[Member<'_>]) -> bool {
    members
        .iter()
        .enumerate()
        .all(|(index, member)| members[index + 1..].iter().all(|other| !other.key.same_text(member.key)))
}

/// Whether a key of a recipe may be explained by the same key before it.
fn is_explained(key: &str) -> bool {
    key == "start" || key == "error" || step_id(key).is_some()
}

/// Whether a member of a step is a comment on the later one with its key: on one with a list or an object, or both are
/// comments by their name.
fn explains(member: Member<'_>, later: Member<'_>) -> bool {
    const NAMES: [&str; 6] = ["comment", "_comment", "//", "#", "note", "todo"];
    let is_value = matches!(later.value.kind(), Kind::Array | Kind::Object) && !is_comment(later.value);
    let by_name = || NAMES.iter().any(|name| member.key.text().eq_ignore_ascii_case(name));
    is_comment(member.value) && (is_value || by_name())
}

/// The house style for comments: the key of what is explained, with a string or a list of strings.
fn is_comment(value: NodeRef<'_>) -> bool {
    match value.kind() {
        Kind::String => true,
        Kind::Array => value.items().all(|item| item.kind() == Kind::String),
        _ => false,
    }
}

/// The number that Python's `int()` reads from a key, unless it is zero (which the reference rejects) or does not
/// fit 64 bits.
fn step_id(key: &str) -> Option<i64> {
    let text = key.trim();
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let mut magnitude: i64 = 0;
    let mut previous_was_digit = false;
    for character in digits.chars() {
        if character == '_' && previous_was_digit {
            previous_was_digit = false;
            continue;
        }
        let digit = decimal_digit(character)?;
        magnitude = magnitude.checked_mul(10)?.checked_add(i64::from(digit))?;
        previous_was_digit = true;
    }
    (previous_was_digit && magnitude != 0).then_some(if negative { -magnitude } else { magnitude })
}

/// The value of a decimal digit in the scripts people have keyboards for. Python knows more of them; a key in
/// those is reported as no number at all instead of as an unusual one.
fn decimal_digit(character: char) -> Option<u32> {
    let zero = match character {
        '0'..='9' => '0',
        '\u{660}'..='\u{669}' => '\u{660}',
        '\u{6f0}'..='\u{6f9}' => '\u{6f0}',
        '\u{966}'..='\u{96f}' => '\u{966}',
        '\u{ff10}'..='\u{ff19}' => '\u{ff10}',
        _ => return None,
    };
    Some(character as u32 - zero as u32)
}

fn step(recipe: &mut Recipe, id: i64, member: Member<'_>) {
    let first_link = recipe.links.len() as u32;
    let mut step = Step {
        id,
        key: member.key.id(),
        value: member.value.id(),
        queue: None,
        topic: None,
        service: None,
        parameters: None,
        job_parameters: None,
        delay: None,
        exchange: None,
        links: first_link..first_link,
    };
    let (mut output, mut error) = (None, None);
    for part in member.value.members() {
        let place = part.value.id();
        match &*part.key.text() {
            "queue" => step.queue = Some(place),
            "topic" => step.topic = Some(place),
            "service" => step.service = Some(place),
            "parameters" => step.parameters = Some(place),
            "job_parameters" => step.job_parameters = Some(place),
            "transport-delay" => step.delay = Some(place),
            "exchange" => step.exchange = Some(place),
            "output" => output = Some(part.value),
            "error" => error = Some(part.value),
            _ => {}
        }
    }
    for (role, node) in [(Role::Output, output), (Role::Error, error)] {
        if let Some(node) = node {
            links(&mut recipe.links, role, node);
        }
    }
    if !recipe.shadowed.is_empty() {
        let kept: Vec<Link> = recipe.links[first_link as usize..].to_vec();
        recipe.links.truncate(first_link as usize);
        let kept = kept.into_iter().filter(|link| !recipe.is_dropped(recipe.tree.node(link.node))).collect::<Vec<_>>();
        recipe.links.extend(kept);
    }
    step.links.end = recipe.links.len() as u32;
    recipe.steps.push(step);
}

/// The shapes a link may have: a number, a list of numbers, or channels with either.
fn links(links: &mut Vec<Link>, role: Role, node: NodeRef<'_>) {
    if node.kind() == Kind::Object {
        node.members().for_each(|member| channel_links(links, role, Some(member.key), member.value));
    } else {
        channel_links(links, role, None, node);
    }
}

fn channel_links(links: &mut Vec<Link>, role: Role, channel: Option<NodeRef<'_>>, node: NodeRef<'_>) {
    let push = |links: &mut Vec<Link>, node: NodeRef<'_>| {
        links.push(Link { role, channel: channel.map(NodeRef::id), node: node.id(), target: target(node) });
    };
    match node.kind() {
        Kind::Array => node.items().for_each(|item| push(links, item)),
        // Channels within a channel are wrong, and the reference follows them when it looks for unreached steps.
        Kind::Object => {
            push(links, node);
            node.members().for_each(|member| channel_links(links, role, channel, member.value));
        }
        _ => push(links, node),
    }
}

fn target(node: NodeRef<'_>) -> Target {
    match node.kind() {
        Kind::Number => match node.as_integer() {
            Some(id) => Target::Step(id),
            None => node
                .as_f64()
                .filter(|value| value.fract() == 0.0 && value.abs() < 1e15)
                .map_or(Target::Unreadable, |value| Target::Meant(value as i64)),
        },
        Kind::String => step_id(&node.text()).map_or(Target::Unreadable, Target::Meant),
        // In Python `True == 1`, so this link works there.
        Kind::Bool if node.as_bool() == Some(true) => Target::Meant(1),
        _ => Target::Unreadable,
    }
}

fn start(member: Member<'_>) -> Start {
    let entries = member.value.items().map(|entry| {
        let mut items = entry.items();
        let pair = match (items.next(), items.next(), items.next()) {
            (Some(first), Some(payload), None) => Some((first.id(), target(first), payload.id())),
            _ => None,
        };
        StartEntry { node: entry.id(), pair }
    });
    Start { key: member.key.id(), value: member.value.id(), entries: entries.collect() }
}

fn error(member: Member<'_>) -> ErrorTarget {
    let value = member.value;
    let targets = match value.kind() {
        Kind::Array => value.items().map(|item| (item.id(), target(item))).collect(),
        _ => vec![(value.id(), target(value))],
    };
    ErrorTarget { value: value.id(), targets }
}
