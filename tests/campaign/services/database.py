import workflows.recipe
from workflows.services.common_service import CommonService


class ISPyB(CommonService):
    """Writes to the database."""

    _service_name = "ISPyB"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "ispyb_connector", self.receive, acknowledgement=True)

    def receive(self, rw, header, message):
        parameters = {**rw.recipe_step["parameters"], **message}
        command = parameters["ispyb_command"]
        dcid = parameters.get("dcid")
        if command == "register_processing":
            result = {"success": True, "return_value": (dcid, parameters["program"])}
        elif command == "update_processing_status":
            result = {"success": True, "return_value": (parameters["program_id"], parameters["status"])}
        elif command == "insert_attachment":
            result = {"success": True, "return_value": parameters["program_id"]}
        elif command == "insert_spots":
            result = {"success": True, "return_value": dcid}
        elif command == "insert_centre":
            result = {"success": True, "return_value": dcid}
        elif command == "store_archive":
            result = {"success": True, "return_value": dcid}
        else:
            rw.send_to("failed", {"reason": command})
            return
        store = parameters.get("store_result")
        if store:
            rw.environment[store] = result["return_value"]
        rw.send_to("success", {"result": result["return_value"]})
