import workflows.recipe
from workflows.services.common_service import CommonService


class Trigger(CommonService):
    """Starts further processing."""

    _service_name = "Trigger"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "trigger", self.trigger, acknowledgement=True)

    def trigger(self, rw, header, message):
        parameters = {**rw.recipe_step["parameters"], **message}
        target = parameters["target"]
        dcid = int(parameters["dcid"])
        comment = parameters.get("comment")
        handler = getattr(self, "trigger_" + target)
        handler(parameters, dcid, comment)

    def trigger_index(self, parameters, dcid, comment):
        return parameters["scaling_id"]

    def trigger_integrate(self, parameters, dcid, comment):
        return parameters["scaling_id"]

    def trigger_scale(self, parameters, dcid, comment):
        return parameters["scaling_id"]

    def trigger_phase(self, parameters, dcid, comment):
        return parameters["scaling_id"]

    def trigger_refine(self, parameters, dcid, comment):
        return parameters["scaling_id"]

    def trigger_radiation(self, parameters, dcid, comment):
        return parameters["scaling_id"]
