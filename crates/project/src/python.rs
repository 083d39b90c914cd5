//! Contracts from Python source: what services and wrappers take and send, read from their code.
//!
//! Nothing is imported or run. [`analyse`] is a pure function from the texts of files to facts, each with the line on
//! which it was read; [`contracts`] makes contracts of them. What cannot be known is left open.
//!
//! The parser and its syntax tree are ruff's, which are internal crates; no other module may use them.
//!
//! | file | contents |
//! |---|---|
//! | `branches` | the walk through branches |
//! | `callers` | Python code that starts recipes: requests in scripts and classes |
//! | `calls` | the walk through calls |
//! | `definitions` | what names stand for: classes, functions, models, entry points |
//! | `draft` | contracts drafted from facts, in the form that `schemas/contract.schema.json` describes |
//! | `drift` | what differs between a contract in a file and the one that the source gives today |
//! | `entry_points` | entry points of packages |
//! | `expressions` | the walk through expressions |
//! | `facts` | facts about services, each with the place at which it was read |
//! | `files` | reading Python projects from disk |
//! | `flow` | the walk through the statements of a service |
//! | `functions` | the walk into functions, methods and models |
//! | `literals` | literals: their values, and what only text can do |
//! | `mappings` | mappings and lists during the walk |
//! | `models` | pydantic models and dataclasses: their fields, defaults and aliases |
//! | `nodes` | keys that are read, as the JSON Schema of the mapping that they are read from |
//! | `reads` | what the walk notes: keys that are read, messages that are sent |
//! | `schemas` | annotations of types as JSON Schemas |
//! | `sends` | what a service subscribes to and sends |
//! | `services` | which classes are services and wrappers, and the walk through each |
//! | `source` | Python source files as syntax trees, and what their names stand for across files |
//! | `values` | what an expression can be during the walk through a service's code |

mod branches;
pub mod callers;
mod calls;
mod definitions;
mod draft;
pub mod drift;
mod entry_points;
mod expressions;
pub mod facts;
pub mod files;
mod flow;
mod functions;
mod literals;
mod mappings;
mod models;
mod nodes;
mod reads;
mod schemas;
mod sends;
mod services;
mod source;
mod values;

pub use draft::{Draft, contract, file_names};
use facts::{Evidence, Facts};
use source::{Index, Module};

/// A file of a Python project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct File {
    /// Its path, from which the name of the module is taken.
    pub path: String,
    /// What evidence calls it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Something about a file that keeps facts from being read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub evidence: Evidence,
    /// What it is.
    pub message: String,
}

/// What was read from a set of files.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// Services and wrappers, in the order of their files.
    pub services: Vec<Facts>,
    /// What could not be read.
    pub findings: Vec<Finding>,
}

/// Whether a file can say something about services: Python code, and the files that state entry points.
pub fn is_source(name: &str) -> bool {
    matches!(name, "pyproject.toml" | "setup.cfg") || name.ends_with(".py")
}

/// Reads services and wrappers from the files of one or several packages.
pub fn analyse(files: &[File]) -> Analysis {
    let base_name = |file: &File| file.path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let python = files.iter().filter(|file| file.path.ends_with(".py"));
    let modules: Vec<Module> = python.map(|file| Module::parse(&file.path, &file.name, &file.text)).collect();
    let mut index = Index::new(&modules);
    let mut points = Vec::new();
    for file in files {
        match base_name(file).as_str() {
            "pyproject.toml" => points.extend(entry_points::of_pyproject(&file.text)),
            "setup.cfg" => points.extend(entry_points::of_setup_cfg(&file.text)),
            _ => {}
        }
    }
    for (at, module) in modules.iter().enumerate() {
        if module.name() == "setup" {
            points.extend(entry_points::of_setup_py(&index, at));
        }
    }
    index.entry_points = points;
    let mut findings = Vec::new();
    for module in &modules {
        let Some((line, message)) = &module.error else { continue };
        let evidence = Evidence { file: module.shown.clone(), line: *line };
        let message = if module.is_python2 {
            "the file is written for Python 2; no contract is drafted from it".to_owned()
        } else {
            format!("syntax error: {message}; the file is read in part")
        };
        findings.push(Finding { evidence, message });
    }
    let mut services = services::all(&index);
    for facts in &services {
        if facts.queues.is_empty()
            && !facts.wrapper
            && let Some(evidence) = &facts.evidence
        {
            let name = facts.names.first().map_or("the service", String::as_str);
            let message = format!("no queue of `{name}` is known; no contract is drafted for it");
            findings.push(Finding { evidence: evidence.clone(), message });
        }
    }
    services.retain(|facts| facts.wrapper || !facts.queues.is_empty());
    findings.sort();
    Analysis { services, findings }
}

/// The contracts of the services and wrappers of the files, and what could not be read.
pub fn contracts(files: &[File]) -> (Vec<Draft>, Vec<Finding>) {
    let analysis = analyse(files);
    (analysis.services.iter().map(contract).collect(), analysis.findings)
}
