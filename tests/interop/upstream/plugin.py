"""Runs upstream's own tests of services and of the recipe wrapper with the transport of the bridge (``pytest -p plugin``).

The tests of ``workflows`` and ``zocalo`` construct an ``OfflineTransport`` or a mock where a service has its transport.
This plug-in replaces the first by the transport of the bridge, and lets each call of the second also be a call of it.
The other end of the transport is a small host, which speaks the worker protocol and records its lines. After each test
the messages and settlements that the host has received are compared with the calls.
"""

from __future__ import annotations

import functools
import json
import os
import threading
from typing import Any, Callable, Dict, Iterator, List, Tuple
from unittest import mock

import pytest
import workflows.recipe
import workflows.recipe.wrapper
import workflows.transport.offline_transport
from workflows.services.common_service import CommonService
from zrecipe.bridge import transport as bridge
from zrecipe.bridge.lines import Host, Line

DIFFERENT: Dict[str, str] = {
    "test.py::test_enumerate_services": "lists the installed packages; workflows 3.3 registers a sample that it omits",
}
"""Tests that cannot have a meaning here, by file and function, with the reason."""

METHODS = (
    "connect",
    "subscribe",
    "subscribe_broadcast",
    "subscribe_temporary",
    "send",
    "raw_send",
    "broadcast",
    "raw_broadcast",
    "ack",
    "nack",
    "transaction_begin",
    "transaction_abort",
    "transaction_commit",
)
"""Methods of a mock that are also called on the transport of the bridge."""

HANDED = "messages of the test"
"""Queue of the messages that a test hands to a service without its transport."""

TIMEOUT = 10.0
"""Maximum seconds until the transport takes a line."""

WRITTEN = bridge.json_serializer
RECIPE_HEADERS = {"workflows-recipe": True}


def serializer(value: Any) -> Any:
    """A value as ``workflows`` writes it; sentinels and mocks of tests by their names."""
    if isinstance(value, (type(mock.sentinel.x), mock.NonCallableMock)):
        return repr(value)
    return WRITTEN(value) if WRITTEN else str(value)


def plain(value: Any) -> Any:
    """A value after its way through JSON."""
    return json.loads(json.dumps(value, default=serializer))


class StandIn:
    """The host: what the transport writes comes here, and the answers go back through a pipe."""

    def __init__(self) -> None:
        reading, self._pipe = os.pipe()
        self.host = Host(os.fdopen(reading, "rb"), self)  # type: ignore[arg-type]
        self.host.on_message = self._message
        self.take: Callable[[Line], None] = lambda line: None
        self.lines: List[Line] = []
        self.published: List[Line] = []
        """Messages, in their order."""
        self.settled: List[Tuple[int, str]] = []
        """Ids of messages with ``ack``, ``requeue`` or ``dead-letter``."""
        self.messages: Dict[int, Line] = {}
        self._taken = threading.Event()
        self._thread = self.host.start()
        self.say({"ping": 1})

    def close(self) -> None:
        os.close(self._pipe)
        self._thread.join(TIMEOUT)

    def say(self, line: Line) -> None:
        os.write(self._pipe, json.dumps(line, default=serializer).encode() + b"\n")

    def deliver(self, line: Line) -> None:
        """Sends a message, and waits until the transport has it."""
        self.messages[line["id"]] = line
        self._taken.clear()
        self.say(line)
        assert self._taken.wait(TIMEOUT), "the transport takes no message"

    def _message(self, line: Line) -> None:
        try:
            self.take(line)
        finally:
            self._taken.set()

    def write(self, data: bytes) -> None:
        """The end that the transport writes to."""
        line = json.loads(data)
        self.lines.append(line)
        if "id" in line:
            self._answer(line)
        elif "send" in line:
            self.published += [self._named(output) for output in line["send"]]
            self.say({"sent": line["n"]})
        elif "subscribe" in line:
            self.say({"subscribed": line["n"]})

    def flush(self) -> None:
        """Each line is taken at once."""

    def _answer(self, line: Line) -> None:
        message = self.messages[line["id"]]
        for output in [*line.get("send", []), *line.get("outputs", [])]:
            if "destination" in output:
                self.published.append(self._named(output))
            else:
                self.published += self._along(message, line, output)
        if "checkpoint" in line:
            path = message.get("path", [])
            step = self._step(message, line, message["pointer"], path, line["checkpoint"])
            self.published.append({**step, "delay": float(line.get("after", 0))})
        outcome = "dead-letter" if "bad" in line else "requeue" if "later" in line else "ack"
        self.settled.append((line["id"], outcome))

    @staticmethod
    def _named(output: Line) -> Line:
        """A message for a destination that the service has named."""
        options = {key: float(output.get(key, 0)) for key in ("delay", "expiration")}
        return {**output["destination"], "text": output["text"], "headers": output.get("headers", {}), **options}

    def _along(self, message: Line, answer: Line, output: Line) -> Iterator[Line]:
        """Messages for the steps that a channel leads to."""
        step = message["recipe"][str(message["pointer"])]
        links = step.get("output")
        if isinstance(links, dict):
            links = links.get(output.get("channel"), [])
        for pointer in links if isinstance(links, list) else [links]:
            path = [*message.get("path", []), message["pointer"]]
            whole = self._step(message, answer, pointer, path, output["payload"])
            delay = message["recipe"][str(pointer)].get("transport-delay", 0)
            whole["delay"] = float(output.get("delay") or delay)
            whole["headers"] = {**whole["headers"], **output.get("headers", {})}
            yield whole

    @staticmethod
    def _step(message: Line, answer: Line, pointer: int, path: List[int], payload: Any) -> Line:
        step = message["recipe"][str(pointer)]
        whole = {
            "environment": answer.get("environment", message.get("environment")),
            "payload": payload,
            "recipe": message["recipe"],
            "recipe-path": path,
            "recipe-pointer": pointer,
        }
        place = {key: str(step[key]) for key in ("queue", "topic", "exchange") if key in step}
        return {**place, "text": json.dumps(whole), "headers": RECIPE_HEADERS, "delay": 0.0, "expiration": 0.0}


class Upstream(bridge.BridgeTransport):
    """The transport of the bridge; records what it is called for."""

    used: List[Upstream] = []
    """Those that the test at hand has made."""

    def __init__(self, middleware: Any = None) -> None:
        self.stand_in = StandIn()
        super().__init__(self.stand_in.host)
        for each in middleware or []:
            self.add_middleware(each)
        self.stand_in.take = self.take
        self.calls = 0
        self.subscribed: List[str] = []
        self.expected: List[Line] = []
        self.expected_settled: List[Tuple[int, str]] = []
        self._open: Dict[int, Tuple[List[Line], List[Tuple[int, str]]]] = {}
        self.names: Dict[int, Any] = {}
        """What the values of a mock stand for, by the identity of the value."""
        self._kept: List[Any] = []
        self._own: List[int] = []
        self._handed = super().subscribe(HANDED, lambda header, message: None, acknowledgement=True)
        self.announce = self._greet
        self.used.append(self)

    def _greet(self) -> None:
        if not self.host.has_greeted:
            queues = [{"queue": queue, "prefetch": prefetch} for queue, prefetch in self.queues]
            self.host.greet(name="upstream", begins=True, queues=queues)
            wait = threading.Event()
            for _ in range(1000):
                if self.host.has_greeted:
                    return
                wait.wait(0.01)
            raise AssertionError("the transport does not greet")

    # -- Messages that a test hands to a service itself --

    def name(self, value: Any, real: Any) -> None:
        """A value of a test stands for a real one."""
        self._kept.append(value)
        self.names[id(value)] = real

    def hand(self, message: Any = None) -> bridge.Delivery:
        """The host delivers a message; the test calls the service with it."""
        self._greet()
        number = len(self.stand_in.messages) + 2
        line: Line = {"id": number, "message_id": f"test-{number}", "queue": HANDED, "deliveries": 1}
        if isinstance(message, dict) and "recipe" in message:
            recipe = message["recipe"]
            line["recipe"] = plain(getattr(recipe, "recipe", recipe))
            line["pointer"], line["path"] = int(message["recipe-pointer"]), message.get("recipe-path", [])
            line["environment"], line["payload"] = message.get("environment", {}), message.get("payload")
        else:
            line.update(plain=True, payload=message)
        self.stand_in.deliver(line)
        return self._deliveries[number]

    def begin_recipe(self, message: Any) -> None:
        """The test works at this message of a recipe from now on."""
        delivery = self.hand(message)
        delivery.message = message
        self.current = delivery

    def _delivery(self, message: Any) -> int:
        """The id of the message that a test settles; a test may use one header for several messages."""
        value = message.get("message-id", message) if isinstance(message, dict) else message
        found = self.names.get(id(value), value)
        if isinstance(found, int) and found in self._deliveries and found not in self._settling():
            return found
        current = self.current
        if current is None or current.is_settled or current.id in self._settling():
            current = self.hand()
        self.name(value, current.id)
        return current.id

    def _settling(self) -> List[int]:
        return [number for _, settled in self._open.values() for number, _ in settled]

    def _transaction_of(self, value: Any) -> int:
        """A transaction; one that only the test knows begins now."""
        found = self.names.get(id(value), value)
        if isinstance(found, int):
            return found
        self.name(value, self.transaction_begin())
        self._own.append(self.names[id(value)])
        return self._own[-1]

    # -- Calls --

    def subscribe(self, channel: Any, callback: Any, *_: Any, **kwargs: Any) -> int:
        # Tests with a mock pass further positional arguments, which no transport of workflows takes.
        self._called(f"queue {channel}")
        return super().subscribe(channel, callback, **kwargs)

    def subscribe_broadcast(self, channel: Any, callback: Any, *_: Any, **kwargs: Any) -> int:
        self._called(f"topic {channel}")
        return super().subscribe_broadcast(channel, callback, **kwargs)

    def subscribe_temporary(self, channel_hint: Any, callback: Any, *_: Any, **kwargs: Any) -> Any:
        found = super().subscribe_temporary(channel_hint, callback, **kwargs)
        self._called(f"temporary {found.queue_name}")
        return found

    def _called(self, subscription: str | None = None) -> None:
        self.calls += 1
        if subscription:
            self.subscribed.append(subscription)

    def _publish(self, call: Any, destination: Any, message: Any, kwargs: Dict[str, Any]) -> None:
        self._called()
        self._greet()
        if kwargs.get("transaction") is not None:
            kwargs["transaction"] = self._transaction_of(kwargs["transaction"])
        call(destination, message, **kwargs)

    def send(self, destination: Any, message: Any, **kwargs: Any) -> None:
        self._publish(super().send, destination, message, kwargs)

    def raw_send(self, destination: Any, message: Any, **kwargs: Any) -> None:
        self._publish(super().raw_send, destination, message, kwargs)

    def broadcast(self, destination: Any, message: Any, **kwargs: Any) -> None:
        self._publish(super().broadcast, destination, message, kwargs)

    def raw_broadcast(self, destination: Any, message: Any, **kwargs: Any) -> None:
        self._publish(super().raw_broadcast, destination, message, kwargs)

    def _send(self, destination: Any, message: Any, **kwargs: Any) -> None:
        self._expect({"queue": str(destination)}, message, kwargs)
        super()._send(destination, message, **kwargs)

    def _broadcast(self, destination: Any, message: Any, **kwargs: Any) -> None:
        self._expect({"topic": str(destination)}, message, kwargs)
        super()._broadcast(destination, message, **kwargs)

    def _expect(self, place: Line, message: Any, kwargs: Dict[str, Any]) -> None:
        """What upstream's transports would publish now, after the middleware."""
        text = message if isinstance(message, str) else json.dumps(message, default=serializer)
        headers = {str(key): plain(value) for key, value in (kwargs.get("headers") or {}).items()}
        whole: Line = {**place, "text": text, "headers": headers}
        whole.update({key: float(kwargs.get(key) or 0) for key in ("delay", "expiration")})
        if kwargs.get("exchange"):
            whole["exchange"] = kwargs["exchange"]
        number = kwargs.get("transaction")
        (self.expected if number is None else self._open[number][0]).append(whole)

    def _settle(self, call: Any, outcome: str, message: Any, kwargs: Dict[str, Any]) -> None:
        self._called()
        settled = self.expected_settled
        number = self._delivery(message)
        if kwargs.get("transaction") is not None:
            kwargs["transaction"] = self._transaction_of(kwargs["transaction"])
            settled = self._open[kwargs["transaction"]][1]
        call(number, self._handed, **kwargs)
        settled.append((number, outcome))

    def ack(self, message: Any, subscription_id: Any = None, **kwargs: Any) -> None:
        self._settle(super().ack, "ack", message, kwargs)

    def nack(self, message: Any, subscription_id: Any = None, **kwargs: Any) -> None:
        outcome = "requeue" if kwargs.get("requeue", True) else "dead-letter"
        self._settle(super().nack, outcome, message, kwargs)

    def transaction_begin(self, *args: Any, **kwargs: Any) -> int:
        self._called()
        number = int(super().transaction_begin(*args, **kwargs))
        self._open[number] = ([], [])
        return number

    def transaction_abort(self, transaction_id: Any, **kwargs: Any) -> None:
        self._called()
        number = self._transaction_of(transaction_id)
        super().transaction_abort(number, **kwargs)
        del self._open[number]

    def transaction_commit(self, transaction_id: Any, **kwargs: Any) -> None:
        self._called()
        number = self._transaction_of(transaction_id)
        super().transaction_commit(number, **kwargs)
        published, settled = self._open.pop(number)
        self.expected += published
        self.expected_settled += settled

    def record_along(  # type: ignore[override]
        self, wrapper: Any, kind: str, channel: Any, payload: Any, options: Line, transaction: Any, send: Any
    ) -> Any:
        number = self._transaction_of(transaction)
        return super().record_along(wrapper, kind, channel, payload, options, number, send)

    # -- The end of a test --

    def check(self) -> None:
        """Compares what the host has received with what the transport was called for."""
        for number in self._own:
            # The test has left it open.
            if number in self._open:
                if self.current is not None and not self.current.is_settled:
                    self.ack(self.current.id, transaction=number)
                self.transaction_commit(number)
        read = [{**message, "text": _read(message["text"])} for message in self.stand_in.published]
        assert read == [{**message, "text": _read(message["text"])} for message in self.expected]
        assert self.stand_in.settled == self.expected_settled
        wishes = [line["subscribe"] for line in self.stand_in.lines if "subscribe" in line]
        kinds = [f"{kind} {wish[kind]}" for wish in wishes for kind in ("queue", "topic", "temporary") if kind in wish]
        queues = [f"queue {queue}" for queue, _ in self.queues if queue != HANDED]
        assert sorted(kinds + queues) == sorted(self.subscribed)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def back(transport: Any) -> Any:
    """Lets each call of a mock be a call of the transport of the bridge as well. Returns that transport, if it is one."""
    if isinstance(transport, Upstream) and not isinstance(transport, mock.NonCallableMock):
        return transport
    if not isinstance(transport, mock.NonCallableMock) or not hasattr(transport, "transaction_begin"):
        return None
    if "_upstream" in vars(transport):
        return vars(transport)["_upstream"]
    real = Upstream()
    vars(transport)["_upstream"] = real
    for name in METHODS:
        _forward(real, getattr(transport, name), name)
    for name in ("is_recording", "record_along"):
        vars(transport)[name] = getattr(real, name)
    vars(transport)["current"] = None
    # `mock` supports this: the recipe wrapper of the bridge is to see its transport.
    transport.__class__ = Upstream
    return real


def _forward(real: Upstream, method: Any, name: str) -> None:
    state = method if isinstance(method, mock.NonCallableMock) else method.mock
    is_chosen = isinstance(method, mock.NonCallableMock) and state._mock_return_value is not mock.DEFAULT

    def forward(*args: Any, **kwargs: Any) -> Any:
        result = getattr(real, name)(*args, **kwargs)
        if is_chosen:
            # The test has chosen the value; it stands for the real one.
            real.name(method.return_value, result)
            return mock.DEFAULT
        method.return_value = result
        return result

    if method.side_effect is None:
        method.side_effect = forward


class _Transport:
    """`CommonService._transport`: a mock of a transport gets the transport of the bridge behind it."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else vars(instance).get("_transport")

    def __set__(self, instance: Any, value: Any) -> None:
        back(value)
        vars(instance)["_transport"] = value
        # A mock of a site configuration has everything, tracing included, whose header the tests do not expect. They
        # fail for it with upstream's own transport as well.
        config = vars(instance).get("_environment", {}).get("config")
        if isinstance(config, mock.NonCallableMock):
            config._opentelemetry = None


def _wrap_subscriptions(name: str) -> None:
    wrapped = getattr(workflows.recipe, name)

    @functools.wraps(wrapped)
    def subscribe(transport: Any, *args: Any, **kwargs: Any) -> Any:
        back(transport)
        return wrapped(transport, *args, **kwargs)

    setattr(workflows.recipe, name, subscribe)


def _wrap_recipes() -> None:
    wrapper: Any = workflows.recipe.wrapper.RecipeWrapper
    construct = wrapper.__init__

    @functools.wraps(construct)
    def new_construct(self: Any, *args: Any, **kwargs: Any) -> None:
        transport, message = kwargs.get("transport"), kwargs.get("message")
        real = back(transport)
        if real is not None and message is not None:
            real.begin_recipe(message)
            if transport is not real:
                vars(transport)["current"] = real.current
        construct(self, *args, **kwargs)

    wrapper.__init__ = new_construct


def pytest_configure(config: pytest.Config) -> None:
    bridge.json_serializer = serializer
    bridge.install()
    offline: Any = workflows.transport.offline_transport
    offline.OfflineTransport = Upstream
    service: Any = CommonService
    service._transport = _Transport()
    _wrap_recipes()
    for name in ("wrap_subscribe", "wrap_subscribe_broadcast"):
        _wrap_subscriptions(name)


class Counts:
    """Of the tests: how many have used the transport, and which are deliberately different."""

    through = 0
    calls = 0
    different: Dict[str, str] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    kept = []
    for item in items:
        name = f"{item.path.name}::{item.name}"
        reason = DIFFERENT.get(name)
        if reason is None:
            kept.append(item)
        else:
            Counts.different[name] = reason
            config.hook.pytest_deselected(items=[item])
    items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    try:
        result = yield
        for transport in Upstream.used:
            transport.check()
        calls = sum(transport.calls for transport in Upstream.used)
        Counts.calls += calls
        Counts.through += calls > 0
        return result
    finally:
        for transport in Upstream.used:
            transport.stand_in.close()
        Upstream.used.clear()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    stats = terminalreporter.stats
    count = {name: len(stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
    for name, reason in sorted(Counts.different.items()):
        terminalreporter.write_line(f"different: {name}: {reason}")
    terminalreporter.write_line(
        f"upstream: {count['passed']} passed ({Counts.through} with {Counts.calls} calls of the bridge's transport), "
        f"{len(Counts.different)} different, {count['failed'] + count['error']} failed, {count['skipped']} skipped"
    )
