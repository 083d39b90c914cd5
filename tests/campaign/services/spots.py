import workflows.recipe
from workflows.services.common_service import CommonService


class SpotFinder(CommonService):
    """Counts spots on images."""

    _service_name = "Spot Finder"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "per_image_analysis", self.find, acknowledgement=True)

    def find(self, rw, header, message):
        parameters = {**rw.recipe_step["parameters"], **message}
        file = parameters["file"]
        threshold = float(parameters.get("threshold", 3))
        detector = parameters["detector"]
        frames = parameters.get("frames")
        rw.send_to("result", {"file": file, "spots": threshold, "detector": detector, "frames": frames})
