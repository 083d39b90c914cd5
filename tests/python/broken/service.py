import workflows.recipe
from workflows.services.common_service import CommonService


def helper(value:
    return (value


class Half(CommonService):
    _service_name = "Half"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "half", self.receive)

    def receive(self, rw, header, message):
        rw.send_to("next", {"file": rw.recipe_step["parameters"]["file"]})
