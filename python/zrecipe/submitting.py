"""Sends processing requests and waits for what a step of this very run receives."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from dataclasses import dataclass
from typing import IO, Any, Mapping, Sequence

from zrecipe._program import find_program
from zrecipe.checking import PathLike

__all__ = ["Answer", "SubmitError", "Submitted", "submit"]


class SubmitError(Exception):
    """The request was not sent, or its answer cannot be waited for."""


@dataclass(frozen=True)
class Answer:
    """What a step of the run received, or what a service of the run sent on a channel."""

    payload: Any
    """The payload."""


class Submitted:
    """A run that was submitted."""

    def __init__(self, process: subprocess.Popen[str], wait_for: str | None) -> None:
        self._process = process
        self._wait_for = wait_for
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._answer: Answer | None = None
        self._complaint = ""
        threading.Thread(target=self._read, daemon=True).start()
        self._errors = threading.Thread(target=self._read_errors, daemon=True)
        self._errors.start()
        line = self._lines.get()
        if line is None:
            raise SubmitError(self._why())
        self.id = line.strip()
        """The recipe ID."""

    def _read(self) -> None:
        for line in _lines(self._process.stdout):
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        for line in _lines(self._process.stderr):
            self._complaint += line

    def _why(self) -> str:
        code = self._process.wait()
        self._errors.join()
        return self._complaint.strip() or f"zrecipe go ended with exit status {code}"

    def answer(self, timeout: float | None = None) -> Answer:
        """Waits for the answer.

        Raises:
            TimeoutError: There is none yet; a later call may find it.
            SubmitError: There will be none.
        """
        if self._wait_for is None:
            raise SubmitError("this run was submitted without `wait_for`, so nothing is waited for")
        if self._answer is None:
            try:
                line = self._lines.get(timeout=timeout)
            except queue.Empty:
                raise TimeoutError(f"run {self.id}: no `{self._wait_for}` within {timeout} s") from None
            if line is None:
                self._lines.put(None)
                raise SubmitError(f"run {self.id}: {self._why()}")
            self._answer = Answer(json.loads(line))
        return self._answer

    def result(self, channel: str | int | None = None, timeout: float | None = None) -> Any:
        """The awaited payload; `channel` repeats its name, to document the code."""
        if channel is not None and str(channel) != self._wait_for:
            raise SubmitError(f"this run was submitted with wait_for={self._wait_for!r}, not {channel!r}")
        return self.answer(timeout).payload

    def close(self) -> None:
        """Stops waiting; the run continues."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def __enter__(self) -> Submitted:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def submit(
    recipes: str | Sequence[str] = (),
    *,
    file: PathLike | None = None,
    dcid: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    wait_for: str | int | None = None,
    environments: Sequence[str] = (),
    options: Sequence[str] = (),
    cwd: PathLike | None = None,
) -> Submitted:
    """Sends a request to the dispatcher of a site; returns when the broker has confirmed it.

    >>> with zrecipe.submit("grid-scan", dcid=17, wait_for="result") as run:  # doctest: +SKIP
    ...     centre = run.result("result", timeout=30)

    Args:
        recipes: Names of recipes.
        file: A recipe that is sent with the request.
        dcid: ID of the data collection.
        parameters: Parameters; what is not a text becomes one.
        wait_for: Channel, or number of a step, whose payload :meth:`Submitted.result` waits for. It is that of this run
            and of no other.
        environments: Site environments.
        options: Further options of ``zrecipe go``.
        cwd: Directory in which the program runs.

    Raises:
        SubmitError: The request was not sent.
        FileNotFoundError: The program is not installed.
    """
    arguments = ["go"]
    for name in [recipes] if isinstance(recipes, str) else recipes:
        arguments += ["-r", name]
    if file is not None:
        arguments += ["-f", os.fspath(file)]
    for key, value in (parameters or {}).items():
        arguments += ["-s", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    for name in environments:
        arguments += ["-e", name]
    if wait_for is not None:
        arguments += ["--wait", str(wait_for)]
    arguments += [*options, *(["-n"] if dcid is None else [str(dcid)])]
    process = subprocess.Popen(
        [find_program(), *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    return Submitted(process, None if wait_for is None else str(wait_for))


def _lines(stream: IO[str] | None) -> list[str] | IO[str]:
    return [] if stream is None else stream
