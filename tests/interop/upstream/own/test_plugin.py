"""The plug-in itself, with tests in the style of upstream's."""

from unittest import mock

import pytest
import workflows.recipe
from plugin import Upstream
from workflows.recipe.wrapper import RecipeWrapper
from workflows.services.common_service import CommonService
from workflows.transport.common_transport import CommonTransport
from workflows.transport.middleware import BaseTransportMiddleware
from workflows.transport.offline_transport import OfflineTransport
from zrecipe.bridge.transport import BridgeTransport


class Forward(CommonService):
    """Forwards a message in a transaction."""

    def initializing(self):
        self.subscription = self._transport.subscribe("in", self.forward, acknowledgement=True, prefetch_count=7)

    def forward(self, header, message):
        transaction = self._transport.transaction_begin()
        self._transport.ack(header["message-id"], self.subscription, transaction=transaction)
        self._transport.send("out", message, transaction=transaction, delay=2)
        self._transport.transaction_commit(transaction)


def recipe_message():
    return {
        "recipe": {
            1: {"queue": "one", "output": {"both": [2, 3]}},
            2: {"queue": "two", "transport-delay": 5},
            3: {"topic": "three"},
            "start": [(1, {})],
        },
        "recipe-pointer": 1,
        "recipe-path": [],
        "environment": {"ID": mock.sentinel.ID},
        "payload": mock.sentinel.payload,
    }


def test_a_mock_leads_to_the_transport_of_the_bridge():
    service, transport = Forward(), mock.Mock()
    transport.transaction_begin.return_value = mock.sentinel.transaction
    setattr(service, "_transport", transport)
    service.initializing()
    transport.subscribe.assert_called_once_with("in", service.forward, acknowledgement=True, prefetch_count=7)
    service.forward({"message-id": mock.sentinel.id}, mock.sentinel.message)
    transport.send.assert_called_once_with("out", mock.sentinel.message, transaction=mock.sentinel.transaction, delay=2)
    [real] = Upstream.used
    assert ("in", 7) in real.queues and service.subscription == transport.subscribe.return_value
    [answer] = [line for line in real.stand_in.lines if "id" in line]
    assert answer["outputs"] == [{"destination": {"queue": "out"}, "delay": 2.0, "text": '"sentinel.message"'}]


def test_the_offline_transport_is_that_of_the_bridge():
    transport = OfflineTransport()
    assert isinstance(transport, BridgeTransport)
    service = Forward()
    service.transport = transport
    service.start()
    header = {"message-id": mock.sentinel.id, "subscription": mock.sentinel.id}
    # As in upstream's tests, one header serves for two messages.
    service.forward(header, "first")
    service.forward(header, "second")
    assert [message["text"] for message in transport.stand_in.published] == ['"first"', '"second"']


def test_channels_are_resolved_by_the_host():
    transport = mock.create_autospec(CommonTransport)
    wrapper = RecipeWrapper(message=recipe_message(), transport=transport)
    wrapper.send_to("both", mock.sentinel.result, transaction=mock.sentinel.transaction)
    assert [call[0] for call in transport.mock_calls] == ["send", "broadcast"]
    [real] = Upstream.used
    real.check()
    [answer] = [line for line in real.stand_in.lines if "id" in line]
    assert answer["outputs"] == [{"payload": "sentinel.result", "channel": "both"}]
    assert [message["delay"] for message in real.stand_in.published] == [5.0, 0.0]


def test_subscriptions_of_recipes_lead_to_the_transport_of_the_bridge():
    transport, receive = mock.Mock(), mock.Mock()
    number = workflows.recipe.wrap_subscribe(transport, "in", receive)
    assert number == transport.subscribe.return_value
    transport.subscribe.call_args[0][1]({}, "not a recipe")
    transport.nack.assert_called_once_with({})
    receive.assert_not_called()
    assert [outcome for _, outcome in Upstream.used[0].stand_in.settled] == ["requeue"]


@pytest.mark.parametrize("part", ["published", "settled"])
def test_what_the_host_does_not_receive_is_an_error(part):
    transport = OfflineTransport()
    transport.send("out", {"a": 1}, headers={"b": 2})
    transport.nack({"message-id": mock.sentinel.id}, requeue=False)
    received = getattr(transport.stand_in, part)
    lost = received.pop()
    with pytest.raises(AssertionError):
        transport.check()
    received.append(lost)


def test_headers_of_middleware_travel():
    class Marks(BaseTransportMiddleware):
        """Marks each message, as the middleware for tracing does."""

        count = 0

        def send(self, call_next, destination, message, **kwargs):
            self.count += 1
            kwargs["headers"] = {**kwargs["headers"], "mark": str(self.count)}
            return call_next(destination, message, **kwargs)

    message = recipe_message()
    message["recipe"][1]["output"]["one"] = 2
    message["recipe"][1]["output"]["several"] = [2, 2]
    for channel in ("one", "several"):
        transport = OfflineTransport(middleware=[Marks()])
        wrapper = RecipeWrapper(message=message, transport=transport)
        wrapper.send_to(channel, mock.sentinel.result, transaction=mock.sentinel.transaction)
        wrapper.checkpoint("again", transaction=mock.sentinel.transaction)
        transport.check()
        marks = [sent["headers"]["mark"] for sent in transport.stand_in.published]
        assert marks == [str(n) for n in range(1, len(marks) + 1)] and len(marks) >= 2


def test_a_delay_of_zero_replaces_that_of_the_step():
    transport = OfflineTransport()
    wrapper = RecipeWrapper(message=recipe_message(), transport=transport)
    wrapper.send_to("both", mock.sentinel.result, transaction=mock.sentinel.transaction, delay=0)
    transport.check()
    assert [message["delay"] for message in transport.stand_in.published] == [0.0, 0.0]
