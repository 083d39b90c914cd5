"""Runs functions of packages that have a say about processing requests."""

from __future__ import annotations

import copy
import traceback
from typing import Any

from zrecipe.bridge import entry_points
from zrecipe.bridge.lines import Host, Line, describe


def run(job: str, name: str) -> int:
    """Answers requests: with another request (`filter`), or whether it can be dealt with (`ready`)."""
    host = Host.take_over()
    try:
        function = entry_points.load(name, entry_points.FILTERS if job == "filter" else entry_points.READY)
    except entry_points.Missing as error:
        host.fail(str(error), error.hint)
        return 1

    def answer(line: Line) -> None:
        try:
            said = _filtered(function, line) if job == "filter" else {"ready": _is_ready(function, line)}
        except Exception as error:
            traceback.print_exc()
            # As in the reference: a filter that fails refuses the request; a check that fails is at fault itself.
            key = "bad" if job == "filter" else "later"
            said = {key: f"{name}: {describe(error)}"}
        host.write({"id": line["id"], **said})

    host.on_message = answer
    host.greet(name=name)
    host.read()
    return 0


def _is_ready(function: Any, line: Line) -> bool:
    message = copy.deepcopy(line["request"])
    return bool(function(message, message.get("parameters", {})))


def _filtered(function: Any, line: Line) -> Line:
    """Calls a filter with the message and its parameters, and puts what it returns together again."""
    message = copy.deepcopy(line["request"])
    parameters = message.get("parameters", {})
    # The reference gives filters an empty recipe to add to; what they add is a recipe of the request.
    try:
        import workflows.recipe

        recipe_class: Any = workflows.recipe.Recipe
        message["recipe"] = recipe_class()
    except ModuleNotFoundError:
        pass
    message, parameters = function(message, parameters)
    recipe = message.pop("recipe", None)
    message["parameters"] = parameters
    added = getattr(recipe, "recipe", None)
    if added and any(key not in ("start", "error") for key in added):
        message["custom_recipe"] = _merged(message.get("custom_recipe"), recipe)
    return {"request": message}


def _merged(custom: Any, recipe: Any) -> Any:
    import json

    import workflows.recipe

    if not custom:
        return _plain(recipe.recipe)
    recipe_class: Any = workflows.recipe.Recipe
    return _plain(recipe_class(recipe=json.dumps(custom)).merge(recipe).recipe)


def _plain(recipe: Any) -> Any:
    """A recipe with the keys that JSON has."""
    return {str(key): value for key, value in recipe.items()}
