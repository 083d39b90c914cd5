"""Lines of the worker protocol on standard input and output."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from typing import Any, BinaryIO, Callable, Dict, Optional

EDITION = 2
"""Edition of the worker protocol that this module speaks."""

Line = Dict[str, Any]


def describe(error: BaseException) -> str:
    """An exception in a line: its type and text; the text of its cause if it has none."""
    name, text = type(error).__name__, str(error).strip()
    cause = error.__cause__ or error.__context__
    if not text and cause is not None:
        return f"{name}: caused by {describe(cause)}"
    return f"{name}: {text}" if text else name


class Closed(Exception):
    """The host has gone."""


class Refused(Exception):
    """The host could not do what it was asked for."""


class Reply:
    """The reply of the host to a line with a number."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.line: Line | None = None

    def put(self, line: Line | None) -> None:
        self.line = line
        self._event.set()

    def wait(self) -> Line:
        """Waits for it.

        Raises:
            Closed: The host has gone.
            Refused: The host could not do it.
        """
        self._event.wait()
        if self.line is None:
            raise Closed("the host has closed the standard input of this service")
        error = self.line.get("error")
        if error is not None:
            raise Refused(str(error))
        return self.line


class Host:
    """The program that has started this one."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._replies: dict[int, Reply] = {}
        self._hello: Line | None = None
        self._first_ping: Any = None
        self._has_greeted = False
        self.is_closed = False
        self.on_message: Callable[[Line], None] = lambda line: None
        self.on_stop: Callable[[], None] = lambda: None

    @classmethod
    def take_over(cls) -> Host:
        """Takes standard input and output; what is printed from now on goes to standard error."""
        reader = os.fdopen(os.dup(0), "rb")
        writer = os.fdopen(os.dup(1), "wb")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        sys.stdout.flush()
        os.dup2(2, 1)
        return cls(reader, writer)

    def write(self, line: Line) -> None:
        """Writes a line."""
        self.write_text(json.dumps(line, default=str))

    def write_text(self, text: str) -> None:
        """Writes a line of JSON."""
        data = text.encode("utf-8", "surrogatepass") + b"\n"
        with self._lock:
            try:
                self._writer.write(data)
                self._writer.flush()
            except (OSError, ValueError):
                self.is_closed = True

    def number(self) -> int:
        """A number that no other line has."""
        return next(self._numbers)

    def expect(self, number: int) -> Reply:
        """The reply to the line with this number, which is not written yet."""
        reply = Reply()
        with self._lock:
            if self.is_closed:
                reply.put(None)
            self._replies[number] = reply
        return reply

    @property
    def has_greeted(self) -> bool:
        """Whether the host knows that this service has started."""
        return self._has_greeted

    def greet(self, **facts: Any) -> None:
        """Answers the first ping, as soon as it has come: the service has started."""
        with self._lock:
            self._hello = {"edition": EDITION, **facts}
        self._pong(None)

    def _pong(self, number: Any) -> None:
        with self._lock:
            if number is not None and not self._has_greeted:
                self._first_ping = number
            if not self._has_greeted:
                if self._hello is None or self._first_ping is None:
                    return
                self._has_greeted = True
                line = {"pong": self._first_ping, **self._hello}
            elif number is not None:
                line = {"pong": number}
            else:
                return
        self.write(line)

    def read(self) -> None:
        """Reads lines until there are no more."""
        for text in self._reader:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if "id" in line:
                self.on_message(line)
            elif "ping" in line:
                self._pong(line["ping"])
            elif line.get("stop"):
                self.on_stop()
            else:
                number = line.get("sent", line.get("subscribed"))
                with self._lock:
                    reply = self._replies.pop(number, None)
                if reply is not None:
                    reply.put(line)
        with self._lock:
            self.is_closed = True
            replies = list(self._replies.values())
            self._replies.clear()
        for reply in replies:
            reply.put(None)
        self.on_stop()

    def start(self) -> threading.Thread:
        """Reads lines in a thread of its own."""
        thread = threading.Thread(target=self.read, name="zrecipe host", daemon=True)
        thread.start()
        return thread

    def fail(self, reason: str, hint: Optional[str] = None) -> None:
        """Tells why this program cannot work."""
        self.write({"fatal": reason, **({"hint": hint} if hint else {})})
