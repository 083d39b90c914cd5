"""Tests of services without a broker: one message in, what the service makes of it out.

>>> from zrecipe.testing import Worker
>>> with Worker("spots:find_spots") as worker:  # doctest: +SKIP
...     done = worker.send({"file": "a.h5"})
...     assert done.payloads("result") == [{"count": 4}]

A service of ``zrecipe`` and a subclass of ``workflows``' ``CommonService`` are tested alike: the service runs in a
separate process, as zrecipe starts it.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping

__all__ = ["Done", "Failed", "Worker"]

DEFAULT_TIMEOUT = 60.0
"""Maximum seconds for the start of a service and for an answer."""


class Failed(AssertionError):
    """The service cannot start, has ended, or does not answer."""


@dataclass
class Done:
    """What a service made of a message."""

    outcome: str
    """``accepted``, ``refused`` (dead-lettered) or ``retry``."""
    reason: str | None
    """Why it was rejected or is retried."""
    outputs: list[dict[str, Any]] = field(default_factory=list)
    """What it sends, as in the worker protocol."""
    sends: list[dict[str, Any]] = field(default_factory=list)
    """Outputs that it sent immediately, before its answer."""
    environment: dict[str, Any] | None = None
    """Recipe environment of its outputs, if the service sets one."""
    checkpoint: Any = None
    """State with which the step receives the message again."""
    logs: list[dict[str, Any]] = field(default_factory=list)
    """Records of its log."""

    def payloads(self, channel: str | None = None) -> list[Any]:
        """The payloads that it sends on a channel; without one, on the default one."""
        return [output.get("payload") for output in self.outputs if output.get("channel") == channel]

    def to_queue(self, name: str) -> list[Any]:
        """The payloads that it sends to a queue instead of a channel."""
        both = [*self.outputs, *self.sends]
        return [_body(output) for output in both if output.get("destination", {}).get("queue") == name]

    def to_topic(self, name: str) -> list[Any]:
        """The payloads that it broadcasts on a topic."""
        both = [*self.outputs, *self.sends]
        return [_body(output) for output in both if output.get("destination", {}).get("topic") == name]


def _body(output: Mapping[str, Any]) -> Any:
    if "text" not in output:
        return output.get("payload")
    try:
        return json.loads(output["text"])
    except ValueError:
        return output["text"]


class Worker:
    """A service in a separate process; ends with the ``with`` block."""

    def __init__(
        self,
        service: str | type | Any,
        *,
        site: str | None = None,
        environments: tuple[str, ...] = (),
        python: str = sys.executable,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Starts it.

        Args:
            service: ``module:Class``, the name of an entry point, or the class or function itself.
            site: Site configuration for services of ``zocalo``.
            environments: Site environments.
            python: Interpreter.
            timeout: Maximum seconds for the start and for an answer.

        Raises:
            Failed: It cannot start.
        """
        self.name = service if isinstance(service, str) else _path(service)
        self._timeout = timeout
        command = [python, "-m", "zrecipe.bridge", "service", self.name]
        command += [] if site is None else ["--site", site]
        command += [part for name in environments for part in ("-e", name)]
        paths = [path or os.getcwd() for path in sys.path]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            encoding="utf-8",
        )
        self._heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._numbers = itertools.count(2)
        self._subscriptions: dict[str, int] = {}
        self.sends: list[dict[str, Any]] = []
        """Outputs that it sent immediately so far, including those of timers and of its start."""
        self.logs: list[dict[str, Any]] = []
        """Records of its log without a message."""
        threading.Thread(target=self._read, daemon=True).start()
        self._say({"ping": 1})
        self.hello = self._await(lambda line: "pong" in line, Done("accepted", None))
        """What it says of itself: ``name``, ``class``, ``queues``."""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(
        self,
        payload: Any = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        environment: Mapping[str, Any] | None = None,
        output: Any = None,
        headers: Mapping[str, Any] | None = None,
        queue: str | None = None,
        step: Mapping[str, Any] | None = None,
    ) -> Done:
        """Sends a message of a recipe and waits for what becomes of it.

        Args:
            payload: Payload of the message.
            parameters: ``parameters`` of the step.
            environment: Environment of the recipe.
            output: ``output`` of the step: an object of channels, or None for an unnamed output.
            headers: Headers of the message.
            queue: Queue, where the service has several.
            step: Further keys of the step.
        """
        name = queue or self._first_queue()
        whole = {"queue": name, "parameters": dict(parameters or {}), "output": 2 if output is None else output}
        whole.update(step or {})
        recipe = {"1": whole, "2": {"queue": "next"}, "start": [[1, []]]}
        return self._ask(
            {
                "queue": name,
                "headers": {"workflows-recipe": True, **(headers or {})},
                "step": whole,
                "parameters": whole["parameters"],
                "environment": {"ID": "test", **(environment or {})},
                "payload": payload,
                "recipe": recipe,
                "pointer": 1,
                "path": [],
            }
        )

    def send_plain(
        self, payload: Any, *, headers: Mapping[str, Any] | None = None, queue: str | None = None
    ) -> Done:
        """The same for a message without a recipe."""
        name = queue or self._first_queue()
        return self._ask({"queue": name, "headers": dict(headers or {}), "plain": True, "payload": payload})

    def broadcast(self, topic: str, payload: Any, *, headers: Mapping[str, Any] | None = None) -> Done:
        """The same for a broadcast on a topic to which the service has subscribed."""
        number = self._subscriptions.get(topic)
        if number is None:
            raise Failed(f"{self.name} has not subscribed to topic {topic}")
        line = {"topic": topic, "subscription": number, "headers": dict(headers or {}), "plain": True}
        return self._ask({**line, "payload": payload})

    def wait_for_send(self, timeout: float | None = None) -> dict[str, Any]:
        """Waits for something that the service sends without a message: by a timer."""
        while not self.sends:
            self._await(lambda line: "send" in line, Done("accepted", None), timeout)
        return self.sends.pop(0)

    def close(self) -> int:
        """Lets it end; its exit status."""
        if self._process.poll() is None:
            self._say({"stop": True})
            try:
                self._process.wait(self._timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return self._process.wait()

    def _first_queue(self) -> str:
        queues = self.hello.get("queues") or []
        if not queues:
            raise Failed(f"{self.name} takes messages from no queue")
        return str(queues[0]["queue"])

    def _read(self) -> None:
        for text in self._process.stdout or ():
            try:
                self._heard.put(json.loads(text))
            except ValueError:
                continue
        self._heard.put(None)

    def _say(self, line: Mapping[str, Any]) -> None:
        if self._process.stdin is None:
            return
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass

    def _ask(self, message: Mapping[str, Any]) -> Done:
        number = next(self._numbers)
        line = {"id": number, "message_id": f"test-{number}", "deliveries": 1, "redelivered": False, **message}
        self._say(line)
        done = Done("accepted", None)
        answer = self._await(lambda line: line.get("id") == number and "send" not in line, done)
        done.outputs += answer.get("outputs", [])
        done.environment, done.checkpoint = answer.get("environment"), answer.get("checkpoint")
        for key, outcome in (("bad", "refused"), ("later", "retry")):
            if key in answer:
                done.outcome, done.reason = outcome, answer[key]
        return done

    def _await(self, is_it: Any, done: Done, timeout: float | None = None) -> dict[str, Any]:
        """The next line that is looked for; what comes before it is taken."""
        for line in self._listen(timeout):
            if "send" in line and "id" in line:
                done.outputs += line["send"]
            elif "send" in line:
                done.sends += line["send"]
                self.sends += line["send"]
                if "n" in line:
                    self._say({"sent": line["n"]})
            elif "subscribe" in line:
                wish = line["subscribe"]
                self._subscriptions[wish.get("topic") or wish.get("queue") or wish.get("temporary")] = line["n"]
                self._say({"subscribed": line["n"]})
            elif "log" in line:
                (done.logs if "about" in line["log"] else self.logs).append(line["log"])
            if is_it(line):
                return line
        raise Failed(f"{self.name} has ended")

    def _listen(self, timeout: float | None) -> Iterator[dict[str, Any]]:
        while True:
            try:
                line = self._heard.get(timeout=timeout or self._timeout)
            except queue.Empty:
                raise Failed(f"{self.name} does not answer within {timeout or self._timeout} s") from None
            if line is None:
                return
            if "fatal" in line:
                raise Failed(f"{line['fatal']}" + (f"; {line['hint']}" if line.get("hint") else ""))
            yield line


def _path(service: Any) -> str:
    definition = getattr(service, "definition", None)
    if definition is not None:
        return str(definition().path)
    return f"{service.__module__}:{service.__qualname__}"
