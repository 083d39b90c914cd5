//! Mappings and lists during the walk: literals, merged mappings, and assignments.

use std::rc::Rc;

use ruff_python_ast::{Comprehension, Expr, ExprDict};
use serde_json::Value;

use super::facts::{Place, Root, Segment};
use super::flow::Walk;
use super::values::{Abs, At, Dict};

/// The longest list of constants that a loop is walked through for.
const MAX_ROUNDS: usize = 24;

impl<'a> Walk<'_, 'a> {
    pub fn new_dict(&mut self, mut dict: Dict<'a>) -> Abs<'a> {
        dict.depth = self.depth;
        self.dicts.push(dict);
        Abs::Dict(self.dicts.len() - 1)
    }

    pub fn list(&mut self, items: &'a [Expr]) -> Abs<'a> {
        let mut values = Vec::new();
        for item in items {
            let value = self.eval(item);
            match (item, value) {
                (Expr::Starred(_), Abs::List(inner)) => values.extend(inner.iter().cloned()),
                (_, value) => values.push(value),
            }
        }
        Abs::List(Rc::new(values))
    }

    pub fn dict(&mut self, dict: &'a ExprDict) -> Abs<'a> {
        let mut made = Dict::default();
        let mut sources: Vec<Abs<'a>> = Vec::new();
        for item in &dict.items {
            let value = self.eval(&item.value);
            match &item.key {
                None => match value {
                    Abs::At(at) => {
                        made.forwards.push((*at).clone());
                        sources.push(Abs::At(at));
                    }
                    Abs::Dict(at) => {
                        let other = self.dicts[at].clone();
                        made.open |= other.open;
                        sources.extend(other.forwards.iter().cloned().map(Abs::at));
                        made.forwards.extend(other.forwards);
                        made.keys.extend(other.keys);
                    }
                    Abs::Nothing => {}
                    _ => made.open = true,
                },
                Some(key) => {
                    let key = self.eval(key);
                    match key.as_text() {
                        Some(key) => {
                            made.keys.insert(key.to_owned(), (true, value));
                        }
                        None => made.open = true,
                    }
                }
            }
        }
        if sources.is_empty() {
            return self.new_dict(made);
        }
        // The last one wins.
        sources.reverse();
        let extra = self.new_dict(made);
        match (self.merge(&sources), extra) {
            (Abs::At(at), Abs::Dict(extra)) => Abs::at(At { extra: Some(extra), ..(*at).clone() }),
            (_, extra) => extra,
        }
    }

    pub fn comprehension(&mut self, generators: &'a [Comprehension], parts: &[&'a Expr]) -> Abs<'a> {
        let saved = self.frames[self.current].vars.clone();
        let certain = self.certain;
        for generator in generators {
            let items = self.eval(&generator.iter);
            let item = self.item_of(&items);
            self.certain = false;
            self.assign(&generator.target, item);
            for test in &generator.ifs {
                self.eval(test);
            }
        }
        for part in parts {
            self.eval(part);
        }
        self.certain = certain;
        self.frames[self.current].vars = saved;
        Abs::Unknown
    }

    pub fn dict_comprehension(
        &mut self,
        generators: &'a [Comprehension],
        key: Option<&'a Expr>,
        value: &'a Expr,
    ) -> Abs<'a> {
        if let [generator] = generators
            && let Some(key) = key
        {
            // `{k: v for k, v in mapping.items()}` is a copy.
            if let (Expr::Call(call), Expr::Tuple(names)) = (&generator.iter, &generator.target)
                && let (Expr::Attribute(items), Some(Expr::Name(first)), Expr::Name(key)) =
                    (&*call.func, names.elts.first(), key)
                && items.attr.as_str() == "items"
                && first.id == key.id
            {
                let source = self.eval(&items.value);
                if let Abs::At(at) = &source {
                    return Abs::at(At { reads: Vec::new(), ..(**at).clone() });
                }
            }
            // The functions of an entry point, by their names.
            if let Abs::External(group) = self.eval(&generator.iter)
                && let Some(group) = group.strip_prefix("entry_points:")
            {
                let mut made = Dict { open: true, ..Dict::default() };
                for (name, target) in self.index.entry_points_of(group) {
                    let value = self.defined(target);
                    made.keys.insert(name, (true, value));
                }
                return self.new_dict(made);
            }
        }
        let mut parts: Vec<&'a Expr> = key.into_iter().collect();
        parts.push(value);
        self.comprehension(generators, &parts);
        self.new_dict(Dict { open: true, ..Dict::default() })
    }

    /// Mappings read as one, the first wins.
    pub fn merge(&mut self, parts: &[Abs<'a>]) -> Abs<'a> {
        let mut places: Vec<Place> = Vec::new();
        let mut extra = None;
        let mut forwards = Vec::new();
        for part in parts {
            match part {
                Abs::At(at) => {
                    for place in &at.places {
                        if !places.iter().any(|known| super::facts::same(known, place)) {
                            places.push(place.clone());
                        }
                    }
                    extra = extra.or(at.extra);
                    forwards.push((**at).clone());
                }
                Abs::Dict(at) if extra.is_none() => extra = Some(*at),
                _ => {}
            }
        }
        if places.is_empty() {
            return extra.map_or(Abs::Unknown, Abs::Dict);
        }
        if let Some(at) = extra {
            let mut dict = self.dicts[at].clone();
            dict.forwards = forwards;
            let Abs::Dict(made) = self.new_dict(dict) else { return Abs::Unknown };
            extra = Some(made);
        }
        if places.len() > 1 {
            for place in &mut places {
                place.base = place.path.len();
            }
            let names: Option<Vec<String>> = places.iter().map(Place::mapping).collect();
            if let Some(names) = names
                && !self.facts.merged.contains(&names)
            {
                self.facts.merged.push(names);
            }
        }
        Abs::at(At { places, extra, ..At::default() })
    }

    /// What a value may be that is one or the other.
    pub fn join(&mut self, one: Abs<'a>, other: Abs<'a>) -> Abs<'a> {
        let is_empty = |value: &Abs<'a>, dicts: &[Dict<'a>]| match value {
            Abs::Nothing => true,
            Abs::Dict(at) => dicts[*at].keys.is_empty() && !dicts[*at].open && dicts[*at].forwards.is_empty(),
            Abs::List(items) => items.is_empty(),
            Abs::Json(value) => matches!(&**value, Value::String(text) if text.is_empty()) || value.is_null(),
            _ => false,
        };
        match (one, other) {
            (Abs::At(one), Abs::At(other)) => {
                let mut joined = (*one).clone();
                for place in &other.places {
                    if !joined.places.contains(place) {
                        joined.places.push(place.clone());
                    }
                }
                joined.reads.extend(other.reads.iter().filter(|read| !one.reads.contains(read)));
                joined.optional |= other.optional;
                joined.model = joined.model.or(other.model);
                joined.extra = joined.extra.or(other.extra);
                Abs::at(joined)
            }
            (known, other) if is_empty(&other, &self.dicts) && known.is_of_interest() => known,
            (one, known) if is_empty(&one, &self.dicts) && known.is_of_interest() => known,
            (Abs::Unknown, known @ (Abs::At(_) | Abs::Wrapper))
            | (known @ (Abs::At(_) | Abs::Wrapper), Abs::Unknown) => known,
            (Abs::Dict(one), Abs::Dict(other)) if one == other => Abs::Dict(one),
            (Abs::Dict(one), Abs::Dict(other)) => {
                let (one, other) = (self.dicts[one].clone(), self.dicts[other].clone());
                let mut made = Dict { open: one.open || other.open, forwards: one.forwards, ..Dict::default() };
                made.forwards.extend(other.forwards);
                for (key, (always, value)) in &one.keys {
                    let always = *always && other.keys.get(key).is_some_and(|(always, _)| *always);
                    made.keys.insert(key.clone(), (always, value.clone()));
                }
                for (key, (_, value)) in other.keys {
                    made.keys.entry(key).or_insert((false, value));
                }
                self.new_dict(made)
            }
            (one, other) if is_same(&one, &other) => one,
            (Abs::Function(one), Abs::Function(_)) => Abs::Function(one),
            (one @ Abs::Json(_), other @ Abs::Json(_)) => one_of(one, other),
            (Abs::OneOf(known), other @ Abs::Json(_)) | (other @ Abs::Json(_), Abs::OneOf(known))
                if known.len() < 8 =>
            {
                let mut all = (*known).clone();
                all.push(other);
                Abs::OneOf(Rc::new(all))
            }
            (Abs::Chosen(chosen), _) | (_, Abs::Chosen(chosen)) => Abs::Chosen(chosen),
            _ => Abs::Unknown,
        }
    }

    /// The items of a list that is known.
    pub fn items_of(&self, value: &Abs<'a>) -> Option<Vec<Abs<'a>>> {
        match value {
            // One that is empty at first is filled later.
            Abs::List(items) if !items.is_empty() && items.len() <= MAX_ROUNDS => Some(items.to_vec()),
            Abs::Json(value) => {
                let items = value.as_array().filter(|items| items.len() <= MAX_ROUNDS)?;
                Some(items.iter().map(|item| Abs::Json(Rc::new(item.clone()))).collect())
            }
            _ => None,
        }
    }

    /// Any item of a list, or any key of a mapping.
    pub fn item_of(&mut self, value: &Abs<'a>) -> Abs<'a> {
        match value {
            Abs::At(at) => {
                let at = at.clone();
                self.used(value, None);
                if at.is_whole() && !at.places.iter().all(|place| place.root == Root::Environment) {
                    self.escape(value);
                    return Abs::Unknown;
                }
                Abs::at(At { model: None, ..at.inner(&Segment::Item) })
            }
            _ => Abs::Unknown,
        }
    }

    /// Gives a name, an attribute or a key its value.
    pub fn assign(&mut self, target: &'a Expr, value: Abs<'a>) {
        match target {
            Expr::Name(name) => self.set(&name.id, value),
            Expr::Starred(starred) => self.assign(&starred.value, Abs::Unknown),
            Expr::Tuple(tuple) => self.destructure(&tuple.elts, &value),
            Expr::List(list) => self.destructure(&list.elts, &value),
            Expr::Attribute(attribute) => {
                let owner = self.eval(&attribute.value);
                match owner {
                    Abs::This => {
                        let value = match self.attributes.remove(attribute.attr.as_str()) {
                            Some(known) if self.depth > 0 && known.is_of_interest() => self.join(known, value),
                            _ => value,
                        };
                        self.attributes.insert(&attribute.attr, value);
                    }
                    Abs::Object(at) => {
                        self.objects[at].insert(attribute.attr.to_string(), value);
                    }
                    _ => {}
                }
            }
            Expr::Subscript(subscript) => {
                let owner = self.eval(&subscript.value);
                let key = self.eval(&subscript.slice);
                self.store(&owner, &key, value, target);
            }
            _ => {}
        }
    }

    pub fn destructure(&mut self, targets: &'a [Expr], value: &Abs<'a>) {
        if matches!(value, Abs::At(_)) {
            self.used(value, None);
        }
        for (index, target) in targets.iter().enumerate() {
            let item = match value {
                Abs::List(items) => items.get(index).cloned().unwrap_or(Abs::Unknown),
                Abs::At(at) => Abs::at(at.inner(&Segment::Item)),
                _ => Abs::Unknown,
            };
            self.assign(target, item);
        }
    }

    /// `owner[key] = value`.
    pub fn store(&mut self, owner: &Abs<'a>, key: &Abs<'a>, value: Abs<'a>, part: &'a Expr) {
        match owner {
            Abs::Dict(at) => {
                let depth = self.depth;
                let dict = &mut self.dicts[*at];
                match key.as_text() {
                    Some(key) => {
                        let always = depth <= dict.depth || dict.keys.get(key).is_some_and(|(always, _)| *always);
                        dict.keys.insert(key.to_owned(), (always, value));
                    }
                    None => dict.open = true,
                }
            }
            Abs::At(at) => {
                let is_environment = at.places.iter().all(|place| place.root == Root::Environment);
                if is_environment {
                    let evidence = self.evidence(part);
                    match key {
                        Abs::At(name) => {
                            for place in &name.places {
                                if let Some(Segment::Key(key)) = place.path.last()
                                    && !self.facts.stored_by.contains(key)
                                {
                                    self.facts.stored_by.push(key.clone());
                                }
                            }
                        }
                        _ => {
                            if let Some(name) = key.as_text() {
                                self.facts.stores.push((name.to_owned(), evidence));
                            }
                        }
                    }
                }
                let Some(key) = key.as_text() else { return };
                // Whatever is read after it outside of branches finds it, even if some messages end before.
                let in_every_case = self.depth == 0;
                for place in at.inner(&Segment::Key(key.to_owned())).places {
                    let slot = (place.root, place.path);
                    let always = in_every_case || self.overlay.get(&slot).is_some_and(|(_, always)| *always);
                    // What is put back changed is still what came.
                    let is_own = value
                        .as_at()
                        .is_some_and(|own| own.places.iter().any(|place| place.root == slot.0 && place.path == slot.1));
                    if !is_own {
                        self.overlay.insert(slot, (value.clone(), always));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether two values are the very same.
fn is_same<'a>(one: &Abs<'a>, other: &Abs<'a>) -> bool {
    match (one, other) {
        (Abs::Wrapper, Abs::Wrapper)
        | (Abs::This, Abs::This)
        | (Abs::Transport, Abs::Transport)
        | (Abs::Log, Abs::Log)
        | (Abs::Nothing, Abs::Nothing) => true,
        (Abs::Object(one), Abs::Object(other)) | (Abs::Module(one), Abs::Module(other)) => one == other,
        (Abs::Class(one), Abs::Class(other)) => one == other,
        (Abs::External(one), Abs::External(other)) | (Abs::Overridable(one), Abs::Overridable(other)) => one == other,
        (Abs::List(one), Abs::List(other)) => Rc::ptr_eq(one, other),
        (Abs::Partial(one), Abs::Partial(other)) => Rc::ptr_eq(one, other),
        (Abs::Prefixed(one, first), Abs::Prefixed(other, second)) => {
            let same_value = match (first, second) {
                (Some(one), Some(other)) => Rc::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            };
            one == other && same_value
        }
        (Abs::Method(one, name), Abs::Method(other, second)) => name == second && Rc::ptr_eq(one, other),
        _ => false,
    }
}

fn one_of<'a>(one: Abs<'a>, other: Abs<'a>) -> Abs<'a> {
    match (&one, &other) {
        (Abs::Json(a), Abs::Json(b)) if a == b => one,
        _ => Abs::OneOf(Rc::new(vec![one, other])),
    }
}
