"""Classes and functions that Python packages register."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import Any

from zrecipe.bridge.lines import describe

SERVICES = ("zocalo.services", "workflows.services")
"""Groups of services; a name in an earlier one precedes."""

WRAPPERS = ("zocalo.wrappers",)
"""Groups of wrappers."""

FILTERS = ("zocalo.services.dispatcher.filters",)
"""Groups of functions that change requests."""

READY = ("zocalo.services.dispatcher.ready_for_processing",)
"""Groups of functions that say whether a request can be dealt with."""


class Missing(Exception):
    """A class or function that cannot be loaded."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.hint = hint


def in_group(group: str) -> list[Any]:
    """The entry points of a group."""
    if sys.version_info >= (3, 10):
        return list(metadata.entry_points(group=group))
    return list(metadata.entry_points().get(group, []))


def all_of(groups: tuple[str, ...]) -> dict[str, Any]:
    """The entry points of several groups by their names."""
    found: dict[str, Any] = {}
    for group in groups:
        for entry in in_group(group):
            found.setdefault(entry.name, entry)
    return found


def listed() -> list[dict[str, str]]:
    """All that this module can run; nothing is imported for it."""
    groups = (*SERVICES, *WRAPPERS, *FILTERS, *READY)
    return [{"group": group, "name": entry.name, "path": entry.value} for group in groups for entry in in_group(group)]


def load(name: str, groups: tuple[str, ...]) -> Any:
    """A class or function by the name of its entry point, or by `package.module:name`.

    Raises:
        Missing: There is no such thing, or it cannot be imported.
    """
    path = name
    if ":" not in name:
        found = all_of(groups)
        entry = found.get(name) or next((e for n, e in found.items() if n.lower() == name.lower()), None)
        if entry is None:
            known = ", ".join(sorted(found)) or "none"
            raise Missing(
                f"no package registers `{name}` in the group {' or '.join(groups)}; registered are: {known}",
                f"`{sys.executable} -m pip install PACKAGE` installs the package that has it",
            )
        path = entry.value
    module_name, _, attributes = path.partition(":")
    # Beside a contract a module may lie that is not installed.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found_object: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = (error.name or module_name).split(".")[0]
        raise Missing(
            f"`{path}` cannot be imported: {error}",
            f"`{sys.executable} -m pip install {missing}` installs the module, if its package has that name",
        ) from error
    except Exception as error:
        raise Missing(f"`{path}` cannot be imported: {describe(error)}") from error
    for attribute in attributes.split(".") if attributes else []:
        try:
            found_object = getattr(found_object, attribute)
        except AttributeError:
            raise Missing(f"module `{module_name}` has no `{attribute}`") from None
    return found_object
