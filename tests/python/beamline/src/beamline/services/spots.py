from __future__ import annotations

import pydantic
import workflows.recipe
from workflows.services.common_service import CommonService

from ..models.common import SpotParameters


class SpotFinder(CommonService):
    """Finds spots
    in images.

    More of it.
    """

    _service_name = "Spot finder"

    def initializing(self):
        workflows.recipe.wrap_subscribe(
            self._transport,
            self._environment["queue"] or "spots",
            self.find,
            acknowledgement=True,
            allow_non_recipe_messages=True,
        )

    def expire(self):
        for session in list(self._sessions):
            rw = self._sessions[session].recipewrapper
            rw.send_to("expired", {})

    def find(self, rw, header, message):
        self.expire()
        if not rw:
            rw = None
        try:
            if isinstance(message, dict):
                found = SpotParameters(**{**rw.recipe_step.get("parameters", {}), **message})
            else:
                found = SpotParameters(**{**rw.recipe_step.get("parameters", {})})
        except pydantic.ValidationError as error:
            self.log.warning(f"invalid: {error}")
            rw.transport.nack(header)
            return
        result = {"file": found.file, "spots": 0, "kind": "spots"}
        if found.frames:
            result["frames"] = found.frames
        rw.set_default_channel("result")
        rw.send_to("result", result)
        for region in found.regions:
            rw.send_to("region", {"x": region.x, **message})
        if found.mode == "exact":
            rw.send_to("checked", message)
        self._transport.ack(header)
