from __future__ import annotations

import workflows.recipe
from workflows.services.common_service import CommonService


def find_command(command, owner):
    return getattr(owner, "do_" + command, None)


class InsertMixin:
    def do_insert(self, parameters, **kwargs):
        return {"success": True, "return_value": int(parameters("parent_id"))}


class Database(InsertMixin, CommonService):
    _service_name = "Database"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, channel="database", callback=self.receive)

    def receive(self, rw, header, message):
        command = rw.recipe_step["parameters"].get("command")
        if not command:
            rw.transport.nack(header)
            return
        function = find_command(command, self)
        if not function:
            rw.transport.nack(header)
            return

        def parameters(key, default=None):
            value = rw.recipe_step["parameters"].get(key, default)
            if isinstance(message, dict):
                value = message.get(key, value)
            if not isinstance(value, str) or "$" not in value:
                return value
            for name in sorted(rw.environment, key=len, reverse=True):
                value = value.replace("${" + name + "}", str(rw.environment[name]))
            return value

        result = function(rw=rw, message=message, parameters=parameters)
        store = rw.recipe_step["parameters"].get("store_result")
        if store and result:
            rw.environment[store] = result["return_value"]
        rw.send_to("output", result)

    def do_update(self, parameters, **kwargs):
        status = parameters("status")
        return {"return_value": parameters("id"), "status": status}

    def do_many(self, rw, message, parameters, **kwargs):
        commands = rw.recipe_step["parameters"].get("command_list")
        if isinstance(message, dict) and message.get("command_list"):
            commands = message["command_list"]
        first = commands[0]
        function = find_command(first["command"], self)
        return function(rw=rw, message=message, parameters=first.get)
