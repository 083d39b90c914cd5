"""Services in Python: a function or a class becomes a service and its contract.

>>> import zrecipe
>>> from pydantic import BaseModel
>>>
>>> class Image(BaseModel):
...     file: str
...
>>> class Spots(BaseModel):
...     count: int
...
>>> @zrecipe.service("spots")
... def find_spots(message: zrecipe.Message[Image, dict]) -> Spots:
...     return Spots(count=len(message.payload.file))

``python -m zrecipe.services spots:find_spots -o contracts`` writes the contract, and ``zrecipe run`` starts the service.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import logging
import queue
import sys
import traceback
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Generic, Iterable, Mapping, TypeVar, Union

from zrecipe.bridge.lines import describe

if TYPE_CHECKING:
    from zrecipe.bridge.lines import Host

__all__ = ["Later", "Message", "Output", "Refuse", "Service", "service"]

Payload = TypeVar("Payload")
Parameters = TypeVar("Parameters")

DEFAULT_CHANNEL = "result"
"""Channel on which a service sends what it returns."""


class Refuse(Exception):
    """The message can never be processed: it is dead-lettered."""


class Later(Exception):
    """The message cannot be processed now: it is retried."""

    def __init__(self, reason: str, after: float = 5.0) -> None:
        super().__init__(reason)
        self.after = after
        """Seconds until the next attempt."""


@dataclass
class Output:
    """What a service sends."""

    payload: Any = None
    """A model, or what JSON can say."""
    channel: str | None = None
    """Channel; none: the default one."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Headers of the message."""
    delay: float | None = None
    """Seconds until it is delivered."""
    expiration: float | None = None
    """Seconds after which it is dropped if no service has taken it."""
    queue: str | None = None
    """Queue instead of a channel; ``sends`` of the service must allow it."""
    topic: str | None = None
    """The same for a topic."""

    def line(self) -> dict[str, Any]:
        """The output in the worker protocol."""
        line: dict[str, Any] = {"payload": plain(self.payload)}
        if self.queue is not None or self.topic is not None:
            line["destination"] = {"queue": self.queue} if self.queue is not None else {"topic": self.topic}
        elif self.channel is not None:
            line["channel"] = self.channel
        for key, value in (("headers", dict(self.headers)), ("delay", self.delay), ("expiration", self.expiration)):
            if value:
                line[key] = value
        return line


@dataclass
class Message(Generic[Payload, Parameters]):
    """A message for a service."""

    payload: Payload
    """What the previous step sent."""
    parameters: Parameters
    """``parameters`` of the step."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Environment of the recipe; additions are sent with the outputs."""
    step: dict[str, Any] = field(default_factory=dict)
    """The step of the recipe."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Headers of the message."""
    deliveries: int = 1
    """Number of deliveries, including this one."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """The whole recipe."""
    send: Callable[[Output], None] = lambda output: None
    """Sends an output before the end of the message; it is part of the same settlement."""

    @property
    def recipe_id(self) -> str | None:
        """The recipe ID."""
        return self.environment.get("ID")


Result = Union[None, Output, Iterable[Output], Any]
Handler = Callable[["Message[Any, Any]"], Result]


class Service:
    """A service that is a class, for what has to be set up once.

    Subclasses set :attr:`queue` and override :meth:`handle`; its annotation says what payload and parameters are.
    """

    queue: str
    """Queue from which it takes messages."""
    name: str | None = None
    """Name in recipes; none: the name of the class."""
    description: str | None = None
    """What it does; none: the first line of the documentation."""
    channels: Mapping[str, Any] | None = None
    """What it sends by channel: models, or None for anything. None: what :meth:`handle` returns, on ``result``."""
    sends: tuple[str, ...] = ()
    """Further queues and topics to which it may send, as patterns."""
    prefetch: int = 1
    """Maximum number of messages that it holds."""
    time_limit: float = 60.0
    """Maximum seconds for a message."""

    def start(self) -> None:
        """Called once before the first message."""

    def handle(self, message: Message[Any, Any]) -> Result:
        """Processes a message. What it returns is sent on the default channel."""
        raise NotImplementedError

    def stop(self) -> None:
        """Called once at the end."""

    @classmethod
    def definition(cls) -> Definition:
        """What the service is."""
        return Definition(
            name=cls.name or cls.__name__,
            queue=cls.queue,
            description=cls.description or _summary(cls),
            handler=cls.handle,
            channels=cls.channels,
            sends=cls.sends,
            prefetch=cls.prefetch,
            time_limit=cls.time_limit,
            path=f"{cls.__module__}:{cls.__qualname__}",
        )

    @classmethod
    def contract(cls) -> dict[str, Any]:
        """The contract of the service."""
        return cls.definition().contract()

    @classmethod
    def _zrecipe_run(cls, host: Host) -> None:
        instance = cls()
        serve(cls.definition(), host, instance.handle, instance.start, instance.stop)


class FunctionService:
    """A service that is a function. Calling it calls the function."""

    def __init__(self, handler: Handler, definition: Definition) -> None:
        self._handler = handler
        self._definition = definition
        self.__doc__ = handler.__doc__
        self.__name__ = definition.name

    def __call__(self, message: Message[Any, Any]) -> Result:
        return self._handler(message)

    def definition(self) -> Definition:
        """What the service is."""
        return self._definition

    def contract(self) -> dict[str, Any]:
        """The contract of the service."""
        return self._definition.contract()

    def _zrecipe_run(self, host: Host) -> None:
        serve(self._definition, host, self._handler)


def service(
    queue: str,
    *,
    name: str | None = None,
    channels: Mapping[str, Any] | None = None,
    sends: tuple[str, ...] = (),
    prefetch: int = 1,
    time_limit: float = 60.0,
) -> Callable[[Handler], FunctionService]:
    """Makes a service of a function; see :class:`Service` for the options."""

    def decorate(handler: Handler) -> FunctionService:
        definition = Definition(
            name=name or str(getattr(handler, "__name__", queue)),
            queue=queue,
            description=_summary(handler),
            handler=handler,
            channels=channels,
            sends=sends,
            prefetch=prefetch,
            time_limit=time_limit,
            path=f"{handler.__module__}:{getattr(handler, '__qualname__', '')}",
        )
        return FunctionService(handler, definition)

    return decorate


@dataclass
class Definition:
    """What a service is: how it is called, and what it takes and sends."""

    name: str
    queue: str
    description: str | None
    handler: Callable[..., Any]
    channels: Mapping[str, Any] | None
    sends: tuple[str, ...]
    prefetch: int
    time_limit: float
    path: str

    def types(self) -> tuple[Any, Any, Any]:
        """Types of payload, parameters and result, as the annotations of the handler say."""
        try:
            hints = typing.get_type_hints(self.handler)
        except NameError as error:
            raise TypeError(f"an annotation of {self.path} is not known where it is defined: {error}") from error
        hints.pop("self", None)
        result = hints.pop("return", Any)
        message = next(iter(hints.values()), Message)
        payload, parameters = typing.get_args(message) or (Any, Any)
        return payload, parameters, result

    def contract(self) -> dict[str, Any]:
        """The contract."""
        payload, parameters, result = self.types()
        contract: dict[str, Any] = {"names": [self.name], "queues": [self.queue]}
        if self.description:
            contract["description"] = self.description
        for key, model in (("parameters", parameters), ("payload", payload)):
            schema = schema_of(model)
            if schema is not None:
                contract[key] = schema
        channels = self.channels
        if channels is None:
            channels = {DEFAULT_CHANNEL: result}
        contract["channels"] = {}
        for number, (channel, model) in enumerate(channels.items()):
            schema = schema_of(model)
            contract["channels"][channel] = {
                **({"default": True} if number == 0 else {}),
                **({"payload": schema} if schema is not None else {}),
            }
        run: dict[str, Any] = {"python": self.path, "prefetch": self.prefetch, "time_limit": self.time_limit}
        run["sends"] = list(self.sends)
        contract["run"] = run
        return contract

    def default_channel(self) -> str:
        """The channel on which results are sent."""
        return next(iter(self.channels), DEFAULT_CHANNEL) if self.channels else DEFAULT_CHANNEL


def schema_of(model: Any) -> dict[str, Any] | None:
    """The JSON Schema of a type, or None where it says nothing."""
    if model is None or model is Any or model is type(None) or isinstance(model, TypeVar):
        return None
    origin = typing.get_origin(model) or model
    if origin in (dict, Dict, typing.Mapping):
        return {"type": "object"}
    if inspect.isclass(origin) and issubclass(origin, Output):
        return None
    simple = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array"}
    if origin in simple:
        return {"type": simple[origin]}
    method = getattr(model, "model_json_schema", None)
    if method is not None:
        schema: dict[str, Any] = method()
        return schema
    if dataclasses.is_dataclass(model):
        try:
            from pydantic import TypeAdapter
        except ModuleNotFoundError:
            return {"type": "object"}
        return dict(TypeAdapter(model).json_schema())
    return None


def read(model: Any, value: Any, what: str) -> Any:
    """A value as the type that a service takes.

    Raises:
        Refuse: It does not fit.
    """
    method = getattr(model, "model_validate", None)
    try:
        if method is not None:
            return method(value)
        if dataclasses.is_dataclass(model) and isinstance(model, type) and isinstance(value, dict):
            return model(**value)
    except (TypeError, ValueError) as error:
        raise Refuse(f"{what} cannot be used: {error}") from error
    return value


def plain(value: Any) -> Any:
    """A value as JSON can say it."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def outputs_of(result: Result, channel: str) -> list[Output]:
    """What a handler returns, as outputs."""
    if result is None:
        return []
    if isinstance(result, Output):
        return [result]
    if inspect.isgenerator(result) or (isinstance(result, list) and all(isinstance(r, Output) for r in result)):
        return [item if isinstance(item, Output) else Output(item, channel) for item in result]
    return [Output(result, channel)]


class _Records(logging.Handler):
    """Hands log records to the host, each as one record."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host
        self.current: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        line: dict[str, Any] = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if self.current is not None:
            line["about"] = self.current
        self._host.write({"log": line})


def serve(
    definition: Definition,
    host: Host,
    handler: Handler,
    start: Callable[[], None] = lambda: None,
    stop: Callable[[], None] = lambda: None,
) -> None:
    """Deals with messages until the host ends it."""
    records = _Records(host)
    logging.getLogger().addHandler(records)
    logging.getLogger().setLevel(logging.INFO)
    waiting: queue.Queue[dict[str, Any] | None] = queue.Queue()
    host.on_message, host.on_stop = waiting.put, lambda: waiting.put(None)
    payload_type, parameters_type, _ = definition.types()
    channel = definition.default_channel()
    start()
    queues = [{"queue": definition.queue, "prefetch": definition.prefetch}]
    host.greet(name=definition.name, **{"class": definition.name}, begins=True, queues=queues)
    while True:
        line = waiting.get()
        if line is None:
            break
        records.current = line["id"]
        host.write({"begun": line["id"]})
        answer = _answer(line, handler, payload_type, parameters_type, channel, host)
        host.write({"id": line["id"], **answer})
        records.current = None
    stop()


def _answer(
    line: dict[str, Any], handler: Handler, payload_type: Any, parameters_type: Any, channel: str, host: Host
) -> dict[str, Any]:
    try:
        message: Message[Any, Any] = Message(
            payload=read(payload_type, line.get("payload"), "the payload"),
            parameters=read(parameters_type, line.get("parameters", {}), "the parameters"),
            environment=line.get("environment", {}),
            step=line.get("step", {}),
            headers=line.get("headers", {}),
            deliveries=line.get("deliveries", 1),
            recipe=line.get("recipe", {}),
            send=lambda output: host.write({"id": line["id"], "send": [output.line()]}),
        )
        outputs = [output.line() for output in outputs_of(handler(message), channel)]
        json.dumps(outputs)
    except Refuse as error:
        return {"bad": str(error)}
    except Later as error:
        return {"later": str(error), "after": error.after}
    except Exception as error:
        logging.getLogger("zrecipe.service").error("%s", describe(error), exc_info=True)
        return {"later": describe(error)}
    return {"outputs": outputs, **({"environment": message.environment} if outputs and message.environment else {})}


def _summary(documented: Any) -> str | None:
    text = inspect.getdoc(documented)
    return text.strip().split("\n")[0] if text else None


def main() -> int:
    """Prints or writes the contract of a service. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zrecipe.services", description="Write contracts of services")
    parser.add_argument("services", nargs="+", metavar="MODULE:NAME", help="functions and classes that are services")
    parser.add_argument("-o", "--output", metavar="DIR", help="directory; without it, contracts are printed")
    arguments = parser.parse_args()
    from zrecipe.bridge.entry_points import SERVICES, Missing, load

    for name in arguments.services:
        try:
            found = load(name, SERVICES)
        except Missing as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        if not hasattr(found, "contract"):
            print(f"error: {name} is not made with zrecipe.service or zrecipe.Service", file=sys.stderr)
            return 2
        contract = found.contract()
        # Where the module is found is decided by whoever names it.
        contract["run"]["python"] = name
        text = json.dumps(contract, indent=2, ensure_ascii=False) + "\n"
        if arguments.output is None:
            print(text, end="")
            continue
        directory = Path(arguments.output)
        directory.mkdir(parents=True, exist_ok=True)
        place = directory / f"{contract['names'][0].lower()}.json"
        place.write_text(text, encoding="utf-8")
        print(f"wrote {place}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
