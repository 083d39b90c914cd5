"""Runs a wrapper class of ``zocalo`` below ``zrecipe wrap``."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from typing import Any

from zrecipe.bridge import entry_points, site
from zrecipe.bridge.service import enable_tracebacks


class Status:
    """What `zocalo.wrap` gives a wrapper as its ``status_thread``; `zrecipe wrap` tells the status itself."""

    def __init__(self, taskname: str) -> None:
        self.taskname = taskname

    def set_static_status_field(self, field: str, value: Any) -> None:
        """Has no counterpart."""

    def set_status(self, status: Any) -> None:
        """Follows from what the wrapper does."""


def _transport(results: str | None) -> Any:
    """A transport that reports along the channels of the step."""
    from workflows.transport.common_transport import CommonTransport

    from zrecipe.bridge.transport import json_serializer

    class Reports(CommonTransport):
        """Appends lines to the file that `zrecipe wrap` reads."""

        channel: str | None = None

        def connect(self) -> bool:
            return True

        def is_connected(self) -> bool:
            return True

        def broadcast_status(self, status: Any) -> None:
            """`zrecipe wrap` does it."""

        def report(self, channel: str, payload: Any) -> None:
            if results:
                line = json.dumps({"channel": channel, "payload": payload}, default=json_serializer)
                with open(results, "a", encoding="utf-8") as file:
                    file.write(line + "\n")

        def _send(self, destination: Any, message: Any, **kwargs: Any) -> None:
            raise NotImplementedError(f"a wrapper under zrecipe sends on channels only, not to `{destination}`")

        _broadcast = _send

    return Reports()


def run(name: str, site_file: str | None, environments: list[str], verbose: bool) -> int:
    """Runs a wrapper. Returns the exit status: 0 if it has succeeded."""
    enable_tracebacks()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for logger in ("workflows", "zocalo", "zrecipe"):
        logging.getLogger(logger).setLevel(logging.DEBUG if verbose else logging.INFO)
    log = logging.getLogger("zrecipe.wrap")
    try:
        found = entry_points.load(name, entry_points.WRAPPERS)
        settings = site.environment(site_file, environments)
        # The wrappers of the first versions of zocalo have no constructor.
        instance = found() if found.__init__ is object.__init__ else found(environment=settings)
    except entry_points.Missing as error:
        print(f"error: {error}", file=sys.stderr)
        if error.hint:
            print(f"  help: {error.hint}", file=sys.stderr)
        return 2
    except Exception as error:
        traceback.print_exc()
        print(f"error: wrapper `{name}` cannot be made: {error}", file=sys.stderr)
        return 2
    import workflows.recipe.wrapper

    transport = _transport(os.environ.get("ZRECIPE_RESULTS"))

    class Wrapper(workflows.recipe.wrapper.RecipeWrapper):
        """Reports on channels; which steps they lead to, `zrecipe wrap` knows."""

        def send(self, message: Any, *args: Any, **kwargs: Any) -> None:
            transport.report(self.default_channel or "default", message)

        def send_to(self, channel: str, message: Any, *args: Any, **kwargs: Any) -> None:
            transport.report(channel, message)

    instance.status_thread = Status(name)
    path = os.environ.get("ZRECIPE_WRAPPER")
    if path:
        with open(path, encoding="utf-8") as file:
            wrapper: Any = Wrapper
            instance.set_recipe_wrapper(wrapper(message=json.load(file), transport=transport))
    try:
        instance.prepare("Starting processing")
        if instance.run():
            instance.success("Finished processing")
            status = 0
        else:
            log.info("processing failed")
            instance.failure("Processing failed")
            status = 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        log.error(str(error), exc_info=True)
        instance.failure(error)
        status = 1
    instance.done("Finished processing")
    return status
