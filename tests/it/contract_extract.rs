//! Contracts from Python source: services in every style that is known, and what is read from them.

use std::path::{Path, PathBuf};

use zrecipe::contract::Contract;
use zrecipe::python::{self, Draft, files};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python")
}

fn extract(name: &str) -> (Vec<Draft>, Vec<python::Finding>) {
    python::contracts(&files::read(&[root().join(name)]).expect("can be read"))
}

/// `tests/python/NAME.json` holds the contracts of `tests/python/NAME`; `ZRECIPE_BLESS=1` writes what is found now.
fn hold(name: &str) {
    let (drafts, _) = extract(name);
    let all: Vec<&serde_json::Value> = drafts.iter().map(|draft| &draft.contract).collect();
    let now = format!("{:#}\n", serde_json::json!(all));
    let path = root().join(format!("{name}.json"));
    if std::env::var_os("ZRECIPE_BLESS").is_some() {
        std::fs::write(&path, &now).expect("can be written");
    }
    let known = std::fs::read_to_string(&path).expect("is there");
    assert!(known == now, "{} is not what is found now; `ZRECIPE_BLESS=1` writes it", path.display());
    for draft in &drafts {
        Contract::parse(&draft.file, &draft.text()).expect("is a contract");
    }
}

#[test]
fn services_and_wrappers_in_every_style_are_read() {
    hold("beamline");
}

#[test]
fn a_file_with_syntax_errors_is_read_in_part() {
    hold("broken");
    let (_, findings) = extract("broken");
    assert!(findings.iter().any(|finding| finding.message.starts_with("syntax error: ")), "{findings:?}");
}

#[test]
fn python_2_is_a_finding_and_no_contract() {
    let (drafts, findings) = extract("old");
    assert!(drafts.is_empty(), "{drafts:?}");
    let messages: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(messages, ["the file is written for Python 2; no contract is drafted from it"]);
}

/// The contract of the service with this name.
fn of(name: &str) -> serde_json::Value {
    let (drafts, _) = extract("beamline");
    let found = drafts.into_iter().find(|draft| draft.names().any(|own| own == name));
    found.unwrap_or_else(|| panic!("{name} is not found")).contract
}

/// Keys of the mapping at a pointer.
fn keys(contract: &serde_json::Value, pointer: &str) -> Vec<String> {
    let found = contract.pointer(pointer).and_then(serde_json::Value::as_object);
    found.map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

fn texts<'c>(contract: &'c serde_json::Value, pointer: &str) -> Vec<&'c str> {
    let items = contract.pointer(pointer).and_then(serde_json::Value::as_array);
    items.into_iter().flatten().filter_map(serde_json::Value::as_str).collect()
}

#[test]
fn a_model_that_reads_parameters_and_payload_as_one_says_so() {
    let contract = of("Spot finder");
    assert_eq!(texts(&contract, "/input"), ["payload", "parameters"]);
    assert_eq!(texts(&contract, "/parameters/required"), ["dcid", "file"]);
    assert_eq!(contract["unknown"], "error");
    assert_eq!(contract["other_queues"], true);
    let threshold = &contract["parameters"]["properties"]["spot-threshold"];
    assert_eq!(threshold["exclusiveMinimum"], 0);
    assert_eq!(threshold["default"], 2.5);
    assert_eq!(contract["parameters"]["properties"]["names"]["x-parsed"], true);
    let result = &contract["channels"]["result"]["payload"];
    assert_eq!(result["required"], serde_json::json!(["file", "spots", "kind"]));
    assert_eq!(result["additionalProperties"], false);
    assert!(result["properties"].get("frames").is_some(), "{result}");
    assert_eq!(texts(&contract, "/channels/region/forwards"), ["payload"]);
    assert!(contract["channels"].get("expired").is_some(), "what a kept recipe wrapper sends is sent, too");
}

#[test]
fn functions_in_a_mapping_are_entered_and_own_keys_are_no_input() {
    let contract = of("Filters");
    assert_eq!(keys(&contract, "/payload/properties"), ["recipes", "custom_recipe"]);
}

#[test]
fn methods_named_after_a_value_are_variants() {
    let contract = of("Launcher");
    assert_eq!(texts(&contract, "/input"), ["parameters.ispyb_parameters", "payload", "parameters"]);
    assert_eq!(contract["variants"][0]["by"], "target");
    assert_eq!(keys(&contract, "/variants/0/cases"), ["phase", "refine", "mail"]);
    assert_eq!(texts(&contract, "/variants/0/cases/phase/parameters/required"), ["dcid", "data"]);
    assert_eq!(texts(&contract, "/variants/0/cases/mail/parameters/required"), ["recipient"]);
    assert_eq!(keys(&contract, "/variants/0/cases/mail/channels"), ["mail"]);
    assert_eq!(contract["environment"]["replaces"], "text");
    let contract = of("Database");
    assert_eq!(keys(&contract, "/variants/0/cases"), ["update", "many", "insert"]);
    assert_eq!(texts(&contract, "/variants/0/also_in"), ["command_list"]);
    assert_eq!(texts(&contract, "/environment/stored_by"), ["store_result"]);
}

#[test]
fn only_what_every_message_needs_is_required() {
    let contract = of("Mover");
    let required = texts(&contract, "/parameters/required");
    assert_eq!(required, ["source", "target", "owner", "group", "detector"]);
    let known = keys(&contract, "/parameters/properties");
    for key in ["levels", "mode", "options", "link"] {
        assert!(known.iter().any(|known| known == key), "{key} of {known:?}");
    }
    assert!(!known.contains(&"working".to_owned()), "what the service itself puts in is no parameter");
    assert_eq!(texts(&contract, "/parameters/properties/detector/required"), ["gain"]);
    assert_eq!(keys(&contract, "/variants/0/cases"), ["compress", "split", "cut"]);
}

#[test]
fn a_function_that_an_entry_point_names_is_a_variant() {
    let (drafts, _) = extract("beamline");
    let draft = drafts.iter().find(|draft| draft.queues().any(|queue| queue == "files.plot")).expect("is found");
    let contract = &draft.contract;
    assert_eq!(texts(contract, "/input"), ["payload", "parameters"]);
    let histogram = "/variants/0/cases/histogram/parameters";
    assert_eq!(texts(contract, &format!("{histogram}/required")), ["file"]);
    assert_eq!(keys(contract, &format!("{histogram}/properties")), ["file", "bins"]);
    assert_eq!(contract["variants"][0]["others"], "ignore", "other packages may have more of them");
}

/// The contract of the service on this queue.
fn on(queue: &str) -> serde_json::Value {
    let (drafts, _) = extract("beamline");
    let found = drafts.into_iter().find(|draft| draft.queues().any(|own| own == queue));
    found.unwrap_or_else(|| panic!("{queue} is not found")).contract
}

#[test]
fn a_payload_that_is_looked_into_only_if_it_is_an_object_may_be_anything() {
    let contract = on("gallery.hang");
    assert_eq!(keys(&contract, "/payload/properties"), ["gallery-status", "seen"]);
    assert!(contract.pointer("/payload/type").is_none(), "{contract:#}");
    assert_eq!(contract["parameters"]["properties"]["room"]["type"], "string");
}

#[test]
fn a_type_without_which_the_message_is_refused_is_the_type() {
    let contract = on("gallery.list");
    assert_eq!(contract["parameters"]["properties"]["pictures"]["type"], "array");
}

#[test]
fn an_instance_of_a_model_is_true_and_what_may_be_nothing_is_not() {
    let contract = on("gallery.frame");
    assert_eq!(texts(&contract, "/payload/required"), ["picture-number"]);
    assert_eq!(contract["payload"]["type"], "object");
}

#[test]
fn wrappers_take_job_parameters() {
    let contract = of("reduce");
    assert_eq!(contract["wrapper"], true);
    let required = texts(&contract, "/job_parameters/required");
    assert_eq!(required, ["reduce", "results_directory", "options", "beamline"]);
    let contract = of("fold");
    let input = ["job_parameters.ispyb_parameters", "job_parameters.fold", "job_parameters"];
    assert_eq!(texts(&contract, "/input"), input);
    assert_eq!(texts(&contract, "/job_parameters/required"), ["sequence", "working_directory"]);
    assert_eq!(keys(&contract, "/environment/reads"), ["program_id"]);
}
