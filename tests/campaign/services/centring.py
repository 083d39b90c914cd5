from typing import Literal

import pydantic
import workflows.recipe
from workflows.services.common_service import CommonService


class Parameters(pydantic.BaseModel):
    dcid: pydantic.PositiveInt
    steps_x: pydantic.PositiveInt
    steps_y: pydantic.PositiveInt
    orientation: Literal["horizontal", "vertical"] = "horizontal"


class Centring(CommonService):
    """Finds the centre of a crystal."""

    _service_name = "X-ray Centering"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "reduce.xray_centering", self.add, acknowledgement=True)

    def add(self, rw, header, message):
        parameters = Parameters(**rw.recipe_step["parameters"])
        if parameters.steps_x > 1:
            rw.send_to("success", {"x": 1, "y": parameters.steps_y})
        else:
            rw.send_to("failed", {"reason": parameters.orientation})
