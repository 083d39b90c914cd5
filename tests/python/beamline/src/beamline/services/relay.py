from __future__ import annotations

from workflows.services.common_service import CommonService


class Relay(CommonService):
    """Takes messages without recipes, too."""

    def initializing(self):
        self._transport.subscribe("relay.in", self.receive, acknowledgement=True)

    def receive(self, header, message):
        destination = message["destination"]
        self._transport.send(destination, message)
        self._transport.ack(header)
