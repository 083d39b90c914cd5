"""A service with middleware that marks messages, as that for tracing does."""

import functools

import workflows.recipe
from workflows.services.common_service import CommonService
from workflows.transport.middleware import BaseTransportMiddleware, get_callback_source


class Marks(BaseTransportMiddleware):
    count = 0

    def send(self, call_next, destination, message, **kwargs):
        self.count += 1
        kwargs["headers"] = {**(kwargs.get("headers") or {}), "mark": str(self.count)}
        return call_next(destination, message, **kwargs)

    def subscribe(self, call_next, channel, callback, **kwargs):
        self.source = get_callback_source(callback)
        return call_next(channel, callback, **kwargs)


class Marking(CommonService):
    _service_name = "Marking"

    def initializing(self):
        self.marks = Marks()
        self._transport.add_middleware(self.marks)
        workflows.recipe.wrap_subscribe(self._transport, "marking", self.process, acknowledgement=True)

    def process(self, rw, header, message):
        transaction = rw.transport.transaction_begin()
        rw.transport.ack(header, transaction=transaction)
        rw.send_to("result", message, transaction=transaction)
        rw.transport.transaction_commit(transaction)


class Sources(CommonService):
    """Sends the name under which the middleware knows its callback."""

    _service_name = "Sources"

    def initializing(self):
        self.marks = Marks()
        self._transport.add_middleware(self.marks)
        self._transport.subscribe("sources", functools.partial(self.other, None))

    def other(self, nothing, header, message):
        self._transport.send("names", self.marks.source)
