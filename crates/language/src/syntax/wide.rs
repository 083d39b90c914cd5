//! Indexes of objects and arrays that have many children, so that to look one up does not take a walk through all.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use super::{Kind, Member, NodeId, NodeRef, Tree};

/// Maximum number of children that are looked at one by one.
const MAX_WALK: usize = 32;

/// The children of the arrays and objects of a tree that have many.
#[derive(Default)]
pub(super) struct Wide(HashMap<u32, Children, foldhash::fast::RandomState>);

#[derive(Default)]
struct Children {
    /// The nodes of the items or keys, in order.
    nodes: Vec<u32>,
    /// Whether they are in this order in the text, too: what YAML takes from elsewhere is not.
    in_order: bool,
    /// The last key for each hash of its text.
    keys: HashMap<u64, u32, foldhash::fast::RandomState>,
}

fn hash(key: &str) -> u64 {
    foldhash::fast::FixedState::with_seed(0x6b65_7973).hash_one(key)
}

impl Wide {
    fn of(tree: &Tree) -> Self {
        let mut wide = Self::default();
        let containers = tree.nodes().filter(|node| matches!(node.kind(), Kind::Array | Kind::Object));
        // A child takes a node at least.
        for node in containers.filter(|node| node.node().next - node.id > MAX_WALK as u32) {
            let mut children = Children::default();
            match node.kind() {
                Kind::Array if node.items().nth(MAX_WALK).is_some() => {
                    children.nodes = node.items().map(|item| item.id).collect();
                }
                Kind::Object if node.members().nth(MAX_WALK).is_some() => {
                    children.nodes = node.members().map(|member| member.key.id).collect();
                    children.keys = node.members().map(|member| (hash(&member.key.text()), member.key.id)).collect();
                }
                _ => continue,
            }
            children.in_order = children.nodes.is_sorted_by_key(|&id| node.at(id).span().start);
            wide.0.insert(node.id, children);
        }
        wide
    }
}

impl<'t> NodeRef<'t> {
    fn wide(self) -> Option<&'t Children> {
        self.tree.wide.get_or_init(|| Wide::of(self.tree)).0.get(&self.id)
    }

    fn at(self, id: u32) -> Self {
        Self { tree: self.tree, id }
    }

    fn member_at(self, key: u32) -> Member<'t> {
        Member { key: self.at(key), value: self.at(key + 1) }
    }

    /// The last member with this key, as JSON readers take it.
    pub fn member(self, key: &str) -> Option<Member<'t>> {
        let mut members = self.members();
        let mut found = None;
        for member in members.by_ref().take(MAX_WALK) {
            if member.key.is(key) {
                found = Some(member);
            }
        }
        if members.next().is_none() {
            return found;
        }
        let known = self.wide()?.keys.get(&hash(key))?;
        let member = self.member_at(*known);
        // Two keys may have the same hash.
        if member.key.is(key) { Some(member) } else { self.members().filter(|member| member.key.is(key)).last() }
    }

    /// The value of the last member with this key, as JSON readers take it.
    pub fn get(self, key: &str) -> Option<Self> {
        self.member(key).map(|member| member.value)
    }

    /// The item at a place of an array.
    pub fn item(self, place: usize) -> Option<Self> {
        if self.kind() != Kind::Array {
            return None;
        }
        if place < MAX_WALK {
            return self.items().nth(place);
        }
        self.wide()?.nodes.get(place).map(|&id| self.at(id))
    }

    /// The item of an array that another node is or is in, and its place.
    pub fn item_around(self, inner: NodeId) -> Option<(usize, Self)> {
        if self.kind() != Kind::Array || !self.holds(inner) {
            return None;
        }
        let mut items = self.items().enumerate();
        if let Some(found) = items.by_ref().take(MAX_WALK).find(|(_, item)| item.holds(inner)) {
            return Some(found);
        }
        items.next()?;
        let nodes = &self.wide()?.nodes;
        let place = nodes.partition_point(|&id| id <= inner.0).checked_sub(1)?;
        Some((place, self.at(nodes[place]))).filter(|(_, item)| item.holds(inner))
    }

    /// The member of an object whose key or value another node is, or whose value it is in.
    pub fn member_around(self, inner: NodeId) -> Option<Member<'t>> {
        if self.kind() != Kind::Object || !self.holds(inner) {
            return None;
        }
        let is_around = |member: &Member<'_>| member.key.id() == inner || member.value.holds(inner);
        let mut members = self.members();
        if let Some(found) = members.by_ref().take(MAX_WALK).find(is_around) {
            return Some(found);
        }
        members.next()?;
        let nodes = &self.wide()?.nodes;
        let place = nodes.partition_point(|&id| id <= inner.0).checked_sub(1)?;
        Some(self.member_at(nodes[place])).filter(is_around)
    }
}

impl<'t> NodeRef<'t> {
    /// The child that begins last at or before an offset of the text, if this has many that are in order.
    fn before(self, offset: u32) -> Option<Option<u32>> {
        let children = self.wide().filter(|children| children.in_order)?;
        let after = children.nodes.partition_point(|&id| self.at(id).span().start <= offset);
        Some(after.checked_sub(1).map(|place| children.nodes[place]))
    }

    /// The first member from the key of which to the end of its value an offset of the text lies.
    pub fn member_over(self, offset: u32) -> Option<Member<'t>> {
        let is_over =
            |member: &Member<'_>| member.key.span().start <= offset && offset < member.value.span().end.max(1);
        let mut members = self.members();
        if let Some(found) = members.by_ref().take(MAX_WALK).find(is_over) {
            return Some(found);
        }
        let first = members.next()?;
        match self.before(offset) {
            Some(last) => last.map(|key| self.member_at(key)).filter(is_over),
            None => std::iter::once(first).chain(members).find(is_over),
        }
    }

    /// The first item of an array in which an offset of the text lies.
    pub fn item_over(self, offset: u32) -> Option<Self> {
        let is_over = |item: &Self| item.span().start <= offset && offset < item.span().end;
        let mut items = self.items();
        if let Some(found) = items.by_ref().take(MAX_WALK).find(is_over) {
            return Some(found);
        }
        let first = items.next()?;
        match self.before(offset) {
            Some(last) => last.map(|id| self.at(id)).filter(is_over),
            None => std::iter::once(first).chain(items).find(is_over),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::source::Source;
    use crate::syntax::{Kind, Tree, parse};

    fn tree(name: &str, text: String) -> Tree {
        parse(Arc::new(Source::from_text(name, text)))
    }

    #[test]
    fn many_children_are_found_as_few_are() {
        for count in [0, 1, 31, 32, 33, 34, 100] {
            let members = |last: &str| -> String {
                (0..count)
                    .map(|place| {
                        format!("\"k\\u0031{place}\": [{place}, {{}}]{}", if place + 1 < count { "," } else { last })
                    })
                    .collect()
            };
            let objects = [format!("{{{}}}", members("")), format!("{{\"k10\": 1, {} \"x\": 2}}", members(","))];
            for text in objects.into_iter().chain([format!("[{}]", vec!["[1, 2]"; count].join(","))]) {
                let tree = tree("a.json", text);
                let root = tree.root();
                for key in ["k10", "k133", "x", "nosuch"] {
                    let walked = root.members().filter(|member| member.key.is(key)).last();
                    assert_eq!(root.get(key).map(|node| node.id()), walked.map(|member| member.value.id()), "{key}");
                }
                for place in [0, 31, 32, 33, 99, 100] {
                    assert_eq!(root.item(place).map(|node| node.id()), root.items().nth(place).map(|node| node.id()));
                }
                for offset in 0..tree.source().text().len() as u32 {
                    let walked = root.items().find(|item| item.span().start <= offset && offset < item.span().end);
                    assert_eq!(root.item_over(offset).map(|node| node.id()), walked.map(|node| node.id()));
                    let walked = root
                        .members()
                        .find(|member| member.key.span().start <= offset && offset < member.value.span().end);
                    let found = root.member_over(offset);
                    assert_eq!(found.map(|member| member.key.id()), walked.map(|member| member.key.id()));
                }
                for node in tree.nodes() {
                    let id = node.id();
                    let walked = root.items().enumerate().find(|(_, item)| item.holds(id)).map(|(place, _)| place);
                    assert_eq!(root.item_around(id).map(|(place, _)| place), walked);
                    let walked = root.members().find(|member| member.key.id() == id || member.value.holds(id));
                    let found = root.member_around(id);
                    assert_eq!(found.map(|member| member.key.id()), walked.map(|member| member.key.id()));
                }
            }
        }
    }

    #[test]
    fn what_has_no_children_has_none() {
        let tree = tree("a.json", "[1, \"a\"]".to_owned());
        for node in tree.nodes().filter(|node| node.kind() != Kind::Array) {
            assert!(node.get("a").is_none() && node.item(0).is_none() && node.item_around(node.id()).is_none());
            assert!(node.member_around(node.id()).is_none());
        }
    }
}
