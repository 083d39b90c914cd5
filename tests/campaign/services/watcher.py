import workflows.recipe
from workflows.services.common_service import CommonService


class FileWatcher(CommonService):
    """Watches for files and sends their names."""

    _service_name = "File Watcher"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "filewatcher", self.watch, acknowledgement=True)

    def watch(self, rw, header, message):
        pattern = rw.recipe_step["parameters"]["pattern"]
        limit = int(rw.recipe_step["parameters"].get("burst-limit", 100))
        timeout = rw.recipe_step["parameters"].get("timeout")
        for number in range(limit):
            rw.send_to("every", {"file": pattern % number, "number": number})
            rw.send_to("any", {"files-expected": limit, "file": pattern % number})
        rw.send_to("finished", {"success": timeout is not None, "files-seen": limit})
