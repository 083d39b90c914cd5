"""Record what the reference implementation (PyPI: workflows, zocalo) does with given inputs.

    python tests/conformance/record.py OUTDIR
Each file is a JSON list of cases: inputs, then either the result or the error's type and text.
"""
import copy, json, pathlib, random, re, sys
import workflows, workflows.recipe
from workflows.recipe import Recipe
import workflows.recipe.wrapper

def attempt(f):
    try:
        return {"result": f()}
    except RecursionError as e:
        return {"error": "RecursionError", "message": str(e)}
    except Exception as e:
        return {"error": type(e).__name__, "message": str(e)}

def jsonable(x):
    return json.loads(json.dumps(x))

# ---------------------------------------------------------------- substitution
PARAMS = {
    "s": "text", "empty": "", "n": 5, "neg": -3, "big": 123456789012345678901234567890, "f": 1.5, "one": 1.0, "tiny": 1e-7,
    "huge": 1e22, "e16": 1e16, "e15": 1e15, "third": 0.1, "t": True, "no": False, "nil": None,
    "list": [1, "two", 3.0, None, True, ["x"]], "dict": {"a": 1, "b": {"c": "deep"}, "k e y": "spaced", "0": "zero"},
    "quotes": "it's", "both": "it's \"quoted\"", "uni": "\u00e9\u4e2d\U0001F600", "nl": "a\nb\t\\", "brace": "{s}", "w": 7, "name with space": "sp",
    "lq": ["it's", "say \"hi\"", "it's \"both\"", "tab\t", "nl\n", "\u00e9", "\u200b", "\x7f", "back\\slash"], "ld": [{"a": None, "b": [True]}],
    "emptylist": [], "emptydict": {}, "$x": "dollar", "p": "/tmp/x",
}
TEMPLATES = """
{s}|{n}|{neg}|{big}|{f}|{one}|{tiny}|{huge}|{e16}|{e15}|{third}|{t}|{no}|{nil}|{list}|{dict}|{quotes}|{both}|{uni}|{nl}|{lq}|{ld}|{emptylist}|{emptydict}|{$x}
plain|no braces here|{s}{n}|pre{s}post|{s} and {missing}|{missing}|{missing}{s}|{ s }|{s }|{name with space}|{}|{0}|{1}|{|}|{{|}}|{{s}}|{{{s}}}|{{}}|{s|s}|}{|{s}}|{{s}
{dict[a]}|{dict[b]}|{dict[b][c]}|{dict[zz]}|{dict[b][zz]}|{dict[k e y]}|{dict[0]}|{dict["a"]}|{list[0]}|{list[1]}|{list[5][0]}|{list[9]}|{list[-1]}|{list[x]}|{s[0]}|{s[x]}|{n[0]}|{nil[a]}|{missing[a]}|{missing[a][b]}|{missing[0]}|{dict[}|{dict[]}|{dict[a}|{dict[a]x}|{dict.a}|{missing.a}|{s.upper}|{n.real}|{missing[a].b}
{s!r}|{s!s}|{s!a}|{uni!a}|{uni!r}|{quotes!r}|{both!r}|{n!r}|{f!r}|{list!r}|{missing!r}|{missing!s}|{s!x}|{s!}|{s!rr}|{nl!r}
{s:>10}|{s:<10}|{s:^10}|{s:*^10}|{s:.2}|{s:10.2}|{s:}|{s:s}|{s:d}|{n:05d}|{n:5}|{n:<5}|{n:+d}|{n: d}|{n:x}|{n:X}|{n:#x}|{n:b}|{n:o}|{n:e}|{n:.2f}|{n:,}|{n:_}|{big:,}|{f:.3f}|{f:8.2f}|{f:08.2f}|{f:e}|{f:g}|{f:%}|{f:d}|{third:.20f}|{t:d}|{t:5}|{nil:5}|{list:5}|{missing:5}|{missing:d}|{n:c}|{n:n}|{s:=10}|{n:=+5}|{neg:=05}|{neg:05}|{n:{w}}|{n:0{w}d}|{n:{missing}}|{n:{dict[a]}}|{s:zz}|{n:zz}|{f:.0f}|{huge:.1f}|{huge:,}|{tiny:.2g}|{n:>{w}}
{$REPLACE:s}|{$REPLACE:list}|{$REPLACE:dict}|{$REPLACE:dict[b]}|{$REPLACE:dict[b][c]}|{$REPLACE:dict[zz]}|{$REPLACE:missing}|{$REPLACE:missing[a]}|{$REPLACE:n}|{$REPLACE:t}|{$REPLACE:nil}|{$REPLACE:f}|{$REPLACE:list[0]}|{$REPLACE:list[9]}|{$REPLACE:nil[a]}|{$REPLACE:dict.a}|{$REPLACE:s}x|x{$REPLACE:s}|{$REPLACE:s}{n}|{$REPLACE:s}/{n}|{$REPLACE:n}{missing}|{$REPLACE}|{$REPLACE:}|{$REPLACEs}|{$REPLACE s}|{$REPLACE:s!r}|{$REPLACE:n:05d}|{$REPLACE:emptylist}|{$REPLACE:emptydict}|{$REPLACE:brace}|{$REPLACE:list}{$REPLACE:dict}
${s}|${HOME}|$s|$(echo {s})|awk '{print $1}'|awk '{print $1; x}' f|%05d|a{b|a}b|{"json": 1}|{"json": {s}}|{s:{s}}|{brace}|\\{s\\}|{n}{n}{n}|{s}\n{n}
""".strip().split("\n")

def substitution_cases():
    out = []
    for line in TEMPLATES:
        for t in line.split("|"):
            for shape in ("value",):
                item = {"1": {"queue": "q", "parameters": {"x": t}}, "start": [[1, []]]}
                out.append(sub_case(item, PARAMS))
    # keys, nesting, non-strings, tuples from "start"
    more = [
        {"1": {"queue": "{s}", "parameters": {"{s}": "{n}"}}, "start": [[1, {"p": "{s}", "l": ["{n}", 3, None, True, 1.25, {"{w}": "{list}"}]}]]},
        {"1": {"queue": "q", "parameters": {"{s}": 1, "text": 2}}, "start": [[1, "{s}"]]},
        {"{n}": {"queue": "q"}, "start": [[5, []]]},
        {"1": {"queue": "q", "output": {"{s}": 2}}, "2": {"queue": "{missing}"}, "start": [[1, []]]},
        {"1": {"queue": "q", "parameters": {"{$REPLACE:s}": "v"}}, "start": [[1, []]]},
        {"1": {"queue": "q", "parameters": {"{$REPLACE:n}": "v"}}, "start": [[1, []]]},
        {"1": {"queue": "q", "parameters": {"{$REPLACE:list}": "v"}}, "start": [[1, []]]},
        {"1": {"queue": "q", "parameters": {"{t}": "{t}", "deep": {"deep": {"deep": ["{dict[b][c]}", "{$REPLACE:dict}"]}}}}, "start": [[1, []]]},
    ]
    out += [sub_case(m, PARAMS) for m in more]
    return out

def sub_case(recipe, params):
    def go():
        r = Recipe(json.dumps(recipe)); r.apply_parameters(copy.deepcopy(params)); return jsonable(r.recipe)
    c = {"recipe": recipe, "parameters": params}
    c.update(attempt(go))
    if "result" in c and re.search(r"\{[^{}:!\[]*\.", json.dumps(recipe)):
        c = {k: v for k, v in c.items() if k != "result"}
        c["error"], c["message"], c["deliberate_difference"] = "AttributeAccess", "attribute access in placeholders is rejected", True
    return c

# ---------------------------------------------------------------- validation
def validate_cases(rng, n):
    base = {"1": {"queue": "a", "output": 2}, "2": {"queue": "b"}, "start": [[1, []]]}
    texts = [json.dumps(x) for x in [
        base, {}, [], 5, None, "x", {"start": []}, {"start": [[1, []]]}, {"1": {"queue": "a"}}, {"1": {"queue": "a"}, "start": [[1]]}, {"1": {"queue": "a"}, "start": [1, 2]},
        {"1": {"queue": "a"}, "start": [["start", []]]}, {"1": {"queue": "a"}, "start": [["1", []]]}, {"1": {"queue": "a"}, "start": [[1, []]], "error": "start"},
        {"1": {"queue": "a"}, "start": [[1, []]], "error": ["start"]}, {"1": {"queue": "a"}, "start": [[1, []]], "error": ["error"]}, {"1": {"queue": "a"}, "start": [[1, []]], "error": 1},
        {"1": {"queue": "a"}, "2": {"queue": "b"}, "start": [[1, []]], "error": [2]}, {"1": {"queue": "a"}, "start": [[1, []]], "error": [9]},
        {"1": {"queue": "a"}, "x": {"queue": "b"}, "start": [[1, []]]}, {"0": {"queue": "a"}, "start": [[0, []]]}, {"-1": {"queue": "a"}, "start": [[-1, []]]}, {"01": {"queue": "a"}, "start": [[1, []]]},
        {"1.5": {"queue": "a"}, "start": [[1, []]]}, {" 1 ": {"queue": "a"}, "start": [[1, []]]}, {"1_0": {"queue": "a"}, "start": [[10, []]]}, {"+1": {"queue": "a"}, "start": [[1, []]]},
        {"1": {"queue": "a", "output": "2"}, "2": {"queue": "b"}, "start": [[1, []]]}, {"1": {"queue": "a", "output": ["2"]}, "2": {"queue": "b"}, "start": [[1, []]]},
        {"1": {"queue": "a", "output": [2, 2]}, "2": {"queue": "b"}, "start": [[1, []]]}, {"1": {"queue": "a", "output": {"x": 2, "y": [2]}}, "2": {"queue": "b"}, "start": [[1, []]]},
        {"1": {"queue": "a", "output": {"x": {"y": 2}}}, "2": {"queue": "b"}, "start": [[1, []]]}, {"1": {"queue": "a", "output": {"x": None}}, "start": [[1, []]]}, {"1": {"queue": "a", "output": None}, "start": [[1, []]]},
        {"1": {"queue": "a", "output": True}, "start": [[1, []]]}, {"1": {"queue": "a", "output": 1.0}, "start": [[1, []]]}, {"1": {"queue": "a", "output": [[2]]}, "2": {"queue": "b"}, "start": [[1, []]]},
        {"1": {"queue": "a", "output": 1}, "start": [[1, []]]}, {"1": {"queue": "a", "output": 2}, "2": {"queue": "b", "output": 1}, "start": [[1, []]]},
        {"1": {"queue": "a", "error": 2}, "2": {"queue": "b", "output": 1}, "start": [[1, []]]}, {"1": {"queue": "a", "output": 9}, "start": [[1, []]]}, {"1": {"queue": "a"}, "2": {"queue": "b"}, "start": [[1, []]]},
        {"1": {}, "start": [[1, []]]}, {"1": [], "start": [[1, []]]}, {"1": "q", "start": [[1, []]]}, {"1": 5, "start": [[1, []]]}, {"1": None, "start": [[1, []]]}, {"1": {"queue": 5}, "start": [[1, []]]}, {"1": {"topic": "t"}, "start": [[1, []]]},
        {"1": {"queue": "a"}, "start": [[1, []], [1, []]]}, {"1": {"queue": "a"}, "start": [["error", []]]}, {"1": {"queue": "a"}, "start": {"1": []}}, {"1": {"queue": "a"}, "start": 1}, {"1": {"queue": "a"}, "start": None},
        {"comment": "x", "1": {"queue": "a"}, "start": [[1, []]]}, {"1": {"queue": "a", "output": []}, "start": [[1, []]]}, {"1": {"queue": "a", "output": {}}, "start": [[1, []]]},
    ]]
    texts += ['{"1": ["comment"], "1": {"queue": "a"}, "start": [[1, []]]}', '{"1": {"queue": "a"}, "1": {"queue": "b"}, "start": [[1, []]]}', '{"1": {"queue": "a"}, "start": [[1, []]],}', '', '{', '{"1": {"queue": "a"}, "start": [[1, NaN]]}', '\ufeff{"1": {"queue": "a"}, "start": [[1, []]]}']
    for _ in range(n):
        k = rng.randint(1, 7); broken = rng.random() < 0.4; out_edges = {i: [] for i in range(1, k + 1)}
        for i in range(2, k + 1):
            out_edges[rng.randint(1, i - 1)].append(i)
            if rng.random() < .4: out_edges[rng.randint(1, i - 1)].append(i)
        if broken:
            i = rng.randint(1, k); what = rng.choice(["cycle", "missing", "drop"])
            if what == "cycle": out_edges[i].append(rng.randint(1, i))
            elif what == "missing": out_edges[i].append(k + 1)
            elif out_edges[i]: out_edges[i].pop()
        r = {}
        for i, targets in out_edges.items():
            node = {"queue": f"q{i}"}
            if targets:
                shape = rng.randint(0, 2); field = "output"
                if len(targets) > 1 and rng.random() < .3: node["error"] = targets.pop()
                node[field] = targets if shape == 0 else {f"c{j}": rng.choice([x, [x]]) for j, x in enumerate(targets)} if shape == 1 else (targets[0] if len(targets) == 1 else targets)
            r[str(i)] = node
        r["start"] = [[1, []]] + ([[rng.randint(1, k), {"n": 1}]] if rng.random() < .2 else [])
        if rng.random() < .2: r["error"] = [rng.randint(1, k)]
        texts.append(json.dumps(r))
    out = []
    for t in texts:
        c = {"text": t}
        c.update(attempt(lambda: Recipe(t).validate() or "valid"))
        out.append(c)
    return out

# ---------------------------------------------------------------- dispatch (merge, bind, start)
class Capture:
    is_reconnectable = False
    def __init__(self): self.sent = []
    def send(self, dest, msg, **kw): self.sent.append({"queue": dest, "message": jsonable(msg), **jsonable(kw)})
    def broadcast(self, dest, msg, **kw): self.sent.append({"topic": dest, "message": jsonable(msg), **jsonable(kw)})

def dispatch_case(custom, named, params):
    def go():
        rec = Recipe()
        if custom:
            c = Recipe(recipe=json.dumps(custom)); c.validate(); rec = rec.merge(c)
        for r in named:
            n = Recipe(recipe=json.dumps(r)); n.validate(); rec = rec.merge(n)
        rec.apply_parameters(copy.deepcopy(params))
        t = Capture()
        w = workflows.recipe.RecipeWrapper(recipe=rec, transport=t)
        w.environment = {"ID": params["guid"]}
        w.start()
        return t.sent
    c = {"custom_recipe": custom, "recipes": named, "parameters": params}
    c.update(attempt(go))
    return c

def dispatch_cases(rng, n):
    A = {"1": {"service": "A", "queue": "some.queue.{first}", "output": [2], "error": 2}, "2": {"service": "B", "queue": "another.queue.{name}"}, "start": [[1, {}]], "error": [2]}
    B = {"1": {"service": "A", "queue": "some.queue.{first}", "output": 2}, "2": {"service": "C", "queue": "third.queue"}, "start": [[1, {}]]}
    T = {"1": {"topic": "tp", "output": {"x": 2, "y": [3, 2]}}, "2": {"queue": "q2", "topic": "t2"}, "3": {"queue": "q3", "transport-delay": 5}, "start": [[1, ["a"]], [3, {"k": "{first}"}]], "error": 2}
    X = {"7": {"queue": "x", "exchange": "ex", "output": 9}, "9": {"queue": "y"}, "start": [[7, None]], "error": [9]}
    N = {"1": {"service": "none"}, "start": [[1, "p"]]}
    P = {"guid": "G-1", "first": "one", "name": "two"}
    out = []
    for custom, named in [(A, []), (None, [A]), (None, [A, B]), (None, [B, A]), (A, [B]), (T, []), (None, [T, A]), (X, [A]), (None, [A, X]), (N, []), (None, [A, A]), (None, [A, B, X]), (None, []), (T, [X])]:
        out.append(dispatch_case(custom, named, P))
    for _ in range(n):
        recs = []
        for _ in range(rng.randint(1, 3)):
            k = rng.randint(1, 5); ids = sorted(rng.sample(range(1, 30), k)); r = {}
            for j, i in enumerate(ids):
                node = {"queue": f"q{{first}}.{i}", "parameters": {"v": rng.choice(["{name}", "{missing}", 3, "{$REPLACE:first}"])}}
                later = ids[j + 1:]
                if later and rng.random() < .8:
                    node["output"] = rng.choice([later[0], later[:2], {"a": later[0], "b": later}])
                if later and rng.random() < .2: node["error"] = later[-1:]
                r[str(i)] = node
            targets = {int(x) for v in r.values() for f in ("output", "error") for x in re.findall(r"\d+", json.dumps(v.get(f, "")))}
            r["start"] = [[i, {"n": i}] for i in ids if i not in targets] or [[ids[0], {}]]
            if rng.random() < .3: r["error"] = [ids[-1]]
            recs.append(r)
        out.append(dispatch_case(None, recs, P))
    return out

# ---------------------------------------------------------------- hops (what a service's sends become)
def hop_cases():
    recipe = {"1": {"queue": "q1", "output": [2, 3]}, "2": {"queue": "q2", "output": {"a": 4, "b": [4, 5], "none": []}}, "3": {"topic": "t3", "queue": "q3", "output": 4},
              "4": {"queue": "q4", "transport-delay": 7}, "5": {"queue": "q5", "exchange": "ex", "output": {"a": 6}}, "6": {"service": "nowhere"}, "start": [[1, {"go": 1}]]}
    actions = [("send", None, None), ("send", "a", None), ("send", "zz", None), ("send_to", None, "a"), ("send_to", None, "b"), ("send_to", None, "zz"), ("send_to", "a", "a"), ("send_to", "a", "b"), ("send_to", None, "none"), ("checkpoint", None, None), ("checkpoint", None, 3)]
    out = []
    for pointer in (1, 2, 3, 4, 5, 6, "2"):
        for path in ([], [1]):
            for kind, default, arg in actions:
                for payload in ({"r": [1, None, "x"]},) if path else (["p"], "text", None):
                    msg = {"recipe": recipe, "recipe-pointer": pointer, "recipe-path": path, "environment": {"ID": "G", "k": 1}, "payload": {"in": 1}}
                    def go():
                        t = Capture(); w = workflows.recipe.RecipeWrapper(message=copy.deepcopy(msg), transport=t)
                        if default: w.set_default_channel(default)
                        if kind == "send": w.send(payload, header={"h": 1})
                        elif kind == "send_to": w.send_to(arg, payload)
                        else: w.checkpoint(payload, delay=arg or 0)
                        return t.sent
                    c = {"message": msg, "action": kind, "default_channel": default, "argument": arg, "payload": payload}
                    c.update(attempt(go)); out.append(c)
    return out

# ---------------------------------------------------------------- site configuration
def config_cases():
    import zocalo.configuration, logging
    logging.disable(logging.CRITICAL)
    texts = ["version: 1\n", "", "version: 2\n", "a: b\n", "- 1\n", "version: 1\nenvironments:\n  live: [a]\na: {plugin: storage}\n",
      "version: 1\nenvironments:\n  live: [a]\n", "version: 1\nenvironments:\n  live: {plugins: [a, b], aaa: c, zzz: [b, a]}\na: {plugin: storage}\nb: {plugin: x}\nc: {plugin: y}\n",
      "version: 1\nenvironments:\n  real: [a]\n  alias: real\n  default: alias\na: {plugin: storage}\n", "version: 1\nenvironments:\n  x: y\n  y: x\n", "version: 1\nenvironments:\n  x: nope\n", "version: 1\nenvironments:\n  x: x\n",
      "version: 1\nenvironments:\n  live: 5\n", "version: 1\nenvironments:\n  live: {plugins: 5}\n", "version: 1\nenvironments:\n  live: {plugins: a}\na: {plugin: storage}\n", "version: 1\na: {}\n", "version: 1\na: {plugin: 5}\n", "version: 1\na: 5\n", "version: 1\na: [1]\n",
      "version: 1\nenvironments: {live: [version]}\n", "version: 1\nenvironments: {live: [environments]}\n", "version: 1\na: {plugin: smtp, host: h, port: 25, from: a@b.org}\n", "version: 1\na: {plugin: smtp, host: h, port: x, from: a@b.org}\n", "version: 1\na: {plugin: smtp, host: h, port: 25, from: notanemail}\n",
      "version: 1\na: {plugin: smtp, host: h}\n", "version: 1\na: {plugin: graylog, protocol: ICMP, host: h, port: 1}\n", "version: 1\na: {plugin: graylog, protocol: UDP, host: h, port: '12345'}\n", "version: 1\na: {plugin: jmx, host: h, port: 1, base_url: b, username: u, password: 5}\n",
      "version: 1\na: {plugin: rabbitmqapi, base_url: b, username: u, password: p}\n", "version: 1\na: {plugin: pika, host: h, port: 5672, username: u, password: p, vhost: v}\n", "version: 1\na: {plugin: pika, host: h, port: '1,2', username: u, password: p, vhost: v}\n", "version: 1\na: {plugin: stomp, host: h, port: 61613, username: u, password: p, prefix: x}\n",
      "version: 1\na: {plugin: transport, default: PikaTransport}\n", "version: 1\na: {plugin: slurm, url: u, api_version: v0.0.40}\n", "version: 1\na: {plugin: slurm, url: u}\n", "version: 1\na: {plugin: smtp, host: h, port: 25, from: a@b.org, extra: 1}\n", "version: 1\ninclude: [x.yml]\n", "version: 1\ninclude: x\n",
      "version: '1'\n", "version: 1.0\n", "version: true\n", "version: 1\nenvironments: []\n", "version: 1\nenvironments:\n", "version: 1\nlog: {plugin: logging, loggers: {zocalo: {level: WARNING}}, verbose: [{loggers: {zocalo: {level: INFO}}}]}\n", "version: 1\na: {plugin: nosuch, any: thing}\n", "version: 1\na: &x {plugin: storage}\nb: *x\nenvironments: {e: [a, b, a]}\n", "version: 1\nversion: 1\na: {plugin: storage}\na: {plugin: x}\n"]
    out = []
    for t in texts:
        def go():
            c = zocalo.configuration.from_string(t)
            return {"environments": {k: list(v) for k, v in c._environments.items()}, "plugins": sorted(c._plugin_configurations)}
        c = {"text": t}; c.update(attempt(go)); out.append(c)
    return out

# ---------------------------------------------------------------- rabbitmq configuration expansion
def rabbit_cases():
    from zocalo.cli import configure_rabbitmq as cr
    groups = [
        {"names": ["a", "b.c"], "settings": {"queues": {"type": "quorum", "dead-letter-routing-key-pattern": "dlq.{name}"}}, "bindings": ["", "delayed"], "vhost": "zocalo"},
        {"names": ["a"], "settings": {"queues": {"type": "quorum"}}}, {"names": ["a"]}, {"names": ["s"], "settings": {"queues": {"type": "stream"}, "single_active_consumer": True}},
        {"names": ["r"], "settings": {"queues": {"type": "quorum", "dead-letter-routing-key-pattern": "dlq.{name}", "dead-letter-queue-create": False, "dead-letter-exchange": "dx"}, "single_active_consumer": True}, "vhost": "v"},
        {"names": ["command", "transient.status"], "settings": {"broadcast": True, "queues": {"type": "quorum"}}, "vhost": "zocalo"}, {"names": ["e"], "settings": {"exchanges": {"type": "topic"}}},
    ]
    out = []
    for g in groups:
        def go():
            r = {"queues": [], "exchanges": [], "bindings": []}
            if g.get("settings", {}).get("broadcast"):
                r["exchanges"] = [json.loads(x.model_dump_json()) for x in cr.get_exchange_specs_for_group(g)]
            else:
                r["queues"] = [json.loads(x.model_dump_json()) for x in cr.get_queue_specs(g)]
                r["bindings"] = [json.loads(x.model_dump_json()) for x in cr.get_binding_specs_for_group(g)]
            return r
        c = {"group": g}; c.update(attempt(go)); out.append(c)
    return out

if __name__ == "__main__":
    outdir = pathlib.Path(sys.argv[1]); seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng = random.Random(seed)
    for name, cases in [("substitution", substitution_cases()), ("validation", validate_cases(rng, 150)), ("dispatch", dispatch_cases(rng, 60)), ("hops", hop_cases()), ("site_configuration", config_cases()), ("rabbitmq_groups", rabbit_cases())]:
        (outdir / f"{name}.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
        print(name, len(cases), "cases,", sum("error" in c for c in cases), "errors")
