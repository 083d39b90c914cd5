"""Records what the reference implementation makes of placeholders: every kind of value, subscript and form.

    pip install workflows
    python tests/conformance/placeholders.py >tests/conformance/placeholders.json

A result is a list with the value, or null where the reference rejects the recipe.
"""

import json
import sys

from workflows.recipe import Recipe

# The parameter `v`; absent from the first.
VALUES = {
    "undefined": None,
    "null": [None],
    "true": [True],
    "false": [False],
    "integer": [5],
    "negative": [-3],
    "big": [10**20],
    "float": [1.5],
    "float without a fraction": [2.0],
    "negative zero": [-0.0],
    "large float": [1e22],
    "small float": [5e-324],
    "empty text": [""],
    "text": ["ab"],
    "number as text": ["0"],
    "other text": ["é😀{w}"],
    "empty list": [[]],
    "list": [[1]],
    "list of texts": [["a", "bc", "{w}"]],
    "list of objects": [["a", {"b": 2, "0": None}]],
    "list of lists": [[[1, 2], []]],
    "list of null": [[None, True]],
    "list of numbers": [[1.5, -2, 10**20]],
    "empty object": [{}],
    "object": [{"a": 1}],
    "object with a digit": [{"0": 1}],
    "object with digits": [{"00": 1, "-1": [2], "1": "x", "٣": 3}],
    "object with null": [{"a": None}],
    "object with object": [{"a": {"0": True, "a": "{w}"}}],
    "object with list": [{"a": [1, {"b": None}], "0": ["x", "y"]}],
    "object with text": [{"a": "xy", " 0": "z", "0 ": "u", "+1": 1, "b.c": 7, "b": {"c": 8}}],
}
SUBSCRIPTS = [
    "", "[a]", "[b]", "[0]", "[1]", "[2]", "[-1]", "[00]", "[01]", "[a][a]", "[a][0]", "[a][1]", "[a][b]", "[0][a]",
    "[0][0]", "[1][0]", "[1][b]", "[a][1][b]", "[ 0]", "[0 ]", "[+1]", "[1.0]", "[b.c]", "[٣]", "[a]b", "[]", "[a",
    "[9223372036854775807]", "[99999999999999999999]", "[{w}]", "[w]", "[!r]", "[a:b]",
    "[a][b][0]", "[a][0][0]", "[A]", "[a ]", "[\"a\"]", "[$REPLACE:w]", "[é]", "[0x1]", "[1_0]",
]  # fmt: skip
FORMS = [
    "{v*}", "{v*:>4}", "{v*:04d}", "{v*:.1f}", "{v*:s}", "{v*:x}", "{v*!r}", "{v*!s}", "{v*!a}", "{v*!s:>6}",
    "{v*!r:.2}", "{v*!x}", "{v*!}", "{v*:}", "{v*:,}", "{v*:+}", "{v*:%}", "{v*:e}", "{v*:g}", "{v*:c}", "{v*:b}", "{v*:=6}",
    "{v*:*^9}", "{v*:#o}", "{v*:_d}", "{v*:q}", "{v*:n}", "{v*:{w}.{w}f}", "{v*:{v*}}", "{v*:{w}}", "{w:{v*}}", "<{v*}>{w}", "{v*}{v*}", "{$REPLACE:v*}", "{$REPLACE:v*!r}",
    "{$REPLACE:v*!s:>6}", "{$REPLACE:v*:>4}", "{$REPLACE:v*:{w}}", "{$REPLACE:w:{v*}}", "{$REPLACE:w}{v*}",
    "{$REPLACE:v*}{w}", "<{$REPLACE:v*}>", "{{v*}}", "{{{v*}}}", "{ v*}", "{v* }", "{$REPLACE: v*}", "{$replace:v*}", "${v*}",
    "{$REPLACE:v*} ", "{$REPLACE:v*}{$REPLACE:v*}", "{$REPLACE:v*",
]  # fmt: skip
OTHERS = {"w": 3}


def outcome(text, parameters):
    recipe = Recipe({1: {"parameters": {"x": text}}, "start": []})
    try:
        recipe.apply_parameters(parameters)
    except Exception:
        return None
    return [recipe.recipe[1]["parameters"]["x"]]


def main():
    lines = []
    for name, value in VALUES.items():
        parameters = dict(OTHERS)
        if value is not None:
            parameters["v"] = value[0]
        for subscript in SUBSCRIPTS:
            row = [outcome(form.replace("*", subscript), parameters) for form in FORMS]
            lines.append(json.dumps([name, subscript, row], ensure_ascii=False))
    head = {"values": VALUES, "forms": FORMS, "others": OTHERS}
    text = json.dumps(head, ensure_ascii=False)[:-1]
    sys.stdout.write(text + ',\n"rows": [\n' + ",\n".join(lines) + "\n]}\n")


main()
