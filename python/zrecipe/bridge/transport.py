"""A transport of ``workflows`` whose broker is the host of this worker."""

from __future__ import annotations

import functools
import json
import threading
import uuid
from typing import Any, Callable

import workflows
import workflows.recipe.wrapper
import workflows.util
from workflows.transport import common_transport
from workflows.transport.common_transport import CommonTransport

from zrecipe.bridge.lines import Closed, Host, Line, Refused, describe

_NAMESPACE = uuid.UUID("6f1d2a3c-93c5-5a0e-8d0b-7a6563727a01")
"""Namespace of the message ids that follow from another message, as in ``zrecipe_broker::message``."""

FAILURE_DELAY = 2.0
"""Seconds after which a message is delivered again on which the service has failed."""

NACK_DELAY = 1.0
"""Seconds after which a rejected message is delivered again."""

MAX_EARLY_SENDS = 100
"""Maximum number of sends during the start of a service that do not wait for the broker."""


json_serializer: Any = getattr(common_transport, "json_serializer", None)
"""What ``workflows`` writes for values that are not of JSON; the first versions have nothing for them."""


def dumps(value: Any) -> str:
    """A value as ``workflows`` writes it."""
    return json.dumps(value, default=json_serializer)


class Delivery:
    """A message that was delivered and that waits to be acknowledged."""

    def __init__(self, line: Line, subscription: int, needs_ack: bool, message: Any) -> None:
        self.id: int = line["id"]
        self.message_id: str = str(line.get("message_id", ""))
        self.subscription = subscription
        self.needs_ack = needs_ack
        self.message = message
        self.is_settled = False
        self.sends = 0
        self.complaint: str | None = None
        """Last warning or error that was logged about it."""


class Record:
    """What was sent inside a transaction."""

    def __init__(self) -> None:
        self.delivery: Delivery | None = None
        """The message whose recipe it was sent along."""
        self.kind = "own"
        """``channel``, ``checkpoint``, or ``own`` for a destination that was named."""
        self.channel: str | None = None
        self.payload = "null"
        self.environment = "null"
        self.options: Line = {}
        self.value: Any = None
        self.is_usual = True
        """Whether a channel or a checkpoint says it all; not if middleware has changed the message on its way."""
        self.raw: list[Callable[[], Line]] = []


class Transaction:
    """What was done since ``transaction_begin``."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.acks: list[Delivery] = []
        self.nacks: list[tuple[Delivery, bool]] = []


class BridgeTransport(CommonTransport):
    """Messages come from the host and go to the host."""

    defaults: dict[Any, Any] = {}
    config: dict[Any, Any] = {}

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.announce: Callable[[], None] = lambda: None
        """Reports to the host that the service has started."""
        self.current: Delivery | None = None
        """The message that the service is at."""
        self.queues: list[tuple[str, int]] = []
        """Queues to which the service has subscribed before it started to work, with their ``prefetch_count``."""
        self._lock = threading.RLock()
        self._deliveries: dict[int, Delivery] = {}
        self._transactions: dict[int, Transaction] = {}
        self._needs_ack: dict[int, bool] = {}
        self._subscription_of_queue: dict[str, int] = {}
        self._subscription_of_number: dict[int, int] = {}
        self._number_of_subscription: dict[int, int] = {}
        self._recording = threading.local()
        self._early_sends = 0

    # -- The connection --

    def connect(self) -> bool:
        return True

    def is_connected(self) -> bool:
        return not self.host.is_closed

    def disconnect(self) -> None:
        """The host ends the connection."""

    def broadcast_status(self, status: Any) -> None:
        self._broadcast("transient.status", dumps(status), expiration=15)

    # -- Subscriptions --

    def subscribe(self, channel: Any, callback: Any, **kwargs: Any) -> int:
        raw = bool(kwargs.get("disable_mangling"))
        return int(super().subscribe(channel, self._guard(callback, raw), **kwargs))

    def subscribe_temporary(self, channel_hint: Any, callback: Any, **kwargs: Any) -> Any:
        raw = bool(kwargs.get("disable_mangling"))
        return super().subscribe_temporary(channel_hint, self._guard(callback, raw), **kwargs)

    def subscribe_broadcast(self, channel: Any, callback: Any, **kwargs: Any) -> int:
        raw = bool(kwargs.get("disable_mangling"))
        return int(super().subscribe_broadcast(channel, self._guard(callback, raw), **kwargs))

    def _guard(self, callback: Any, raw: bool) -> Any:
        """A callback that says with which message it begins, and what became of it where the service does not."""

        # Middleware names its metrics after the function.
        function = callback
        while isinstance(function, functools.partial):
            function = function.func

        @functools.wraps(function, updated=())
        def guarded(header: Any, message: Any) -> Any:
            delivery = self._deliveries.get(header.get("message-id"))
            if delivery is None:
                return callback(header, message)
            self.host.write_text('{"begun": %d}' % delivery.id)
            self.current = delivery
            try:
                result = callback(header, dumps(message) if raw else message)
            except BaseException as error:
                # The message is at fault, or the service with it; those that wait behind it are not.
                self._reject(delivery, describe(error), FAILURE_DELAY)
                raise
            finally:
                self.current = None
            if not delivery.needs_ack:
                self._accept(delivery)
            return result

        guarded.__qualname__ = getattr(function, "__qualname__", repr(function).split("(")[0])
        return guarded

    def _subscribe(
        self,
        sub_id: int,
        channel: Any,
        callback: Any,
        *,
        acknowledgement: bool = False,
        prefetch_count: int = 1,
        **kwargs: Any,
    ) -> None:
        self._needs_ack[sub_id] = bool(acknowledgement)
        prefetch = max(1, int(prefetch_count or 1))
        if self.host.has_greeted:
            self._ask_for(sub_id, {"queue": str(channel), "prefetch": prefetch}, waits=True)
            return
        self._subscription_of_queue[str(channel)] = sub_id
        self.queues.append((str(channel), prefetch))

    def _subscribe_broadcast(self, sub_id: int, channel: Any, callback: Any, **kwargs: Any) -> None:
        self._needs_ack[sub_id] = False
        self._ask_for(sub_id, {"topic": str(channel)}, waits=False)

    def _subscribe_temporary(
        self,
        sub_id: int,
        channel_hint: str | None,
        callback: Any,
        *,
        acknowledgement: bool = False,
        prefetch_count: int = 1,
        **kwargs: Any,
    ) -> str:
        self._needs_ack[sub_id] = bool(acknowledgement)
        queue = f"{channel_hint or workflows.util.generate_unique_host_id()}.{uuid.uuid4()}"
        if not queue.startswith("transient."):
            queue = f"transient.{queue}"
        # Whoever is told the name is to find the queue; before the service works the host declares it first.
        wish = {"temporary": queue, "prefetch": max(1, int(prefetch_count or 1))}
        self._ask_for(sub_id, wish, waits=self.host.has_greeted)
        return queue

    def _ask_for(self, sub_id: int, wish: Line, waits: bool) -> None:
        number = self.host.number()
        with self._lock:
            self._subscription_of_number[number] = sub_id
            self._number_of_subscription[sub_id] = number
        reply = self.host.expect(number) if waits else None
        self.host.write({"subscribe": wish, "n": number})
        if reply is not None:
            self._wait(reply.wait)

    def _unsubscribe(self, sub_id: int, **kwargs: Any) -> None:
        number = self._number_of_subscription.get(sub_id)
        if number is None:
            raise workflows.Error("the first subscription to a queue ends with the service")
        self.host.write({"unsubscribe": number})

    @staticmethod
    def _wait(wait: Callable[[], Line]) -> Line:
        try:
            return wait()
        except Closed as error:
            raise workflows.Disconnected(str(error)) from None
        except Refused as error:
            raise workflows.Error(str(error)) from None

    def take(self, line: Line) -> None:
        """A message has come."""
        queue = str(line.get("queue", line.get("topic", "")))
        number = line.get("subscription")
        with self._lock:
            if number is None:
                subscription = self._subscription_of_queue.get(queue)
            else:
                subscription = self._subscription_of_number.get(number)
        if subscription is None:
            self.host.write({"id": line["id"], "later": f"this service has no subscription to {queue}"})
            return
        header = dict(line.get("headers") or {})
        header.update(
            {
                "consumer_tag": f"zrecipe-{subscription}",
                "delivery_mode": 2,
                "exchange": queue if "topic" in line else "",
                "message-id": line["id"],
                "redelivered": bool(line.get("redelivered")),
                "routing_key": line.get("queue", ""),
                "subscription": subscription,
            }
        )
        message = line.get("payload")
        if "recipe" in line:
            message = {
                "environment": line.get("environment", {}),
                "payload": message,
                "recipe": line["recipe"],
                "recipe-path": line.get("path", []),
                "recipe-pointer": line["pointer"],
            }
        delivery = Delivery(line, subscription, self._needs_ack.get(subscription, False), message)
        with self._lock:
            self._deliveries[delivery.id] = delivery
        try:
            callback = self.subscription_callback(subscription)
        except workflows.Error:
            self._reject(delivery, "the subscription has ended", None)
            return
        callback(header, message)

    # -- Settling --

    def _accept(self, delivery: Delivery, line: str | None = None) -> None:
        with self._lock:
            if delivery.is_settled:
                return
            delivery.is_settled = True
            self._deliveries.pop(delivery.id, None)
        self.host.write_text(line or '{"id": %d}' % delivery.id)

    def _reject(self, delivery: Delivery, reason: str, after: float | None, is_final: bool = False) -> None:
        line: Line = {"id": delivery.id, "bad" if is_final else "later": reason}
        if after is not None and not is_final:
            line["after"] = after
        self._accept(delivery, json.dumps(line))

    def _select(self, message_id: Any, subscription_id: Any, multiple: bool) -> list[Delivery]:
        with self._lock:
            found = self._deliveries.get(message_id)
            if found is None:
                raise workflows.Error(f"message {message_id} is settled already, or was not delivered to this service")
            if not multiple:
                return [found]
            same = (d for d in self._deliveries.values() if d.subscription == found.subscription)
            return sorted((d for d in same if d.id <= found.id), key=lambda d: d.id)

    def _ack(self, message_id: Any, subscription_id: Any, *, multiple: bool = False, **kwargs: Any) -> None:
        found = self._select(message_id, subscription_id, multiple)
        transaction = kwargs.get("transaction")
        if transaction is None:
            for delivery in found:
                self._accept(delivery)
        else:
            self._transaction(transaction).acks.extend(found)

    def _nack(
        self, message_id: Any, subscription_id: Any, *, multiple: bool = False, requeue: bool = True, **kwargs: Any
    ) -> None:
        found = self._select(message_id, subscription_id, multiple)
        transaction = kwargs.get("transaction")
        if transaction is None:
            for delivery in found:
                self._refuse(delivery, requeue)
        else:
            self._transaction(transaction).nacks.extend((delivery, requeue) for delivery in found)

    def _refuse(self, delivery: Delivery, requeue: bool) -> None:
        reason = delivery.complaint or "the service has rejected the message"
        self._reject(delivery, reason, NACK_DELAY, is_final=not requeue)

    # -- Sending --

    def _mangle_for_sending(self, message: Any) -> Any:  # type: ignore[override]
        # Inside a transaction the payload alone may be enough.
        return message if self._record() is not None else dumps(message)

    @staticmethod
    def _mangle_for_receiving(message: Any) -> Any:
        return message

    def _record(self) -> Record | None:
        return getattr(self._recording, "record", None)

    def _send(self, destination: Any, message: Any, **kwargs: Any) -> None:
        self._dispatch({"queue": str(destination)}, message, kwargs)

    def _broadcast(self, destination: Any, message: Any, **kwargs: Any) -> None:
        self._dispatch({"topic": str(destination)}, message, kwargs)

    def _dispatch(self, destination: Line, message: Any, kwargs: dict[str, Any]) -> None:
        if kwargs.get("exchange"):
            destination["exchange"] = kwargs["exchange"]
        output: Line = {"destination": destination, **_options(kwargs)}
        along = self._record()
        if along is not None:
            self._dispatch_along(along, output, message, kwargs)
            return
        output["text"] = _text(message)
        transaction = kwargs.get("transaction")
        if transaction is None:
            self._send_now([output], self.current)
            return
        record = Record()
        record.raw.append(lambda: output)
        self._transaction(transaction).records.append(record)

    @staticmethod
    def _dispatch_along(record: Record, output: Line, message: Any, kwargs: dict[str, Any]) -> None:
        """A message along a recipe, after the middleware of the transport."""
        if not isinstance(message, dict) or message.get("payload") is not record.value:
            record.is_usual = False
            output["text"] = _text(message)
            record.raw.append(lambda: output)
            return
        step = message["recipe"].get(message["recipe-pointer"], {})
        delay = record.options.get("delay", 0 if record.kind == "checkpoint" else step.get("transport-delay", 0))
        destination = output["destination"]
        if str(step.get("queue" if "queue" in destination else "topic")) != next(iter(destination.values())):
            record.is_usual = False
        if float(delay or 0) != float(kwargs.get("delay") or 0):
            record.is_usual = False
        # Middleware adds headers, for example those of a trace; they may differ between the messages of a channel.
        headers = {key: value for key, value in output.get("headers", {}).items() if key != "workflows-recipe"}
        if not record.raw:
            record.options.pop("headers", None)
            record.options.update({"headers": headers} if headers else {})
        elif headers != record.options.get("headers", {}):
            record.is_usual = False
        record.raw.append(functools.partial(_whole, output, message, record))

    def _send_now(self, outputs: list[Line], parent: Delivery | None) -> None:
        """Sends, and waits until the broker has confirmed it."""
        for output in outputs:
            if parent is not None and parent.message_id:
                # The same when the message is dealt with again.
                parent.sends += 1
                output["id"] = str(uuid.uuid5(_NAMESPACE, f"{parent.message_id}\nsend {parent.sends}"))
        number = self.host.number()
        waits = self.host.has_greeted
        if not waits:
            # The host sends when the service has started. A service that works in `initializing` has started as well.
            self._early_sends += 1
            waits = self._early_sends > MAX_EARLY_SENDS
        reply = self.host.expect(number) if waits else None
        self.host.write({"send": outputs, "n": number})
        if waits and not self.host.has_greeted:
            self.announce()
        if reply is not None:
            self._wait(reply.wait)

    # -- Transactions --

    def _transaction(self, transaction_id: int) -> Transaction:
        try:
            return self._transactions[transaction_id]
        except KeyError:
            raise workflows.Error(f"there is no transaction {transaction_id}") from None

    def _transaction_begin(self, transaction_id: int, **kwargs: Any) -> None:
        self._transactions[transaction_id] = Transaction()

    def _transaction_abort(self, transaction_id: int, **kwargs: Any) -> None:
        self._transactions.pop(transaction_id, None)

    def _transaction_commit(self, transaction_id: int, **kwargs: Any) -> None:
        transaction = self._transactions.pop(transaction_id, None) or Transaction()
        if len(transaction.acks) == 1 and not transaction.nacks:
            self._accept(transaction.acks[0], _answer(transaction.acks[0], transaction.records))
            return
        outputs = [build() for record in transaction.records for build in record.raw]
        if outputs:
            first = transaction.acks or [delivery for delivery, _ in transaction.nacks]
            self._send_now(outputs, first[0] if first else self.current)
        for delivery in transaction.acks:
            self._accept(delivery)
        for delivery, requeue in transaction.nacks:
            self._refuse(delivery, requeue)

    # -- Recipes --

    def record_along(
        self, wrapper: Any, kind: str, channel: str | None, payload: Any, options: Line, transaction: int, send: Any
    ) -> Any:
        """Sends along the recipe of a message as part of a transaction."""
        record = Record()
        record.kind, record.channel = kind, channel
        record.delivery = getattr(wrapper, "_zrecipe_delivery", None)
        record.payload, record.environment = dumps(payload), dumps(wrapper.environment)
        record.value = payload
        record.options = options
        self._recording.record = record
        try:
            result = send()
        finally:
            self._recording.record = None
        self._transaction(transaction).records.append(record)
        return result

    def is_recording(self) -> bool:
        """Whether something is sent along a recipe at this moment."""
        return self._record() is not None


def _whole(output: Line, message: Any, record: Record) -> Line:
    """A message along a recipe, as it was when it was sent, for a destination that is named."""
    if not isinstance(message, dict):
        return {**output, "text": _text(message)}
    payload, environment = json.loads(record.payload), json.loads(record.environment)
    return {**output, "text": dumps({**message, "payload": payload, "environment": environment})}


def _text(message: Any) -> str:
    if isinstance(message, (bytes, bytearray)):
        try:
            return message.decode("utf-8")
        except UnicodeDecodeError as error:
            raise workflows.Error(f"a message that is not text cannot be sent: {error}") from None
    return message if isinstance(message, str) else dumps(message)


def _options(kwargs: dict[str, Any]) -> Line:
    """Headers, delay and expiration of a message."""
    options: Line = {}
    headers = {str(key): value for key, value in (kwargs.get("headers") or {}).items() if key != "x-delay"}
    if headers:
        options["headers"] = headers
    for key in ("delay", "expiration"):
        if kwargs.get(key):
            options[key] = float(kwargs[key])
    return options


def _answer(delivery: Delivery, records: list[Record]) -> str:
    """The line that accepts a message together with what was sent."""
    along = [record for record in records if record.kind != "own"]
    environments = {record.environment for record in along}
    checkpoints = [record for record in along if record.kind == "checkpoint"]
    is_plain = (
        all(record.delivery is delivery and record.is_usual for record in along)
        and len(environments) <= 1
        and len(checkpoints) <= 1
        and not any(record.options.get("headers") or "expiration" in record.options for record in checkpoints)
    )
    outputs: list[str] = []
    for record in records:
        if is_plain and record.kind == "channel":
            parts = [f'"payload": {record.payload}']
            if record.channel is not None:
                parts.append(f'"channel": {json.dumps(record.channel)}')
            parts.extend(f"{json.dumps(key)}: {dumps(value)}" for key, value in record.options.items())
            outputs.append("{" + ", ".join(parts) + "}")
        elif not is_plain or record.kind == "own":
            outputs.extend(dumps(build()) for build in record.raw)
    line = [f'"id": {delivery.id}']
    if outputs:
        line.append(f'"outputs": [{", ".join(outputs)}]')
    if is_plain and along:
        line.append(f'"environment": {along[0].environment}')
    if is_plain and checkpoints:
        line.append(f'"checkpoint": {checkpoints[0].payload}')
        if checkpoints[0].options.get("delay"):
            line.append(f'"after": {checkpoints[0].options["delay"]}')
    return "{" + ", ".join(line) + "}"


def install() -> None:
    """Lets the wrapper of recipes say along which channel something is sent.

    Whoever has a transport of another kind notices nothing.
    """
    wrapper: Any = workflows.recipe.wrapper.RecipeWrapper
    if getattr(wrapper, "_zrecipe_installed", False):
        return
    construct, send, send_to, checkpoint = wrapper.__init__, wrapper.send, wrapper.send_to, wrapper.checkpoint

    @functools.wraps(construct)
    def new_construct(self: Any, *args: Any, **kwargs: Any) -> None:
        # Newer versions of workflows take keywords only.
        construct(self, *args, **kwargs)
        values = {**dict(zip(("message", "transport"), args)), **kwargs}
        message, transport = values.get("message"), values.get("transport")
        if isinstance(transport, BridgeTransport) and transport.current is not None:
            if message is not None and message is transport.current.message:
                self._zrecipe_delivery = transport.current

    def along(self: Any, kind: str, channel: str | None, act: Any, args: Any, kwargs: Any) -> Any:
        """Sends along a channel; `args` and `kwargs` begin with the message and its header."""
        values = {**dict(zip(("message", "header", "delay"), args)), **kwargs}
        transaction = values.get("transaction")
        is_usual = (
            transaction is not None
            and isinstance(self.transport, BridgeTransport)
            and not self.transport.is_recording()
            and getattr(self, "_zrecipe_delivery", None) is not None
            and not values.get("mangle_for_sending")
            and not values.get("exchange")
            and bool(self.recipe_step)
        )
        if not is_usual:
            return act()
        options = _options({**values, "headers": values.get("header")})
        return self.transport.record_along(self, kind, channel, values.get("message"), options, transaction, act)

    @functools.wraps(send)
    def new_send(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = (self.recipe_step or {}).get("output")
        if isinstance(output, dict) and not self.default_channel:
            return send(self, *args, **kwargs)
        channel = self.default_channel if isinstance(output, dict) else None
        return along(self, "channel", channel, lambda: send(self, *args, **kwargs), args, kwargs)

    @functools.wraps(send_to)
    def new_send_to(self: Any, channel: Any, *args: Any, **kwargs: Any) -> Any:
        output = (self.recipe_step or {}).get("output")
        is_unnamed = not isinstance(output, dict) and channel == self.default_channel
        name = None if is_unnamed else str(channel)
        return along(self, "channel", name, lambda: send_to(self, channel, *args, **kwargs), args, kwargs)

    @functools.wraps(checkpoint)
    def new_checkpoint(self: Any, *args: Any, **kwargs: Any) -> Any:
        return along(self, "checkpoint", None, lambda: checkpoint(self, *args, **kwargs), args, kwargs)

    wrapper.__init__ = new_construct
    wrapper.send, wrapper.send_to, wrapper.checkpoint = new_send, new_send_to, new_checkpoint
    wrapper._zrecipe_installed = True
