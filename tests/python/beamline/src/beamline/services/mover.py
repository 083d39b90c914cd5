from __future__ import annotations

import functools
import importlib.metadata
import json
from pathlib import Path
from typing import Any, NamedTuple

import workflows.recipe
from workflows.services.common_service import CommonService

from beamline.util import scaled

QUEUES = ("files.move", "files.copy")


class Plugin(NamedTuple):
    rw: Any
    parameters: Any


class Mover(CommonService):
    """Moves files."""

    _service_name = "Mover"

    def initializing(self):
        for queue in QUEUES:
            workflows.recipe.wrap_subscribe(self._transport, queue, self.move)
        workflows.recipe.wrap_subscribe(
            self._transport, self._environment.get("queue", "files.plot"), self.plot
        )
        self.plots = {
            point.name: point.load()
            for point in importlib.metadata.entry_points(group="beamline.plots")
        }

    def move(self, rw, header, message):
        params = rw.recipe_step["parameters"]
        source = Path(params["source"])
        if "target" not in params:
            self._transport.nack(header)
            return
        target = Path(params["target"])
        options = json.loads(params.get("options", "{}"))
        for name in ("owner", "group"):
            options[name] = params[name]
        if params.get("link"):
            levels = params["levels"]
        try:
            mode = params["mode"]
        except KeyError:
            mode = "0644"
        params["working"] = target / "working"
        self.log.info("in %s with %s", params["working"], mode)
        gain = scaled(params["detector"], 2)
        report = functools.partial(self.report, rw)
        match params.get("action"):
            case "compress":
                report("compressed", params["level"])
            case "split" | "cut":
                report("parts", params["parts"])
        if message.get("quiet"):
            return
        rw.send_to("moved", {"source": str(source), "gain": gain})
        rw.environment["last_move"] = str(target)

    def report(self, rw, channel, value):
        rw.send_to(channel, {"value": value})

    def plot(self, rw, header, message):
        command = rw.recipe_step.get("parameters", {}).get("plot")

        def parameters(key, default=None):
            if isinstance(message, dict) and message.get(key):
                return message[key]
            return rw.recipe_step.get("parameters", {}).get(key, default)

        if command not in self.plots:
            rw.transport.nack(header)
            return
        result = self.plots[command](Plugin(rw, parameters))
        rw.send_to(f"plot-{command}", result)
