"""Finds and runs the program ``zrecipe`` that this package installs.

>>> import subprocess, zrecipe
>>> subprocess.run([zrecipe.find_program(), "check", "recipes"])  # doctest: +SKIP
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

__all__ = ["PROGRAM_VARIABLE", "find_program"]

PROGRAM_VARIABLE = "ZRECIPE_PROGRAM"
"""Environment variable with the path of the program, for distributions that install it elsewhere."""


def find_program() -> str:
    """Path of the program.

    The order is: the environment variable ``ZRECIPE_PROGRAM``; the ``scripts`` directory of this Python; that of a user
    installation (``pip install --user``); the directory of an installation with ``pip install --target``.

    Raises:
        FileNotFoundError: The variable names no file, or no directory holds the program.
    """
    override = os.environ.get(PROGRAM_VARIABLE)
    if override:
        if not Path(override).is_file():
            raise FileNotFoundError(f"{PROGRAM_VARIABLE}: no such file: {override}")
        return override
    name = "zrecipe" + (sysconfig.get_config_var("EXE") or "")
    directories = _directories()
    for directory in directories:
        program = directory / name
        if program.is_file():
            return str(program)
    searched = ", ".join(map(str, directories))
    raise FileNotFoundError(
        f"the program {name} was not found in {searched}; "
        f"install the package again, or set {PROGRAM_VARIABLE} to the path of the program"
    )


def _directories() -> list[Path]:
    """Directories that may hold the program, best first."""
    if sys.version_info >= (3, 10):
        user_scheme = sysconfig.get_preferred_scheme("user")
    else:
        user_scheme = f"{os.name}_user"
    candidates = [
        Path(sysconfig.get_path("scripts")),
        Path(sysconfig.get_path("scripts", scheme=user_scheme)),
        # `pip install --target DIR` writes DIR/zrecipe and DIR/bin.
        Path(__file__).resolve().parent.parent / ("Scripts" if os.name == "nt" else "bin"),
    ]
    return list(dict.fromkeys(candidates))
