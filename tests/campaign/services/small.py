import workflows.recipe
from workflows.services.common_service import CommonService


class Notifier(CommonService):
    """Sends mail to users."""

    _service_name = "Notifier"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "notify.users", self.notify, acknowledgement=True)

    def notify(self, rw, header, message):
        parameters = rw.recipe_step["parameters"]
        self.log.info("%s %s", parameters["subject"], parameters["recipients"])


class Archiver(CommonService):
    """Archives directories."""

    _service_name = "Archiver"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "archive.pattern", self.archive, acknowledgement=True)

    def archive(self, rw, header, message):
        parameters = {**rw.recipe_step["parameters"], **message}
        source = parameters["source"]
        if parameters.get("multipart", False):
            rw.send_to("success", {"source": source})


class Mover(CommonService):
    """Moves results."""

    _service_name = "Mover"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "files.move", self.move, acknowledgement=True)

    def move(self, rw, header, message):
        parameters = {**rw.recipe_step["parameters"], **message}
        source, destination = parameters["source"], parameters["destination"]
        overwrite = bool(parameters.get("overwrite"))
        rw.send_to("moved", {"source": source, "destination": destination, "overwrite": overwrite})


class Statistics(CommonService):
    """Collects statistics."""

    _service_name = "Statistics"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "statistics", self.collect, acknowledgement=True)

    def collect(self, rw, header, message):
        parameters = {**rw.recipe_step["parameters"], **message}
        metric = parameters["metric"]
        window = int(parameters.get("window", 1))
        dcid = parameters["dcid"]
        if window > 1:
            rw.send_to("result", {"metric": metric, "window": window, "dcid": dcid})
