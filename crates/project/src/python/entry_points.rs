//! Entry points of packages: in `pyproject.toml`, `setup.cfg` and `setup.py`.

use ruff_python_ast::{Expr, Stmt};

use super::definitions::{Def, EntryPoint};
use super::source::Index;

/// Those of a `pyproject.toml`.
pub(super) fn of_pyproject(text: &str) -> Vec<EntryPoint> {
    let Ok(table) = text.parse::<toml::Table>() else { return Vec::new() };
    let project = table.get("project").and_then(|project| project.get("entry-points"));
    let poetry = table.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("plugins"));
    let groups = [project, poetry].into_iter().flatten().filter_map(toml::Value::as_table).flatten();
    let mut found = Vec::new();
    for (group, points) in groups {
        for (name, target) in points.as_table().into_iter().flatten() {
            if let Some(target) = target.as_str() {
                found.push(EntryPoint { group: group.clone(), name: name.clone(), target: target.to_owned() });
            }
        }
    }
    found
}

/// Those of a `setup.cfg`, or of an `entry_points.txt`.
pub(super) fn of_setup_cfg(text: &str) -> Vec<EntryPoint> {
    let (mut section, mut group) = (String::new(), String::new());
    let mut found = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            group.clear();
            continue;
        }
        if section != "options.entry_points" {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            let (name, rest) = trimmed.split_once('=').unwrap_or((trimmed, ""));
            name.trim().clone_into(&mut group);
            found.extend(of_line(&group, rest));
            continue;
        }
        found.extend(of_line(&group, trimmed));
    }
    found
}

/// `name = module:member`.
fn of_line(group: &str, line: &str) -> Option<EntryPoint> {
    let (name, target) = line.split_once('=')?;
    Some(EntryPoint { group: group.to_owned(), name: name.trim().to_owned(), target: target.trim().to_owned() })
}

/// Those of a `setup.py`: what stands there as literals, or by the names of literals.
pub(super) fn of_setup_py(index: &Index<'_>, module: usize) -> Vec<EntryPoint> {
    let mut found = Vec::new();
    for statement in &index.modules[module].tree.body {
        let Stmt::Expr(expression) = statement else { continue };
        let Expr::Call(call) = &*expression.value else { continue };
        let is_setup = match &*call.func {
            Expr::Name(name) => name.id == "setup",
            Expr::Attribute(attribute) => attribute.attr.as_str() == "setup",
            _ => false,
        };
        let Some(keyword) = call.arguments.find_keyword("entry_points").filter(|_| is_setup) else { continue };
        let Expr::Dict(dict) = resolved(index, module, &keyword.value) else { continue };
        for item in &dict.items {
            let Some(Expr::StringLiteral(group)) = &item.key else { continue };
            for line in texts(index, module, &item.value) {
                found.extend(of_line(group.value.to_str(), &line));
            }
        }
    }
    found
}

fn resolved<'a>(index: &Index<'a>, module: usize, expression: &'a Expr) -> &'a Expr {
    match index.resolve(module, expression) {
        Some(Def::Value(_, value)) => value,
        _ => expression,
    }
}

fn texts<'a>(index: &Index<'a>, module: usize, expression: &'a Expr) -> Vec<String> {
    match resolved(index, module, expression) {
        Expr::StringLiteral(text) => text.value.to_str().lines().map(str::to_owned).collect(),
        Expr::List(list) => list.elts.iter().flat_map(|item| texts(index, module, item)).collect(),
        Expr::Tuple(list) => list.elts.iter().flat_map(|item| texts(index, module, item)).collect(),
        // `sorted(names)`.
        Expr::Call(call) => call.arguments.args.iter().flat_map(|item| texts(index, module, item)).collect(),
        Expr::BinOp(sum) => {
            let mut all = texts(index, module, &sum.left);
            all.extend(texts(index, module, &sum.right));
            all
        }
        _ => Vec::new(),
    }
}
