//! What a snapshot shows of trees, recipes, broker configurations and graphs.

use super::*;

pub fn dump_node(out: &mut String, node: NodeRef<'_>, level: usize) {
    let source = node.tree().source();
    let mut row = |level: usize, what: &str, node: NodeRef<'_>| {
        let _ = writeln!(out, "{:indent$}{what} {}", "", place(source, node.span()), indent = 2 * level);
    };
    match node.kind() {
        Kind::Array => {
            row(level, "array", node);
            node.items().for_each(|item| dump_node(out, item, level + 1));
        }
        Kind::Object => {
            row(level, "object", node);
            for member in node.members() {
                let _ = writeln!(
                    out,
                    "{:indent$}key {} {}",
                    "",
                    short(&member.key.text()),
                    place(source, member.key.span()),
                    indent = 2 * (level + 1)
                );
                dump_node(out, member.value, level + 2);
            }
        }
        Kind::Null => row(level, "null", node),
        Kind::Missing => row(level, "nothing", node),
        Kind::Bool | Kind::Number => row(level, &short(node.raw()), node),
        Kind::String => row(level, &format!("string {}", short(&node.text())), node),
    }
}

pub fn dump_recipe(recipe: &Recipe) -> String {
    let tree: &Tree = recipe.tree();
    let at = |id| {
        let node = tree.node(id);
        format!("{} {}", short(node.raw()), place(tree.source(), node.span()))
    };
    let mut out = String::new();
    if !recipe.is_object() {
        out.push_str("no object\n");
    }
    for step in recipe.steps() {
        let _ = writeln!(out, "step {}, key {}", step.id, at(step.key));
        for (what, part) in [("service", step.service), ("queue", step.queue), ("topic", step.topic)] {
            if let Some(part) = part {
                let _ = writeln!(out, "  {what} {}", at(part));
            }
        }
        for link in recipe.links(step) {
            let _ = writeln!(out, "  {} {}", describe_link(tree, link), at(link.node));
        }
    }
    if let Some(start) = recipe.start() {
        let _ = writeln!(out, "start {}", at(start.value));
        for entry in &start.entries {
            match entry.pair {
                Some((step, target, payload)) => {
                    let _ = writeln!(out, "  {target:?} {}, payload {}", at(step), at(payload));
                }
                None => {
                    let _ = writeln!(out, "  no pair {}", at(entry.node));
                }
            }
        }
    }
    if let Some(error) = recipe.error() {
        let _ = writeln!(out, "error {}", at(error.value));
        for &(node, target) in &error.targets {
            let _ = writeln!(out, "  {target:?} {}", at(node));
        }
    }
    for &key in recipe.other_keys() {
        let _ = writeln!(out, "other key {}", at(key));
    }
    for repeated in recipe.repeated() {
        let what = if repeated.comment { "comment" } else { "shadowed" };
        let _ = writeln!(out, "{what} {} by {}", at(repeated.key), at(repeated.last));
    }
    out
}

pub fn describe_link(tree: &Tree, link: &Link) -> String {
    let role = match link.role {
        Role::Output => "output",
        Role::Error => "error",
    };
    let channel = link.channel.map_or(String::new(), |channel| format!(" {}", tree.node(channel).raw()));
    let target = match link.target {
        Target::Step(id) => format!("to {id}"),
        Target::Meant(id) => format!("meant for {id}"),
        Target::Unreadable => "to nothing".to_owned(),
    };
    format!("{role}{channel} {target}")
}

pub fn dump_topology(tree: &Tree, topology: &Topology) -> String {
    let at = |id| {
        let node = tree.node(id);
        format!("{} {}", short(node.raw()), place(tree.source(), node.span()))
    };
    let mut out = String::new();
    let mut rows = |what: &str, definition: Value, node| {
        let _ = writeln!(out, "{what} {}\n  from {}", definition.to_json(), at(node));
    };
    for vhost in &topology.vhosts {
        rows("vhost", Value::from(vhost.name.text.as_str()), vhost.name.node);
    }
    for permission in &topology.permissions {
        let pattern = |pattern: &Option<(Pattern, _)>| pattern.as_ref().map(|(pattern, _)| pattern.as_str().to_owned());
        let rights = [&permission.configure, &permission.write, &permission.read].map(pattern);
        rows(&format!("permission {}", permission.vhost.text), Value::from(rights.to_vec()), permission.user.node);
    }
    for policy in &topology.policies {
        let (pattern, priority) = (policy.pattern.as_str(), policy.priority);
        let what = format!("policy {} {pattern} {priority}", policy.vhost.text);
        rows(&what, Value::Object((*policy.definition).clone()), policy.name.node);
    }
    topology.exchanges.iter().for_each(|exchange| rows("exchange", exchange.definition(), exchange.name.node));
    topology.bindings.iter().for_each(|binding| rows("binding", binding.definition(), binding.destination.node));
    for queue in &topology.queues {
        let policy = topology.policy_of(queue).map_or("-", |policy| &policy.name.text);
        let dead = topology.dead_letter_queue(queue).map_or("-", |queue| &queue.name.text);
        rows(&format!("queue, policy {policy}, dead letters {dead}"), queue.definition(), queue.name.node);
    }
    for group in &topology.groups {
        if let Some((range, why)) = group.dead_letters.as_ref().and_then(|letters| letters.fault.as_ref()) {
            let _ = writeln!(out, "fault {range:?} {why}\n  from {}", at(group.node));
        }
    }
    out
}

pub fn dump_graph(recipe: &Recipe) -> String {
    let graph = Graph::new(recipe);
    let name = |step: usize| recipe.name(&recipe.steps()[step]).into_owned();
    let names = |steps: &[usize]| steps.iter().map(|&step| name(step)).collect::<Vec<_>>().join(" ");
    let mut out = String::new();
    for (place, step) in recipe.steps().iter().enumerate() {
        for (edge, to) in graph.outgoing(place) {
            let _ = writeln!(
                out,
                "{} -> {}: {}",
                name(place),
                name(to),
                describe_link(recipe.tree(), &recipe.links(step)[edge.link])
            );
        }
        let came_from: Vec<usize> = graph.incoming(place).into_iter().map(|(_, from)| from).collect();
        if !came_from.is_empty() {
            let _ = writeln!(out, "{} <- {}", name(place), names(&came_from));
        }
    }
    match graph.order() {
        Some(order) => {
            let _ = writeln!(out, "order {}", names(&order));
        }
        None => out.push_str("no order\n"),
    }
    for cycle in graph.cycles() {
        let _ = writeln!(out, "cycle {} in a tangle of {}", names(&cycle.steps), cycle.tangle);
    }
    for unreached in graph.unreached() {
        let _ = writeln!(out, "unreached {} and {} behind it", name(unreached.step), unreached.behind);
    }
    out
}
