import workflows.recipe
from workflows.services.common_service import CommonService


class SpotFinder(CommonService):
    """Finds spots."""

    _service_name = "Spot finder"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "spots", self.find)

    def find(self, rw, header, message):
        params = rw.recipe_step["parameters"]
        count = int(params["count"])
        rw.send_to("result", {"count": count, "mode": params.get("mode", "fast")})
