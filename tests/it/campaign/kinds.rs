//! Kinds of mistakes: each makes wrong recipes of a right one, and says where the mistake is.

use serde_json::{Map, Value, json};

use super::yaml;

/// A wrong recipe.
pub struct Mutant {
    /// What the file is called.
    pub name: &'static str,
    /// Its bytes.
    pub text: Vec<u8>,
    /// JSON pointers to the mistake; none if any place will do.
    pub places: Vec<String>,
}

/// All wrong recipes that a kind of mistake makes of a right one.
type Spoil = fn(&Value) -> Vec<Mutant>;

/// The kinds.
pub const KINDS: &[(&str, Spoil)] = &[
    ("link-off-by-one", |recipe| {
        each_link(recipe, |all, at| {
            let next = all[at].2 + 1;
            (all.iter().any(|link| link.2 != next) && recipe.get(next.to_string()).is_some()).then_some(next)
        })
    }),
    ("link-to-no-step", |recipe| each_link(recipe, |_, _| Some(ids(recipe).iter().max().map_or(9, |max| max + 1)))),
    ("link-to-itself", |recipe| each_link(recipe, |all, at| all[at].0.split('/').nth(1)?.parse().ok())),
    ("link-back", |recipe| {
        each_link(recipe, |all, at| {
            let own: i64 = all[at].0.split('/').nth(1)?.parse().ok()?;
            all.iter().find(|link| link.2 == own).and_then(|link| link.0.split('/').nth(1)?.parse().ok())
        })
    }),
    ("links-swapped", |recipe| pairs_of_links(recipe, true)),
    ("wrong-branch", |recipe| pairs_of_links(recipe, false)),
    ("link-as-text", |recipe| {
        links(recipe)
            .into_iter()
            .map(|link| {
                let text = Value::from(link.2.to_string());
                changed(recipe, &[(&link.0, Some(text))], vec![link.0.clone()])
            })
            .collect()
    }),
    ("channel-unwired", |recipe| {
        links(recipe)
            .into_iter()
            .filter(|link| link.1.is_some())
            .map(|link| changed(recipe, &[(&link.0, None)], vec![step_of(&link.0), format!("/{}", link.2)]))
            .collect()
    }),
    ("output-removed", |recipe| {
        each_step(recipe, |path, step| {
            step.get("output").map(|_| changed(recipe, &[(&format!("{path}/output"), None)], vec![path.to_owned()]))
        })
    }),
    ("output-into-parameters", |recipe| {
        each_step(recipe, |path, step| {
            let output = step.get("output")?.clone();
            step.get("parameters")?;
            let (from, to) = (format!("{path}/output"), format!("{path}/parameters/output"));
            Some(changed(recipe, &[(&from, None), (&to, Some(output))], vec![to.clone()]))
        })
    }),
    ("channel-to-another-step", |recipe| {
        links(recipe)
            .into_iter()
            .filter_map(|link| {
                let channel = link.1.clone()?;
                let target = format!("/{}/output/{channel}", link.2);
                let is_free = recipe.pointer(&format!("/{}/output", link.2))?.as_object()?.get(&channel).is_none();
                let other = ids(recipe).into_iter().find(|id| *id != link.2 && step_of(&link.0) != format!("/{id}"))?;
                is_free.then(|| {
                    changed(
                        recipe,
                        &[(&link.0, None), (&target, Some(Value::from(other)))],
                        vec![step_of(&link.0), target.clone()],
                    )
                })
            })
            .collect()
    }),
    ("start-at-another-step", |recipe| {
        ids(recipe)
            .into_iter()
            .filter(|id| Some(*id) != recipe.pointer("/start/0/0").and_then(Value::as_i64))
            .map(|id| {
                let first = recipe.pointer("/start/0/0").map(|id| format!("/{id}")).unwrap_or_default();
                changed(recipe, &[("/start/0/0", Some(Value::from(id)))], vec!["/start".to_owned(), first])
            })
            .collect()
    }),
    ("start-removed", |recipe| vec![changed(recipe, &[("/start", None)], vec![])]),
    ("typo-queue", |recipe| of_text(recipe, |path, _| path.ends_with("/queue"), typo)),
    ("typo-service", |recipe| of_text(recipe, |path, _| path.ends_with("/service"), typo)),
    ("typo-command", |recipe| {
        of_text(recipe, |path, _| path.ends_with("/ispyb_command") || path.ends_with("/target"), typo)
    }),
    ("typo-placeholder", |recipe| {
        of_text(
            recipe,
            |_, text| has_field(text),
            |text| {
                let (start, rest) = text.split_once('{')?;
                let (name, end) = rest.split_once('}')?;
                Some(format!("{start}{{{}}}{end}", typo(name)?))
            },
        )
    }),
    ("typo-variable", |recipe| {
        of_text(
            recipe,
            |path, text| text.starts_with('$') && !path.contains("command"),
            |text| Some(format!("${}", typo(&text[1..])?)),
        )
    }),
    ("typo-store-result", |recipe| of_text(recipe, |path, _| path.ends_with("/store_result"), typo)),
    ("typo-wrapper-variable", |recipe| {
        of_text(
            recipe,
            |_, text| text.contains("$RECIPEWRAP"),
            |text| Some(text.replace("$RECIPEWRAP", "$RECIPEWRAPPER")),
        )
    }),
    ("typo-channel", |recipe| each_key(recipe, |path| path.rsplit('/').nth(1) == Some("output"), typo)),
    ("typo-parameter", |recipe| each_key(recipe, is_parameter, typo)),
    ("typo-step-key", |recipe| {
        each_key(recipe, |path| path.matches('/').count() == 2 && !path.starts_with("/start"), typo)
    }),
    ("queue-and-service-swapped", |recipe| {
        each_step(recipe, |path, step| {
            let (queue, service) = (step.get("queue")?.clone(), step.get("service")?.clone());
            let (a, b) = (format!("{path}/queue"), format!("{path}/service"));
            Some(changed(recipe, &[(&a, Some(service)), (&b, Some(queue))], vec![path.to_owned()]))
        })
    }),
    ("queue-of-another-step", |recipe| {
        each_step(recipe, |path, step| {
            let own = step.get("queue")?;
            let other = ids(recipe)
                .into_iter()
                .filter_map(|id| recipe.pointer(&format!("/{id}/queue")))
                .find(|queue| *queue != own)?;
            step.get("service")?;
            Some(changed(recipe, &[(&format!("{path}/queue"), Some(other.clone()))], vec![path.to_owned()]))
        })
    }),
    ("braces-lost", |recipe| {
        of_text(recipe, |_, text| is_field(text), |text| Some(text.trim_matches(['{', '}']).to_owned()))
    }),
    ("brace-lost", |recipe| of_text(recipe, |_, text| has_field(text), |text| Some(text.replacen('}', "", 1)))),
    ("opening-brace-lost", |recipe| of_text(recipe, |_, text| has_field(text), |text| Some(text.replacen('{', "", 1)))),
    ("braces-doubled", |recipe| {
        of_text(recipe, |_, text| has_field(text), |text| Some(text.replace('{', "{{").replace('}', "}}")))
    }),
    ("braces-spaced", |recipe| {
        of_text(recipe, |_, text| has_field(text), |text| Some(text.replace('{', "{ ").replace('}', " }")))
    }),
    ("braces-of-shell", |recipe| of_text(recipe, |_, text| has_field(text), |text| Some(text.replace('{', "${")))),
    ("brackets-for-braces", |recipe| {
        of_text(recipe, |_, text| is_field(text), |text| Some(text.replace('{', "[").replace('}', "]")))
    }),
    ("parameter-renamed", |recipe| {
        each_key(recipe, is_parameter, |key| {
            Some(match key.split_once('_') {
                Some((first, rest)) => format!("{rest}_{first}"),
                None => format!("{key}_name"),
            })
        })
    }),
    ("parameter-removed", |recipe| each_parameter(recipe, |path, _| Some(vec![(path.to_owned(), None)]), true)),
    ("parameter-out-of-parameters", |recipe| {
        each_parameter(
            recipe,
            |path, value| {
                let key = path.rsplit('/').next()?;
                Some(vec![(path.to_owned(), None), (format!("{}/{key}", step_of(path)), Some(value.clone()))])
            },
            true,
        )
    }),
    ("parameter-into-another-step", |recipe| {
        each_parameter(
            recipe,
            |path, value| {
                let own = step_of(path);
                let other = ids(recipe).into_iter().map(|id| format!("/{id}")).find(|step| {
                    *step != own
                        && recipe.pointer(&format!("{step}/service")) != recipe.pointer(&format!("{own}/service"))
                        && recipe.pointer(&format!("{step}/parameters")).is_some()
                })?;
                Some(vec![
                    (path.to_owned(), None),
                    (format!("{other}/parameters/{}", path.rsplit('/').next()?), Some(value.clone())),
                ])
            },
            false,
        )
    }),
    ("parameter-of-wrong-type", |recipe| {
        each_parameter(
            recipe,
            |path, value| {
                let wrong = match value {
                    Value::String(_) => json!({"value": value}),
                    Value::Number(_) => json!("a few"),
                    Value::Bool(_) => json!([1]),
                    _ => json!("text"),
                };
                Some(vec![(path.to_owned(), Some(wrong))])
            },
            false,
        )
    }),
    ("values-swapped", |recipe| {
        each_step(recipe, |path, step| {
            let members = step.get("parameters")?.as_object()?;
            let mut texts = members.iter().filter(|(_, value)| value.is_string());
            let (a, b) = (texts.next()?, texts.next()?);
            let (one, other) = (format!("{path}/parameters/{}", a.0), format!("{path}/parameters/{}", b.0));
            Some(changed(
                recipe,
                &[(&one, Some(b.1.clone())), (&other, Some(a.1.clone()))],
                vec![format!("{path}/parameters")],
            ))
        })
    }),
    ("key-twice", |recipe| {
        each_step(recipe, |path, step| {
            step.get("queue")?;
            let text = pretty(recipe);
            let id = path.trim_start_matches('/');
            let at = text.find(&format!("\"{id}\": {{"))? + id.len() + 5;
            let text = format!("{}\n    \"queue\": \"another\",{}", &text[..at], &text[at..]);
            Some(Mutant { name: "r.json", text: text.into_bytes(), places: vec![path.to_owned()] })
        })
    }),
    ("step-copied", |recipe| {
        each_step(recipe, |path, step| {
            // Fed by the channel of the original beside it, with all its links.
            let new = ids(recipe).iter().max()? + 1;
            let own: i64 = path.trim_start_matches('/').parse().ok()?;
            let feeding = links(recipe).into_iter().find(|link| link.2 == own && link.1.is_some())?;
            let both = json!([own, new]);
            let copy = format!("/{new}");
            Some(changed(
                recipe,
                &[(&copy, Some(Value::Object(step.clone()))), (&feeding.0, Some(both))],
                vec![copy.clone(), path.to_owned(), feeding.0.clone()],
            ))
        })
    }),
    ("step-copied-unreferenced", |recipe| {
        each_step(recipe, |_, step| {
            let copy = format!("/{}", ids(recipe).iter().max()? + 1);
            Some(changed(recipe, &[(&copy, Some(Value::Object(step.clone())))], vec![copy.clone()]))
        })
    }),
    ("step-number-twice", |recipe| {
        each_step(recipe, |path, step| {
            let text = pretty(recipe);
            let other = ids(recipe).into_iter().find(|id| format!("/{id}") != path)?;
            let step = serde_json::to_string(step).ok()?;
            let text = format!("{},\n  \"{other}\": {step}\n}}", text.trim_end().trim_end_matches('}').trim_end());
            Some(Mutant { name: "r.json", text: text.into_bytes(), places: vec![format!("/{other}")] })
        })
    }),
    ("step-inside-step", |recipe| {
        let all = ids(recipe);
        all.windows(2)
            .map(|pair| {
                let (outer, inner) = (format!("/{}", pair[0]), format!("/{}", pair[1]));
                let nested = format!("{outer}/{}", pair[1]);
                let step = recipe.pointer(&inner).cloned();
                let links = links(recipe).into_iter().filter(|link| link.2 == pair[1]).map(|link| link.0);
                changed(recipe, &[(&inner, None), (&nested, step)], links.chain([nested.clone()]).collect())
            })
            .collect()
    }),
    ("parameters-inside-parameters", |recipe| {
        each_step(recipe, |path, step| {
            let parameters = step.get("parameters")?.clone();
            let place = format!("{path}/parameters");
            Some(changed(recipe, &[(&place, Some(json!({"parameters": parameters})))], vec![path.to_owned()]))
        })
    }),
    ("parameters-as-list", |recipe| {
        each_step(recipe, |path, step| {
            let parameters = step.get("parameters")?.clone();
            let place = format!("{path}/parameters");
            Some(changed(recipe, &[(&place, Some(json!([parameters])))], vec![place.clone()]))
        })
    }),
    ("recipe-in-a-list", |recipe| vec![whole(json!([recipe]))]),
    ("utf-16", |recipe| {
        let text = pretty(recipe);
        let bytes = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes));
        vec![Mutant { name: "r.json", text: bytes.collect(), places: vec![] }]
    }),
    ("latin-1", |recipe| {
        textual(recipe, |text| Some(text.replacen("queue\": \"", "queue\": \"\u{1}", 1)))
            .into_iter()
            .map(|mut mutant| {
                mutant.text.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = 0xe9);
                mutant
            })
            .collect()
    }),
    ("byte-order-mark", |recipe| textual(recipe, |text| Some(format!("\u{feff}{text}")))),
    ("curly-quotes", |recipe| textual(recipe, |text| Some(text.replacen("\"queue\"", "\u{201c}queue\u{201d}", 1)))),
    ("comma-missing", |recipe| textual_at(recipe, ",\n", "\n")),
    ("comma-too-many", |recipe| textual_at(recipe, "\n    }", ",\n    }")),
    ("colon-missing", |recipe| textual_at(recipe, "\": ", "\" ")),
    ("brace-missing", |recipe| textual_at(recipe, "    }\n", "")),
    ("brace-too-many", |recipe| textual_at(recipe, "  }\n", "  }}\n")),
    ("quote-missing", |recipe| textual_at(recipe, "\",\n", ",\n")),
    ("single-quotes", |recipe| textual(recipe, |text| Some(text.replace('"', "'")))),
    ("comment", |recipe| textual(recipe, |text| Some(text.replacen("{\n", "{ // the first step\n", 1)))),
    ("truncated", |recipe| textual(recipe, |text| Some(text[..text.len() * 2 / 3].to_owned()))),
    ("yaml-unquoted-placeholder", |recipe| {
        yaml_lines(recipe, |line| is_field(quoted(line)?).then(|| line.replace('"', "")))
    }),
    ("yaml-tab", |recipe| yaml_lines(recipe, |line| line.starts_with("    ").then(|| line.replacen("    ", "\t", 1)))),
    ("yaml-colon-without-space", |recipe| yaml_lines(recipe, |line| quoted(line).map(|_| line.replacen(": ", ":", 1)))),
    ("yaml-colon-missing", |recipe| {
        yaml_lines(recipe, |line| line.ends_with(':').then(|| line.trim_end_matches(':').to_owned()))
    }),
    ("yaml-slipped-out", |recipe| slipped(recipe, false)),
    ("yaml-slipped-in", |recipe| slipped(recipe, true)),
    ("yaml-on-for-text", |recipe| {
        yaml_lines(recipe, |line| line.find("queue: ").map(|at| format!("{}queue: on", &line[..at])))
    }),
    ("yaml-quote-missing", |recipe| {
        yaml_lines(recipe, |line| quoted(line).map(|_| line.trim_end_matches('"').to_owned()))
    }),
];

/// The numbers of the steps.
fn ids(recipe: &Value) -> Vec<i64> {
    let mut ids: Vec<i64> = recipe.as_object().expect("an object").keys().filter_map(|key| key.parse().ok()).collect();
    ids.sort_unstable();
    ids
}

/// The pointer to a link, its channel, and its target.
type Link = (String, Option<String>, i64);

fn links(recipe: &Value) -> Vec<Link> {
    let mut links = Vec::new();
    for id in ids(recipe) {
        let path = format!("/{id}/output");
        match recipe.pointer(&path) {
            Some(Value::Object(channels)) => {
                for (channel, target) in channels {
                    if let Some(target) = target.as_i64() {
                        links.push((format!("{path}/{channel}"), Some(channel.clone()), target));
                    }
                }
            }
            Some(Value::Array(targets)) => {
                let targets = targets.iter().enumerate().filter_map(|(at, target)| Some((at, target.as_i64()?)));
                links.extend(targets.map(|(at, target)| (format!("{path}/{at}"), None, target)));
            }
            Some(target) => links.extend(target.as_i64().map(|target| (path.clone(), None, target))),
            None => {}
        }
    }
    links
}

fn step_of(path: &str) -> String {
    path.split('/').take(2).collect::<Vec<_>>().join("/")
}

fn pretty(recipe: &Value) -> String {
    serde_json::to_string_pretty(recipe).expect("is JSON") + "\n"
}

fn whole(recipe: Value) -> Mutant {
    Mutant { name: "r.json", text: pretty(&recipe).into_bytes(), places: Vec::new() }
}

/// The recipe with values set or removed at these pointers, in order.
fn changed(recipe: &Value, changes: &[(&str, Option<Value>)], places: Vec<String>) -> Mutant {
    let mut recipe = recipe.clone();
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').expect("a pointer");
        let Some(parent) = recipe.pointer_mut(parent) else { continue };
        match (parent, value) {
            (Value::Object(members), Some(value)) => _ = members.insert(key.to_owned(), value.clone()),
            (Value::Object(members), None) => _ = members.shift_remove(key),
            (Value::Array(items), Some(value)) => items[key.parse::<usize>().expect("an index")] = value.clone(),
            (Value::Array(items), None) => _ = items.remove(key.parse().expect("an index")),
            _ => {}
        }
    }
    Mutant { places, ..whole(recipe) }
}

fn each_link(recipe: &Value, target: impl Fn(&[Link], usize) -> Option<i64>) -> Vec<Mutant> {
    let all = links(recipe);
    let mutants = (0..all.len()).filter_map(|at| {
        let target = target(&all, at).filter(|target| *target != all[at].2)?;
        Some(changed(recipe, &[(&all[at].0, Some(Value::from(target)))], vec![all[at].0.clone()]))
    });
    mutants.collect()
}

/// Two channels of a step: their targets change places, or the first goes where the second does.
fn pairs_of_links(recipe: &Value, swap: bool) -> Vec<Mutant> {
    let all = links(recipe);
    let mut mutants = Vec::new();
    for one in &all {
        for other in
            all.iter().filter(|other| step_of(&other.0) == step_of(&one.0) && other.2 != one.2 && other.0 > one.0)
        {
            let mut changes = vec![(one.0.as_str(), Some(Value::from(other.2)))];
            let mut places = vec![one.0.clone()];
            if swap {
                changes.push((&other.0, Some(Value::from(one.2))));
                places.push(other.0.clone());
            }
            mutants.push(changed(recipe, &changes, places));
        }
    }
    mutants
}

fn each_step(recipe: &Value, spoil: impl Fn(&str, &Map<String, Value>) -> Option<Mutant>) -> Vec<Mutant> {
    let spoil = |id: i64| {
        let path = format!("/{id}");
        spoil(&path, recipe.pointer(&path)?.as_object()?)
    };
    ids(recipe).into_iter().filter_map(spoil).collect()
}

/// All values below another with their pointers.
fn walk(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    found.push((path.to_owned(), value.clone()));
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| walk(item, &format!("{path}/{at}"), found))
        }
        _ => {}
    }
}

fn of_text(
    recipe: &Value,
    is_meant: impl Fn(&str, &str) -> bool,
    spoil: impl Fn(&str) -> Option<String>,
) -> Vec<Mutant> {
    let mut all = Vec::new();
    walk(recipe, "", &mut all);
    let texts = all.iter().filter_map(|(path, value)| Some((path, value.as_str()?)));
    let mutants = texts.filter(|(path, text)| is_meant(path, text)).filter_map(|(path, text)| {
        let wrong = spoil(text)?;
        Some(changed(recipe, &[(path, Some(Value::from(wrong)))], vec![path.clone()]))
    });
    mutants.collect()
}

/// Whether a pointer is that of a parameter.
fn is_parameter(path: &str) -> bool {
    matches!(path.split('/').collect::<Vec<_>>()[..], [_, _, "parameters" | "job_parameters", _])
}

/// Spoils keys; their place in the object stays.
fn each_key(recipe: &Value, is_meant: impl Fn(&str) -> bool, spoil: impl Fn(&str) -> Option<String>) -> Vec<Mutant> {
    let mut all = Vec::new();
    walk(recipe, "", &mut all);
    let mutants = all.iter().filter(|(path, _)| is_meant(path)).filter_map(|(path, _)| {
        let (parent, key) = path.rsplit_once('/')?;
        let members = recipe.pointer(parent)?.as_object()?;
        let wrong = spoil(key)?;
        let renamed: Map<String, Value> = members
            .iter()
            .map(|(own, value)| (if own == key { wrong.clone() } else { own.clone() }, value.clone()))
            .collect();
        let place = format!("{parent}/{wrong}");
        Some(changed(recipe, &[(parent, Some(Value::Object(renamed)))], vec![place]))
    });
    mutants.collect()
}

/// Changes for each parameter; the mistake is at the step, or at the first change that sets something.
fn each_parameter(
    recipe: &Value,
    spoil: impl Fn(&str, &Value) -> Option<Vec<(String, Option<Value>)>>,
    at_step: bool,
) -> Vec<Mutant> {
    let mut all = Vec::new();
    walk(recipe, "", &mut all);
    let mutants = all.iter().filter(|(path, _)| is_parameter(path)).filter_map(|(path, value)| {
        let changes = spoil(path, value)?;
        let mut places: Vec<String> =
            changes.iter().filter(|(_, value)| value.is_some()).map(|(path, _)| path.clone()).collect();
        if at_step || changes.len() > 1 {
            places.push(step_of(path));
        }
        let changes: Vec<(&str, Option<Value>)> =
            changes.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
        Some(changed(recipe, &changes, places))
    });
    mutants.collect()
}

/// Whether a text is one placeholder and nothing else.
fn is_field(text: &str) -> bool {
    text.strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .is_some_and(|name| !name.is_empty() && !name.contains(['{', '}']))
}

fn has_field(text: &str) -> bool {
    text.matches('{').count() == 1 && text.matches('}').count() == 1 && !text.contains("{}") && !text.contains('$')
}

/// A slip of the finger: two letters in the middle change places, or one is missing.
fn typo(text: &str) -> Option<String> {
    let mut letters: Vec<char> = text.chars().collect();
    if letters.len() < 4 || text.contains(['{', ' ', '$']) {
        return None;
    }
    let middle = letters.len() / 2;
    if letters[middle] == letters[middle - 1] {
        letters.remove(middle);
    } else {
        letters.swap(middle, middle - 1);
    }
    Some(letters.into_iter().collect())
}

fn textual(recipe: &Value, spoil: impl Fn(&str) -> Option<String>) -> Vec<Mutant> {
    let text = pretty(recipe);
    let spoilt = spoil(&text).filter(|spoilt| *spoilt != text);
    spoilt.into_iter().map(|text| Mutant { name: "r.json", text: text.into_bytes(), places: vec![] }).collect()
}

/// One mutant for each place where `from` stands.
fn textual_at(recipe: &Value, from: &str, to: &str) -> Vec<Mutant> {
    let text = pretty(recipe);
    let places = text.match_indices(from).map(|(at, _)| format!("{}{to}{}", &text[..at], &text[at + from.len()..]));
    places.map(|text| Mutant { name: "r.json", text: text.into_bytes(), places: vec![] }).collect()
}

/// The text in quotes at the end of a line of YAML.
fn quoted(line: &str) -> Option<&str> {
    line.split_once(": \"")?.1.strip_suffix('"')
}

/// The same recipe in YAML with one line spoilt.
fn yaml_lines(recipe: &Value, spoil: impl Fn(&str) -> Option<String>) -> Vec<Mutant> {
    let text = yaml::write(recipe);
    let lines: Vec<&str> = text.lines().collect();
    let spoilt = lines.iter().enumerate().filter_map(|(at, line)| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        lines[at] = spoil(line)?;
        Some(Mutant { name: "r.yml", text: (lines.join("\n") + "\n").into_bytes(), places: vec![] })
    });
    spoilt.collect()
}

/// A line that is the last of its block and stands two columns too far left, or one of a step two too far right.
fn slipped(recipe: &Value, inwards: bool) -> Vec<Mutant> {
    let text = yaml::write(recipe);
    let lines: Vec<&str> = text.lines().collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut mutants = Vec::new();
    for at in 1..lines.len() {
        let (own, before) = (depth(lines[at]), depth(lines[at - 1]));
        let next = lines.get(at + 1).map_or(0, |line| depth(line));
        let slips = if inwards { own == 2 && before == 4 && next <= 2 } else { own == 4 && next == 2 };
        // A block as a whole is another mistake.
        if !slips || lines[at].ends_with(':') {
            continue;
        }
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        lines[at] = if inwards { format!("  {}", lines[at]) } else { lines[at][2..].to_owned() };
        mutants.push(Mutant { name: "r.yml", text: (lines.join("\n") + "\n").into_bytes(), places: vec![] });
    }
    mutants
}
