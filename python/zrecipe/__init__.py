"""Zocalo recipes in Python: checked, run and served by the program ``zrecipe`` that this package installs.

- :func:`check` checks recipes and configurations, and ``pytest --zrecipe`` makes each recipe a test.
- :func:`service` and :class:`Service` make services; :mod:`zrecipe.testing` tests them without a broker.
- :func:`submit` sends a request and waits for what a step of this very run receives.
- :func:`find_program` finds the program.

Services and wrappers that are written with ``workflows`` and ``zocalo`` run as they are: ``zrecipe service -s NAME``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zrecipe._program import PROGRAM_VARIABLE, find_program

if TYPE_CHECKING:
    from zrecipe.checking import CheckError, File, Finding, Report, check
    from zrecipe.services import Later, Message, Output, Refuse, Service, service
    from zrecipe.submitting import Answer, SubmitError, Submitted, submit

__all__ = [
    "PROGRAM_VARIABLE",
    "Answer",
    "CheckError",
    "File",
    "Finding",
    "Later",
    "Message",
    "Output",
    "Refuse",
    "Report",
    "Service",
    "SubmitError",
    "Submitted",
    "check",
    "find_program",
    "service",
    "submit",
]

_HOMES = {
    "zrecipe.checking": ("CheckError", "File", "Finding", "Report", "check"),
    "zrecipe.services": ("Later", "Message", "Output", "Refuse", "Service", "service"),
    "zrecipe.submitting": ("Answer", "SubmitError", "Submitted", "submit"),
}


def __getattr__(name: str) -> object:
    """Imports what is used, and not more: the program itself is started by this package as well."""
    import importlib

    for home, names in _HOMES.items():
        if name in names:
            value: object = getattr(importlib.import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
