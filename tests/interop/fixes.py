"""What the reference implementation does with recipes before and after their fixes.

Reads lines of JSON: {"before": text, "after": text, "parameters": object}. Prints one line of JSON: how many of the
recipes it accepts before, and those whose bound recipe is another one afterwards.
"""

import json
import sys

from workflows.recipe import Recipe


def bound(text, parameters):
    """The recipe with its parameters, or nothing where the reference refuses it."""
    try:
        recipe = Recipe(text)
        recipe.validate()
        recipe.apply_parameters(parameters)
    except Exception:
        return None
    return recipe.recipe


accepted, changed = 0, []
for line in sys.stdin:
    case = json.loads(line)
    before = bound(case["before"], case["parameters"])
    if before is None:
        continue
    accepted += 1
    if bound(case["after"], case["parameters"]) != before:
        changed.append(case)
print(json.dumps({"accepted": accepted, "changed": changed}))
