from __future__ import annotations

import copy

import workflows.recipe
from workflows.services.common_service import CommonService


class Filters(CommonService):
    """Passes requests through functions that are kept in a mapping."""

    def initializing(self):
        self.filters = {
            "names": self.filter_names,
            "custom": self.filter_custom,
        }
        workflows.recipe.wrap_subscribe(
            self._transport, "requests", self.process, acknowledgement=True, allow_non_recipe_messages=True
        )

    def filter_names(self, message, parameters):
        for name in message.get("recipes", []):
            message["recipe"] = message["recipe"] + name
        return message, parameters

    def filter_custom(self, message, parameters):
        if message.get("custom_recipe"):
            message["recipe"] = message["custom_recipe"]
        return message, parameters

    def process(self, rw, header, message):
        if not isinstance(message, dict):
            self.transport.nack(header)
            return
        request = copy.deepcopy(message)
        # The service's own.
        request["recipe"] = ""
        for name, function in self.filters.items():
            request, parameters = function(request, {})
        self.log.info(request["recipe"])
