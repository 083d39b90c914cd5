"""Checks recipes and configurations with the program, and returns what it finds."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence, Union

from zrecipe._program import find_program

__all__ = ["CheckError", "File", "Finding", "Report", "check"]

PathLike = Union[str, "os.PathLike[str]"]


class CheckError(Exception):
    """The program could not check: a file cannot be read, or an option is wrong."""


@dataclass(frozen=True)
class Finding:
    """What the program found at one place."""

    rule: str
    """Name of the rule."""
    level: str
    """``error``, ``warning`` or ``note``."""
    message: str
    """What is wrong."""
    path: str
    """The file, as it was given."""
    line: int
    """Line of the place, from 1."""
    column: int
    """Column of the place in characters, from 1."""
    help: str | None
    """What to do."""
    refused: bool
    """Whether the dispatcher rejects the recipe for it."""

    def __str__(self) -> str:
        text = f"{self.path}:{self.line}:{self.column}: {self.level}: {self.message} [{self.rule}]"
        return f"{text}\n  help: {self.help}" if self.help else text


@dataclass(frozen=True)
class File:
    """A file that was checked."""

    path: str
    """The file, as it was given."""
    findings: tuple[Finding, ...]
    """Findings in order of place."""
    dropped: int
    """Further findings that are not listed."""

    @property
    def errors(self) -> list[Finding]:
        """The findings at error level."""
        return [finding for finding in self.findings if finding.level == "error"]


@dataclass(frozen=True)
class Report:
    """What the program found in all files."""

    files: tuple[File, ...]
    """Every file that was checked, clean ones included."""
    document: Mapping[str, Any] = field(repr=False)
    """The report as the program writes it (``zrecipe schema report``)."""

    @property
    def findings(self) -> list[Finding]:
        """All findings."""
        return [finding for file in self.files for finding in file.findings]

    @property
    def errors(self) -> list[Finding]:
        """The findings at error level."""
        return [finding for finding in self.findings if finding.level == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """The findings at warning level."""
        return [finding for finding in self.findings if finding.level == "warning"]

    @property
    def ok(self) -> bool:
        """Whether nothing is at error level."""
        return not self.errors and not any(file.dropped and file.errors for file in self.files)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or "nothing found"


def check(
    paths: PathLike | Iterable[PathLike] | Mapping[str, str | Mapping[str, Any]] = ".",
    *,
    parameters: Mapping[str, Any] | None = None,
    allow: Sequence[str] = (),
    warn: Sequence[str] = (),
    deny: Sequence[str] = (),
    kind: str | None = None,
    site: PathLike | None = None,
    config: PathLike | None = None,
    options: Sequence[str] = (),
    cwd: PathLike | None = None,
) -> Report:
    """Checks files, directories and patterns; or texts and documents by their names.

    >>> report = check({"a.json": '{"1": {"queue": "a"}, "start": [[1, []]]}'})  # doctest: +SKIP
    >>> assert report.ok, report  # doctest: +SKIP

    Args:
        paths: What to check. A mapping holds names with texts (JSON or YAML) or documents.
        parameters: Parameters with which recipes are checked.
        allow: Rules whose findings are dropped.
        warn: Rules whose findings are warnings.
        deny: Rules whose findings are errors.
        kind: What the files are, where their content does not say it.
        site: Site configuration that recipes are checked against.
        config: ``zrecipe.toml`` to use.
        options: Further options of ``zrecipe check``.
        cwd: Directory in which the program runs.

    Raises:
        CheckError: A file cannot be read, or an option is wrong.
        FileNotFoundError: The program is not installed.
    """
    arguments = ["check", "--format", "json"]
    for name, value in (parameters or {}).items():
        arguments += ["--param-json", f"{name}={json.dumps(value)}"]
    for option, rules in (("--allow", allow), ("--warn", warn), ("--deny", deny)):
        for rule in rules:
            arguments += [option, rule]
    for option, value in (("--kind", kind), ("--site", site), ("--config", config)):
        if value is not None:
            arguments += [option, os.fspath(value)]
    arguments += options
    if isinstance(paths, Mapping):
        return _check_texts(arguments, paths, cwd)
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    return _run([*arguments, "--", *(os.fspath(path) for path in paths)], cwd)


def _check_texts(
    arguments: list[str], texts: Mapping[str, str | Mapping[str, Any]], cwd: PathLike | None
) -> Report:
    if not texts:
        return Report((), {"version": 1, "files": [], "summary": {}})
    with tempfile.TemporaryDirectory(prefix="zrecipe-", dir=cwd) as directory:
        places: dict[str, str] = {}
        for name, text in texts.items():
            place = Path(directory, name.lstrip("/"))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
            places[str(place)] = name
        return _run([*arguments, "--", *places], cwd, places)


def _run(arguments: list[str], cwd: PathLike | None, names: Mapping[str, str] | None = None) -> Report:
    done = subprocess.run(
        [find_program(), *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    try:
        document = json.loads(done.stdout) if done.returncode in (0, 1) else None
    except ValueError:
        document = None
    if document is None:
        raise CheckError(done.stderr.strip() or f"zrecipe check ended with exit status {done.returncode}")
    return Report(tuple(_file(entry, names or {}) for entry in document["files"]), document)


def _file(entry: Mapping[str, Any], names: Mapping[str, str]) -> File:
    path = names.get(entry["path"], entry["path"])
    findings = tuple(
        Finding(
            rule=found["rule"],
            level=found["level"],
            message=found["message"],
            path=path,
            line=found["start"]["line"],
            column=found["start"]["column"],
            help=found["help"],
            refused=found["refused"],
        )
        for found in entry["diagnostics"]
    )
    return File(path, findings, entry["dropped"])
