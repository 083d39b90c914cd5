"""Runs a service class of ``workflows`` as a worker."""

from __future__ import annotations

import faulthandler
import logging
import queue
import signal
import sys
import threading
import traceback
from typing import Any

from zrecipe.bridge import entry_points, site
from zrecipe.bridge.lines import Host, describe


def enable_tracebacks() -> None:
    """SIGUSR2 writes the stacks of all threads to standard error."""
    try:
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR2)
    except (AttributeError, ValueError, OSError):
        pass


class Commands:
    """The end of a pipe from which a service gets its commands."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Any] = queue.Queue()
        self._next: Any = None

    def send(self, command: Any) -> None:
        self._waiting.put(command)

    def poll(self, timeout: float | None = 0) -> bool:
        if self._next is None:
            try:
                self._next = self._waiting.get(True, timeout) if timeout else self._waiting.get_nowait()
            except queue.Empty:
                return False
        return True

    def recv(self) -> Any:
        command = self._next if self._next is not None else self._waiting.get()
        self._next = None
        return command


class Frontend:
    """The end of a pipe to which a service tells how it is."""

    ERROR = 7
    """Status of a service that has failed (`workflows.services.common_service.Status`)."""

    def __init__(self, host: Host, transport: Any, commands: Commands) -> None:
        self._host = host
        self._transport = transport
        self._commands = commands
        self.has_failed = False
        self.is_verbose = False
        self.last_error: str | None = None

    def send(self, data: Any) -> None:
        band = data.get("band") if isinstance(data, dict) else None
        if band == "log":
            self.log(data["payload"])
        elif band == "status_update":
            self.has_failed = data.get("statuscode") == self.ERROR
        elif band == "set_name" and data.get("name"):
            self._host.write({"name": str(data["name"])})
        elif band == "request_termination":
            self._host.write({"terminate": True})

    def log(self, record: logging.LogRecord) -> None:
        """A record of the log, with what `extend_log` has added."""
        delivery = self._transport.current
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            self.last_error = message
            if delivery is not None:
                delivery.complaint = message
        line: dict[str, Any] = {"level": record.levelname, "logger": record.name, "message": message}
        text = record.exc_text
        if not text and record.exc_info and record.exc_info[0] is not None:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if text:
            line["traceback"] = text
        recipe_id = getattr(record, "recipe_ID", None)
        if recipe_id:
            line["recipe_ID"] = str(recipe_id)
        if delivery is not None:
            line["about"] = delivery.id
        self._host.write({"log": line})


def run(name: str, site_file: str | None, environments: list[str], verbose: bool) -> int:
    """Runs a service until the host ends it. Returns the exit status."""
    host = Host.take_over()
    enable_tracebacks()
    host.start()
    try:
        made = _make(name, host, site_file, environments)
    except entry_points.Missing as error:
        cause = error.__cause__
        # Which module is missing says enough.
        if cause is not None and not isinstance(cause, ModuleNotFoundError):
            traceback.print_exception(type(cause), cause, cause.__traceback__)
        host.fail(str(error), error.hint)
        return 1
    except Exception as error:
        traceback.print_exc()
        host.fail(f"service `{name}` cannot be made: {describe(error)}")
        return 1
    if made is None:
        return 0
    service, transport, commands, frontend = made
    failure: list[BaseException] = []
    initializing = service.initializing

    def announce() -> None:
        queues = [{"queue": channel, "prefetch": prefetch} for channel, prefetch in transport.queues]
        host.greet(name=service.get_name(), **{"class": type(service).__name__}, begins=True, queues=queues)

    def start() -> None:
        try:
            initializing()
        except BaseException as error:
            failure.append(error)
            raise
        if not host.has_greeted:
            announce()

    connect = transport.connect

    def connected() -> bool:
        # Critical records come as records, and not on standard error as well.
        root = logging.getLogger()
        for handler in list(root.handlers):
            if type(handler) is logging.StreamHandler:
                root.removeHandler(handler)
        return bool(connect())

    transport.announce = announce
    service.initializing = start
    transport.connect = connected
    service.start(verbose_log=verbose)
    if not host.has_greeted:
        cause = failure[0] if failure else None
        reason = describe(cause) if cause else frontend.last_error or "it ended at once"
        host.fail(f"service `{name}` cannot start: {reason}")
        return 1
    return 1 if frontend.has_failed else 0


def _make(name: str, host: Host, site_file: str | None, environments: list[str]) -> Any:
    found = entry_points.load(name, entry_points.SERVICES)
    own = getattr(found, "_zrecipe_run", None)
    if own is not None:
        own(host)
        return None
    try:
        from workflows.services.common_service import CommonService

        from zrecipe.bridge import transport as bridge
    except ModuleNotFoundError as error:
        raise entry_points.Missing(
            f"the package `workflows` cannot be imported: {error}",
            f"`{sys.executable} -m pip install workflows` installs it",
        ) from error
    if not (isinstance(found, type) and issubclass(found, CommonService)):
        raise entry_points.Missing(f"`{name}` is not a subclass of CommonService of the package `workflows`")
    bridge.install()
    commands = Commands()
    transport = bridge.BridgeTransport(host)
    frontend = Frontend(host, transport, commands)
    service: Any = found(environment=site.environment(site_file, environments))
    service.connect(frontend=frontend, commands=commands)
    service.transport = transport
    has_stopped = threading.Event()

    def stop() -> None:
        if not has_stopped.is_set():
            has_stopped.set()
            commands.send({"band": "command", "payload": "shutdown"})

    host.on_message, host.on_stop = transport.take, stop
    return service, transport, commands, frontend
