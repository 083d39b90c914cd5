//! The walk through calls: reading, sending, subscribing, models, and the service's own functions.

use std::rc::Rc;

use ruff_python_ast::{Expr, ExprCall};

use super::definitions::Def;
use super::facts::{Root, Segment, Use};
use super::flow::Walk;
use super::literals::OF_TEXT;
use super::values::{Abs, At, Code, Dict, Given, How};

/// Functions that learn nothing of a mapping's keys.
const HARMLESS: [&str; 26] = [
    "print",
    "str",
    "repr",
    "len",
    "isinstance",
    "type",
    "bool",
    "id",
    "callable",
    "hash",
    "dumps",
    "dump",
    "pformat",
    "pprint",
    "format",
    "max",
    "min",
    "sum",
    "round",
    "abs",
    "issubclass",
    "hasattr",
    "any",
    "all",
    "range",
    "super",
];

impl<'a> Walk<'_, 'a> {
    pub fn call(&mut self, call: &'a ExprCall) -> Abs<'a> {
        let function = self.eval(&call.func);
        let given = self.given(call);
        self.apply(&function, given, call)
    }

    pub fn given(&mut self, call: &'a ExprCall) -> Given<'a> {
        let mut given = Given { args: vec![], keywords: vec![], spread: vec![] };
        for argument in &call.arguments.args {
            let value = self.eval(argument);
            match (argument, value) {
                (Expr::Starred(_), Abs::List(items)) => given.args.extend(items.iter().cloned()),
                (_, value) => given.args.push(value),
            }
        }
        for keyword in &call.arguments.keywords {
            let value = self.eval(&keyword.value);
            match &keyword.arg {
                Some(name) => given.keywords.push((name, value)),
                None => given.spread.push(value),
            }
        }
        given
    }

    pub fn apply(&mut self, function: &Abs<'a>, given: Given<'a>, call: &'a ExprCall) -> Abs<'a> {
        match function {
            Abs::Method(owner, name) => self.method(owner, name, given, call),
            Abs::Function(callable) => {
                if let Code::Function(function) = callable.code {
                    match function.node.name.as_str() {
                        // The one of `workflows`, if its source is among the files.
                        "wrap_subscribe" => return self.subscribe(&given, 1, true, call),
                        "wrap_subscribe_broadcast" => return Abs::Unknown,
                        _ => {}
                    }
                }
                self.invoke(function, given)
            }
            Abs::Chosen(chosen) => self.choose(chosen, given, call),
            Abs::Partial(partial) => {
                let (function, first) = &**partial;
                let mut all = first.clone();
                all.args.extend(given.args);
                all.keywords.extend(given.keywords);
                all.spread.extend(given.spread);
                self.apply(function, all, call)
            }
            Abs::Class(class) => self.construct(*class, given, call),
            Abs::External(path) => self.external_call(path, given, call),
            _ => {
                // A recipe wrapper that was kept somewhere.
                if let Expr::Attribute(attribute) = &*call.func
                    && attribute.attr.as_str() == "send_to"
                    && let Some(channel) = given.args.first().filter(|channel| channel.as_text().is_some()).cloned()
                {
                    let certain = std::mem::replace(&mut self.certain, false);
                    self.send_on(&channel, given.args.get(1), call);
                    self.certain = certain;
                    return Abs::Unknown;
                }
                for value in given.all().cloned().collect::<Vec<_>>() {
                    self.escape(&value);
                }
                Abs::Unknown
            }
        }
    }

    pub fn method(&mut self, owner: &Abs<'a>, name: &'a str, given: Given<'a>, call: &'a ExprCall) -> Abs<'a> {
        match owner {
            Abs::Wrapper => match name {
                "send" => self.send(None, given.get(0, "message"), call),
                "send_to" => {
                    if let Some(channel) = given.get(0, "channel").cloned() {
                        self.send_on(&channel, given.get(1, "message"), call);
                    }
                }
                "set_default_channel" => {
                    if let Some(channel) = given.get(0, "channel").and_then(Abs::as_text) {
                        let evidence = self.evidence(call);
                        self.facts.default_channels.push((channel.to_owned(), evidence));
                    }
                }
                _ => {}
            },
            Abs::This => match name {
                // Those of zocalo's wrappers.
                "record_result_individual_file" => {
                    self.send_on(&Abs::text("result-individual-file"), given.get(0, "payload"), call);
                }
                "record_result_all_files" => {
                    self.send_on(&Abs::text("result-all-files"), given.get(0, "payload"), call);
                }
                _ => {
                    for value in given.all().cloned().collect::<Vec<_>>() {
                        self.escape(&value);
                    }
                }
            },
            Abs::Transport if name == "subscribe" => return self.subscribe(&given, 0, false, call),
            Abs::At(at) => return self.method_of_value(owner, at, name, given, call),
            Abs::Dict(at) => return self.method_of_dict(*at, name, given, call),
            Abs::Json(text) if text.is_string() => match name {
                "format" => {
                    let text = text.as_str().unwrap_or_default();
                    if let Some(head) = text.strip_suffix("{}") {
                        return match given.args.first() {
                            Some(Abs::At(at)) => Abs::Prefixed(head.into(), Some(Rc::clone(at))),
                            Some(other) => match other.as_text() {
                                Some(tail) => Abs::text(&format!("{head}{tail}")),
                                None => Abs::Prefixed(head.into(), None),
                            },
                            None => Abs::Unknown,
                        };
                    }
                }
                "lower" => return Abs::text(&text.as_str().unwrap_or_default().to_lowercase()),
                _ => {}
            },
            Abs::Class(class) => return self.class_method(*class, name, &given).unwrap_or(Abs::Unknown),
            Abs::Object(_) | Abs::List(_) => {
                for value in given.all().cloned().collect::<Vec<_>>() {
                    self.escape(&value);
                }
            }
            _ => {}
        }
        Abs::Unknown
    }

    pub fn method_of_value(
        &mut self,
        owner: &Abs<'a>,
        at: &Rc<At<'a>>,
        name: &'a str,
        given: Given<'a>,
        call: &'a ExprCall,
    ) -> Abs<'a> {
        let is_environment = at.places.iter().all(|place| place.root == Root::Environment);
        let copy = || Abs::at(At { model: None, instance: false, ..(**at).clone() });
        match name {
            "get" | "pop" | "setdefault" => {
                if !at.is_whole() {
                    self.used(owner, Some(Use::Object));
                }
                let key = given.get(0, "key").cloned().unwrap_or(Abs::Unknown);
                let default = given.get(1, "default").cloned();
                match key.as_text() {
                    Some(key) => {
                        let how = match (name, default.clone()) {
                            ("pop", None) => How::Index,
                            (_, default) => How::Get(default),
                        };
                        let (key, at) = (key.to_owned(), (**at).clone());
                        let value = self.read(&at, &key, how, call);
                        match default {
                            Some(Abs::At(other)) => self.join(value, Abs::At(other)),
                            Some(Abs::Dict(other)) => {
                                let other = Abs::Dict(other);
                                self.join(value, other)
                            }
                            Some(default)
                                if default.as_text().is_some()
                                    && matches!(at.places.first(), Some(place) if place.root == Root::Service) =>
                            {
                                Abs::Overridable(default.as_text().unwrap_or_default().into())
                            }
                            _ => value,
                        }
                    }
                    None => self.item(owner, &key, &call.func, true),
                }
            }
            "copy" | "model_copy" | "dict" | "model_dump" | "_asdict" => copy(),
            "items" | "values" | "keys" => {
                if is_environment {
                    return owner.clone();
                }
                self.used(owner, Some(Use::Object));
                self.escape(owner);
                Abs::Unknown
            }
            "update" => {
                if is_environment {
                    let evidence = self.evidence(call);
                    if let Some(Abs::Dict(dict)) = given.args.first() {
                        let keys: Vec<String> = self.dicts[*dict].keys.keys().cloned().collect();
                        self.facts.stores.extend(keys.into_iter().map(|key| (key, evidence.clone())));
                    }
                    self.facts
                        .stores
                        .extend(given.keywords.iter().map(|(key, _)| ((*key).to_owned(), evidence.clone())));
                    return Abs::Nothing;
                }
                let mut parts: Vec<Abs<'a>> = given.args.clone();
                if !given.keywords.is_empty() {
                    let keys = given.keywords.iter().map(|(key, value)| ((*key).to_owned(), (true, value.clone())));
                    let keys = keys.collect();
                    parts.push(self.new_dict(Dict { keys, ..Dict::default() }));
                }
                parts.push(owner.clone());
                let merged = self.merge(&parts);
                if let Expr::Attribute(attribute) = &*call.func
                    && matches!(&*attribute.value, Expr::Name(_) | Expr::Attribute(_))
                {
                    // In a branch it is perhaps as before.
                    self.assign(&attribute.value, merged);
                }
                Abs::Nothing
            }
            "new_child" => {
                let mut parts = given.args.clone();
                parts.push(owner.clone());
                self.merge(&parts)
            }
            "append" | "extend" | "insert" => {
                self.used(owner, Some(Use::Array));
                Abs::Nothing
            }
            "substitute" | "safe_substitute" => {
                if given.all().any(|value| {
                    value.as_at().is_some_and(|at| at.places.iter().any(|place| place.root == Root::Environment))
                }) {
                    self.facts.replaces = Some("text");
                }
                owner.clone()
            }
            _ if OF_TEXT.contains(&name) => {
                self.used(owner, Some(Use::Text));
                Abs::Unknown
            }
            // The value itself is a function: `parameter = parameters.get`.
            _ => Abs::Unknown,
        }
    }

    pub fn method_of_dict(&mut self, at: usize, name: &str, given: Given<'a>, call: &'a ExprCall) -> Abs<'a> {
        match name {
            "get" | "pop" | "setdefault" => {
                let key = given.get(0, "key").cloned().unwrap_or(Abs::Unknown);
                let known = key.as_text().and_then(|key| self.dicts[at].keys.get(key)).map(|(_, value)| value.clone());
                if name == "setdefault" && known.is_none() {
                    let value = given.get(1, "default").cloned().unwrap_or(Abs::Nothing);
                    self.store(&Abs::Dict(at), &key, value, &call.func);
                }
                match (known, &key) {
                    (Some(value), _) => value,
                    (None, Abs::At(_)) => self.item(&Abs::Dict(at), &key, &call.func, true),
                    (None, _) => given.get(1, "default").cloned().unwrap_or(Abs::Unknown),
                }
            }
            "update" => {
                for part in given.args.iter().chain(&given.spread) {
                    match part {
                        Abs::Dict(other) => {
                            let other = self.dicts[*other].clone();
                            for (key, (always, value)) in other.keys {
                                let always = always && self.depth <= self.dicts[at].depth;
                                self.dicts[at].keys.insert(key, (always, value));
                            }
                            self.dicts[at].open |= other.open;
                            self.dicts[at].forwards.extend(other.forwards);
                        }
                        Abs::At(source) => self.dicts[at].forwards.push((**source).clone()),
                        _ => self.dicts[at].open = true,
                    }
                }
                for (key, value) in given.keywords {
                    self.store(&Abs::Dict(at), &Abs::text(key), value, &call.func);
                }
                Abs::Nothing
            }
            "copy" => {
                let copy = self.dicts[at].clone();
                self.new_dict(copy)
            }
            "items" | "keys" | "values" if !self.dicts[at].keys.is_empty() => {
                let pair = |(key, (_, value)): (&String, &(bool, Abs<'a>))| match name {
                    "keys" => Abs::text(key),
                    "values" => value.clone(),
                    _ => Abs::List(Rc::new(vec![Abs::text(key), value.clone()])),
                };
                Abs::List(Rc::new(self.dicts[at].keys.iter().map(pair).collect()))
            }
            _ => Abs::Unknown,
        }
    }

    /// A function that is not in the files.
    pub fn external_call(&mut self, path: &str, given: Given<'a>, call: &'a ExprCall) -> Abs<'a> {
        let name = path.rsplit('.').next().unwrap_or(path);
        let first = given.args.first().cloned().unwrap_or(Abs::Nothing);
        match name {
            "wrap_subscribe" => return self.subscribe(&given, 1, true, call),
            "wrap_subscribe_broadcast" => return Abs::Unknown,
            "exit" | "_exit" | "abort" => return Abs::External("exit()".into()),
            "suppress" => return Abs::External("suppress()".into()),
            "entry_points" => {
                let group = given.keyword("group").and_then(Abs::as_text).unwrap_or_default();
                return Abs::External(format!("entry_points:{group}").into());
            }
            "cast" => return given.args.get(1).cloned().unwrap_or(Abs::Unknown),
            "partial" | "partialmethod" => {
                let args = given.args.get(1..).unwrap_or_default().to_vec();
                return Abs::Partial(Rc::new((first, Given { args, ..given })));
            }
            "getattr" => return self.attribute_by_name(&given, call),
            "int" => self.used(&first, Some(Use::Integer)),
            "float" => self.used(&first, Some(Use::Number)),
            "Path" | "PurePath" | "PosixPath" | "fspath" | "abspath" | "exists" | "isfile" | "isdir" | "basename"
            | "dirname" | "splitext" | "realpath" | "makedirs" | "open" => self.used(&first, Some(Use::Text)),
            "join" if path.starts_with("os.") => {
                for value in &given.args {
                    self.used(value, Some(Use::Text));
                }
            }
            "loads" | "literal_eval" | "eval" | "safe_load" => {
                self.used(&first, Some(Use::Parsed));
                return Abs::Unknown;
            }
            "ChainMap" => return self.merge(&given.args),
            "dict" | "OrderedDict" | "deepcopy" | "copy" | "vars" | "defaultdict" => {
                let mut parts: Vec<Abs<'a>> = given.spread.clone();
                parts.reverse();
                parts.extend(given.args.iter().cloned());
                if !given.keywords.is_empty() {
                    let keys = given.keywords.iter().map(|(key, value)| ((*key).to_owned(), (true, value.clone())));
                    let keys = keys.collect();
                    parts.insert(0, self.new_dict(Dict { keys, ..Dict::default() }));
                }
                return match &parts[..] {
                    [] => self.new_dict(Dict::default()),
                    [Abs::Dict(at)] => {
                        let copy = self.dicts[*at].clone();
                        self.new_dict(copy)
                    }
                    [Abs::At(at)] => Abs::At(Rc::clone(at)),
                    [other] if !other.is_of_interest() => self.new_dict(Dict { open: true, ..Dict::default() }),
                    parts => self.merge(parts),
                };
            }
            "SimpleNamespace" | "Namespace" | "Box" | "AttrDict" | "DotMap" => {
                let mut parts: Vec<Abs<'a>> = given.spread.clone();
                parts.reverse();
                parts.extend(given.args.iter().cloned());
                if let Abs::At(at) = self.merge(&parts) {
                    return Abs::at(At { namespace: true, ..(*at).clone() });
                }
                return Abs::Unknown;
            }
            "list" | "tuple" | "set" | "sorted" | "reversed" | "iter" | "next" | "enumerate" | "zip" => {
                let is_environment =
                    first.as_at().is_some_and(|at| at.places.iter().all(|place| place.root == Root::Environment));
                if is_environment
                    || matches!(first, Abs::List(_)) && matches!(name, "list" | "tuple" | "sorted" | "iter")
                {
                    return first;
                }
                if let Abs::At(at) = &first {
                    if at.is_whole() {
                        self.escape(&first);
                    } else if matches!(name, "list" | "tuple" | "sorted" | "reversed") {
                        return Abs::at(At { optional: false, ..(**at).clone() });
                    }
                }
                self.used(&first, None);
                if name == "enumerate"
                    && let Abs::At(at) = &first
                    && !at.is_whole()
                {
                    return Abs::List(Rc::new(vec![Abs::List(Rc::new(vec![
                        Abs::Unknown,
                        Abs::at(at.inner(&Segment::Item)),
                    ]))]));
                }
                return Abs::Unknown;
            }
            "Template" => return first,
            "isinstance" => self.used_as_any(&first),
            "TypeAdapter" => return first,
            "parse_obj_as" => {
                return match (&first, given.args.get(1)) {
                    (Abs::Class(class), Some(Abs::At(at))) => {
                        let at = (**at).clone();
                        self.validate(*class, &at, &[])
                    }
                    _ => Abs::Unknown,
                };
            }
            "super" => return Abs::External("super()".into()),
            _ if path.starts_with("super().") => {
                let owner = self.frames[self.current].owner.unwrap_or(self.class);
                let all = self.index.ancestry(self.class);
                let after = all.0.iter().skip_while(|class| **class != owner).skip(1);
                let found =
                    after.into_iter().find_map(|class| Some((*class, super::source::own_member(*class, name)?)));
                return match found {
                    Some((owner, Def::Function(function))) => {
                        let bound = self.function(function, true, Some(owner));
                        self.invoke(&bound, given)
                    }
                    _ => Abs::Unknown,
                };
            }
            _ if path == name && HARMLESS.contains(&name) || HARMLESS.contains(&name) => {}
            "warning" | "info" | "debug" | "error" | "exception" | "critical" => {}
            _ => {
                for value in given.all().cloned().collect::<Vec<_>>() {
                    self.escape(&value);
                }
            }
        }
        Abs::Unknown
    }
}
