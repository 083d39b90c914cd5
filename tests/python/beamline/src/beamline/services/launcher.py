from __future__ import annotations

import pydantic
from workflows.recipe import wrap_subscribe
from workflows.services.common_service import CommonService

from beamline.util import ReplacingChainMap


class PhaseParameters(pydantic.BaseModel):
    dcid: int
    data: str


class RefineParameters(pydantic.BaseModel):
    dcid: int
    cycles: int = pydantic.Field(default=3, ge=1)


class Launcher(CommonService):
    """Starts jobs, chosen by `target`."""

    _service_name = "Launcher"

    def initializing(self):
        wrap_subscribe(self._transport, "launch", self.launch, acknowledgement=True)

    def launch(self, rw, header, message):
        target = rw.recipe_step["parameters"].get("target")
        if not target:
            rw.transport.nack(header)
            return
        if not hasattr(self, "launch_" + target):
            rw.transport.nack(header)
            return
        merged = ReplacingChainMap(
            rw.recipe_step["parameters"].get("ispyb_parameters") or {},
            message if isinstance(message, dict) else {},
            rw.recipe_step["parameters"],
            substitutions=rw.environment,
        )
        rw.set_default_channel("output")
        result = getattr(self, "launch_" + target)(rw=rw, message=message, parameters=merged)
        rw.send({"result": result})

    @pydantic.validate_call(config={"arbitrary_types_allowed": True})
    def launch_phase(self, rw, *, parameters: PhaseParameters, **kwargs):
        return parameters.data

    @pydantic.validate_call(config={"arbitrary_types_allowed": True})
    def launch_refine(self, rw, *, parameters: RefineParameters, message=None, **kwargs):
        attempt = message.get("attempt", 0)
        rw.checkpoint({"attempt": attempt + 1})
        return parameters.cycles

    def launch_mail(self, rw, *, parameters, **kwargs):
        rw.send_to("mail", {"to": parameters["recipient"], "text": "done"})
