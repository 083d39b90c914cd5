//! Models: classes of pydantic, data classes and named tuples as JSON Schemas.

use std::rc::Rc;

use ruff_python_ast::{Decorator, Expr, ExprCall, Stmt};
use serde_json::{Value, json};

use super::definitions::{Class, Def, Extra, Field, Kind, Model};
use super::facts::Evidence;
use super::literals::constant;
use super::schemas::bound;
use super::source::Index;

/// The deepest nesting of models in a schema.
const MAX_DEPTH: usize = 8;

impl<'a> Index<'a> {
    /// What kind of class with fields this is, if it is one.
    pub fn model_kind(&self, class: Class<'a>) -> Option<Kind> {
        let ancestry = self.ancestry(class);
        let (known, external) = &*ancestry;
        let last = |name: &String| name.rsplit('.').next().unwrap_or_default().to_owned();
        if external.iter().map(last).any(|name| matches!(&*name, "BaseModel" | "BaseSettings" | "RootModel")) {
            return Some(Kind::Checked);
        }
        for class in known.iter().copied() {
            for decorator in &class.node.decorator_list {
                let name = self.decorator_name(class.module, decorator);
                if name.ends_with("dataclass") {
                    return Some(if name.starts_with("pydantic") { Kind::Checked } else { Kind::Plain });
                }
            }
        }
        external.iter().map(last).any(|name| matches!(&*name, "NamedTuple" | "TypedDict")).then_some(Kind::Plain)
    }

    fn decorator_name(&self, module: usize, decorator: &'a Decorator) -> String {
        let function = match &decorator.expression {
            Expr::Call(call) => &call.func,
            other => other,
        };
        match self.resolve(module, function) {
            Some(Def::External(name)) => name,
            _ => String::new(),
        }
    }

    /// The last part of the name of an external thing.
    pub fn external(&self, module: usize, expression: &'a Expr) -> Option<String> {
        match self.resolve(module, expression)? {
            Def::External(name) => Some(name.rsplit('.').next().unwrap_or_default().to_owned()),
            _ => None,
        }
    }

    /// The fields of a class.
    pub fn model(&self, class: Class<'a>) -> Rc<Model<'a>> {
        let id = std::ptr::from_ref(class.node).addr();
        if let Some(known) = self.models.borrow().get(&id) {
            return Rc::clone(known);
        }
        let model = Rc::new(self.model_within(class, MAX_DEPTH));
        self.models.borrow_mut().insert(id, Rc::clone(&model));
        model
    }

    pub fn model_within(&self, class: Class<'a>, depth: usize) -> Model<'a> {
        let kind = self.model_kind(class).unwrap_or(Kind::Plain);
        let ancestry = self.ancestry(class);
        let (known, external) = &*ancestry;
        let is_base = |name: &String| {
            let last = name.rsplit('.').next().unwrap_or_default();
            let known =
                ["BaseModel", "BaseSettings", "NamedTuple", "TypedDict", "Generic", "ABC", "object", "Protocol"];
            known.contains(&last)
        };
        let mut model = Model { fields: Vec::new(), extra: Extra::Ignored, open: !external.iter().all(is_base) };
        let mut by_name = false;
        // What a class itself says counts more than what its bases say.
        for class in known.iter().rev() {
            self.read_config(*class, &mut model, &mut by_name);
        }
        for class in known.iter().rev() {
            for statement in &class.node.body {
                let Stmt::AnnAssign(assign) = statement else { continue };
                let Expr::Name(name) = &*assign.target else { continue };
                let name = name.id.as_str();
                if name.starts_with('_') || name == "model_config" {
                    continue;
                }
                let Some(field) =
                    self.field(*class, kind, name, &assign.annotation, assign.value.as_deref(), by_name, depth)
                else {
                    continue;
                };
                model.fields.retain(|known| known.attribute != name);
                model.fields.push(field);
            }
        }
        for class in known.iter().rev() {
            self.read_validators(*class, &mut model);
        }
        model
    }

    fn read_config(&self, class: Class<'a>, model: &mut Model<'a>, by_name: &mut bool) {
        let mut apply = |name: &str, value: &'a Expr| match name {
            "extra" => {
                let text = match value {
                    Expr::StringLiteral(text) => text.value.to_str(),
                    Expr::Attribute(attribute) => attribute.attr.as_str(),
                    _ => "",
                };
                match text {
                    "forbid" => model.extra = Extra::Forbidden,
                    "allow" => model.extra = Extra::Allowed,
                    "ignore" => model.extra = Extra::Ignored,
                    _ => model.open = true,
                }
            }
            "populate_by_name" | "validate_by_name" | "allow_population_by_field_name" => {
                *by_name = matches!(value, Expr::BooleanLiteral(literal) if literal.value);
            }
            // The names of the keys are computed.
            "alias_generator" => model.open = true,
            _ => {}
        };
        for keyword in class.node.arguments.iter().flat_map(|arguments| &arguments.keywords) {
            if let Some(name) = &keyword.arg {
                apply(name, &keyword.value);
            }
        }
        for statement in &class.node.body {
            match statement {
                Stmt::Assign(assign) if matches!(&assign.targets[..], [Expr::Name(name)] if name.id == "model_config") => {
                    match &*assign.value {
                        Expr::Call(call) => {
                            for keyword in &call.arguments.keywords {
                                if let Some(name) = &keyword.arg {
                                    apply(name, &keyword.value);
                                }
                            }
                        }
                        Expr::Dict(dict) => {
                            for item in &dict.items {
                                if let Some(Expr::StringLiteral(key)) = &item.key {
                                    apply(key.value.to_str(), &item.value);
                                }
                            }
                        }
                        _ => {}
                    }
                }
                Stmt::ClassDef(config) if config.name.as_str() == "Config" => {
                    for statement in &config.body {
                        if let Stmt::Assign(assign) = statement
                            && let [Expr::Name(name)] = &assign.targets[..]
                        {
                            apply(&name.id, &assign.value);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Marks the fields whose text is parsed before it is checked.
    fn read_validators(&self, class: Class<'a>, model: &mut Model<'a>) {
        for statement in &class.node.body {
            let Stmt::FunctionDef(function) = statement else { continue };
            for decorator in &function.decorator_list {
                let Expr::Call(call) = &decorator.expression else { continue };
                let name = self.external(class.module, &call.func).unwrap_or_default();
                let keyword = |name: &str| call.arguments.find_keyword(name).map(|keyword| &keyword.value);
                let mode = match keyword("mode") {
                    Some(Expr::StringLiteral(mode)) => mode.value.to_str(),
                    _ => "after",
                };
                let is_pre = matches!(keyword("pre"), Some(Expr::BooleanLiteral(literal)) if literal.value);
                if !is_pre && !matches!(mode, "before" | "wrap" | "plain") {
                    continue;
                }
                match name.as_str() {
                    "validator" | "field_validator" => {
                        let names: Vec<&str> = call.arguments.args.iter().filter_map(text).collect();
                        for field in &mut model.fields {
                            if names.contains(&field.attribute) || names.contains(&"*") {
                                parsed(&mut field.schema);
                            }
                        }
                    }
                    // It may add, rename and convert all there is.
                    "root_validator" | "model_validator" => {
                        model.open = true;
                        for field in &mut model.fields {
                            field.required = false;
                            parsed(&mut field.schema);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments)]
    fn field(
        &self,
        class: Class<'a>,
        kind: Kind,
        attribute: &'a str,
        annotation: &'a Expr,
        value: Option<&'a Expr>,
        by_name: bool,
        depth: usize,
    ) -> Option<Field<'a>> {
        let module = class.module;
        let head = match annotation {
            Expr::Subscript(subscript) => &subscript.value,
            other => other,
        };
        if matches!(self.external(module, head).as_deref(), Some("ClassVar" | "InitVar")) {
            return None;
        }
        let mut field = Field {
            attribute,
            key: attribute.to_owned(),
            also: Vec::new(),
            required: true,
            default: None,
            schema: self.schema(module, annotation, depth),
            model: self.model_of_annotation(module, annotation),
            evidence: Evidence {
                file: self.modules[module].shown.clone(),
                line: self.modules[module].line(annotation),
            },
        };
        if let Expr::Subscript(subscript) = annotation {
            let head = self.external(module, &subscript.value);
            match head.as_deref() {
                Some("Annotated") => {
                    if let Expr::Tuple(parts) = &*subscript.slice {
                        for part in parts.elts.iter().skip(1) {
                            self.read_metadata(module, part, &mut field);
                        }
                    }
                }
                Some("NotRequired") => field.required = false,
                // Without a default pydantic 2 requires it and pydantic 1 does not.
                Some("Optional") if kind == Kind::Checked && !self.is_pydantic2(module) => field.required = false,
                _ => {}
            }
        }
        match value {
            None => {}
            Some(Expr::EllipsisLiteral(_)) => {}
            Some(Expr::Call(call))
                if matches!(self.external(module, &call.func).as_deref(), Some("Field" | "field" | "PrivateAttr")) =>
            {
                if self.external(module, &call.func).as_deref() == Some("PrivateAttr") {
                    return None;
                }
                self.read_field_call(module, call, &mut field);
            }
            Some(value) => {
                field.required = false;
                field.default = constant(value);
            }
        }
        if by_name && field.key != attribute {
            field.also.push(attribute.to_owned());
        }
        if kind == Kind::Plain {
            field.schema = json!({});
        }
        Some(field)
    }

    /// Whether a file uses names that only pydantic 2 has.
    fn is_pydantic2(&self, module: usize) -> bool {
        let names = ["field_validator", "model_validator", "ConfigDict", "TypeAdapter", "BeforeValidator"];
        let imported = |name: &&str| matches!(self.lookup(module, name), Def::External(path) if path.contains('.'));
        names.iter().any(imported)
            || self.classes(module).iter().any(|class| super::source::own_member(*class, "model_config").is_some())
    }

    fn read_metadata(&self, module: usize, part: &'a Expr, field: &mut Field<'a>) {
        let Expr::Call(call) = part else { return };
        match self.external(module, &call.func).as_deref() {
            Some("Field") => {
                let required = field.required;
                self.read_field_call(module, call, field);
                // A default inside of `Annotated` is no positional one.
                if call.arguments.find_keyword("default").is_none()
                    && call.arguments.find_keyword("default_factory").is_none()
                {
                    field.required = required;
                }
            }
            Some("BeforeValidator" | "WrapValidator" | "PlainValidator") => parsed(&mut field.schema),
            Some("Gt" | "Ge" | "Lt" | "Le" | "MultipleOf" | "MinLen" | "MaxLen" | "Interval" | "Len") => {
                let name = self.external(module, &call.func).unwrap_or_default();
                if let Some(value) = call.arguments.args.first().and_then(constant) {
                    let name = match name.as_str() {
                        "Gt" => "gt",
                        "Ge" => "ge",
                        "Lt" => "lt",
                        "Le" => "le",
                        "MultipleOf" => "multiple_of",
                        "MinLen" => "min_length",
                        "MaxLen" => "max_length",
                        _ => return,
                    };
                    bound(&mut field.schema, name, value);
                }
            }
            _ => {}
        }
    }

    fn read_field_call(&self, module: usize, call: &'a ExprCall, field: &mut Field<'a>) {
        match call.arguments.args.first() {
            None | Some(Expr::EllipsisLiteral(_)) => {}
            Some(value) => {
                field.required = false;
                field.default = constant(value);
            }
        }
        for keyword in &call.arguments.keywords {
            let Some(name) = &keyword.arg else { continue };
            let value = self.value_of(module, &keyword.value);
            match name.as_str() {
                "default" => {
                    field.required = matches!(keyword.value, Expr::EllipsisLiteral(_));
                    field.default = value;
                }
                "default_factory" => field.required = false,
                "alias" | "validation_alias" => match &keyword.value {
                    Expr::StringLiteral(alias) => field.key = alias.value.to_str().to_owned(),
                    Expr::Call(choices) => {
                        let names: Vec<&str> = choices.arguments.args.iter().filter_map(text).collect();
                        if let Some((first, others)) = names.split_first() {
                            field.key = (*first).to_owned();
                            field.also.extend(others.iter().map(|name| (*name).to_owned()));
                        }
                    }
                    _ => field.required = false,
                },
                "description" => {
                    if let (Some(text), Value::Object(schema)) = (value, &mut field.schema) {
                        schema.insert("description".to_owned(), text);
                    }
                }
                "deprecated" => {
                    if let Value::Object(schema) = &mut field.schema {
                        schema.insert("deprecated".to_owned(), Value::Bool(true));
                    }
                }
                other => {
                    if let Some(value) = value {
                        bound(&mut field.schema, other, value);
                    }
                }
            }
        }
    }

    /// A constant, also by its name.
    pub fn value_of(&self, module: usize, expression: &'a Expr) -> Option<Value> {
        constant(expression).or_else(|| match self.resolve(module, expression)? {
            Def::Value(_, value) => constant(value),
            _ => None,
        })
    }

    /// The model that an annotation means, alone or as one of several types.
    pub fn model_of_annotation(&self, module: usize, annotation: &'a Expr) -> Option<Class<'a>> {
        match annotation {
            Expr::Name(_) | Expr::Attribute(_) => match self.resolve(module, annotation)? {
                Def::Class(class) => self.model_kind(class).map(|_| class),
                _ => None,
            },
            Expr::StringLiteral(name) => match self.lookup(module, name.value.to_str()) {
                Def::Class(class) => self.model_kind(class).map(|_| class),
                _ => None,
            },
            Expr::BinOp(either) => self
                .model_of_annotation(module, &either.left)
                .or_else(|| self.model_of_annotation(module, &either.right)),
            Expr::Subscript(subscript) => match self.external(module, &subscript.value).as_deref() {
                Some("Optional" | "Union" | "Annotated") => match &*subscript.slice {
                    Expr::Tuple(parts) => parts.elts.iter().find_map(|part| self.model_of_annotation(module, part)),
                    other => self.model_of_annotation(module, other),
                },
                _ => None,
            },
            _ => None,
        }
    }
}

/// Marks a property as parsed from text.
pub(super) fn parsed(schema: &mut Value) {
    if let Value::Object(schema) = schema {
        schema.insert("x-parsed".to_owned(), Value::Bool(true));
    }
}

fn text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::StringLiteral(text) => Some(text.value.to_str()),
        _ => None,
    }
}
