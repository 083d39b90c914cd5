"""Services and wrappers in the style of workflows and zocalo. Nothing in them knows of zrecipe."""

import os

import workflows.recipe
from workflows.services.common_service import CommonService
from zocalo.wrapper import BaseWrapper


class Batcher(CommonService):
    """Collects messages, and sends one for all of them when nothing more comes."""

    _service_name = "Batcher of messages"
    _logger_name = "bridged.batcher"

    def initializing(self):
        self._batch = []
        self._register_idle(0.3, self.flush)
        workflows.recipe.wrap_subscribe(
            self._transport,
            "bridged.batch",
            self.receive,
            acknowledgement=True,
            prefetch_count=10,
            log_extender=self.extend_log,
        )

    def receive(self, rw, header, message):
        self._batch.append((rw, header, message))

    def flush(self):
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        self.log.info("flushing %d", len(batch))
        txn = self._transport.transaction_begin(subscription_id=batch[0][1]["subscription"])
        for _, header, _ in batch:
            self._transport.ack(header, transaction=txn)
        batch[0][0].send_to("result", [message for _, _, message in batch], transaction=txn)
        self._transport.transaction_commit(txn)


class Poller(CommonService):
    """Comes back to its step until something is there."""

    _service_name = "Poller"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "bridged.poll", self.poll, acknowledgement=True)

    def poll(self, rw, header, message):
        tries = message.get("tries", 0) + 1
        txn = rw.transport.transaction_begin(subscription_id=header["subscription"])
        rw.transport.ack(header, transaction=txn)
        if tries < 3:
            rw.checkpoint({"tries": tries}, delay=0.1, transaction=txn)
        else:
            rw.set_default_channel("found")
            rw.send({"tries": tries}, transaction=txn)
        rw.transport.transaction_commit(txn)


class Storer(CommonService):
    """Stores a result in the environment of the recipe."""

    _service_name = "Storer"

    def initializing(self):
        workflows.recipe.wrap_subscribe(self._transport, "bridged.store", self.store, acknowledgement=True)

    def store(self, rw, header, message):
        name = rw.recipe_step["parameters"]["store_result"]
        txn = rw.transport.transaction_begin(subscription_id=header["subscription"])
        rw.transport.ack(header, transaction=txn)
        rw.environment[name] = {"id": 42}
        rw.send({"stored": name}, transaction=txn)
        rw.transport.transaction_commit(txn)


class Greeter(CommonService):
    """Takes messages without a recipe, reads their headers, and answers to a queue of its own."""

    _service_name = "Greeter"

    def initializing(self):
        workflows.recipe.wrap_subscribe(
            self._transport, "bridged.greet", self.greet, acknowledgement=True, allow_non_recipe_messages=True
        )
        self._set_name("Greeter of everyone")

    def greet(self, rw, header, message):
        assert rw is None and not header["redelivered"]
        self._transport.send(
            "bridged.greeted",
            {"hello": header["name"], "said": message},
            headers={"polite": "yes"},
            expiration=600,
        )
        self._transport.ack(header)


class Crier(CommonService):
    """Hears broadcasts, and repeats them."""

    _service_name = "Crier"

    def initializing(self):
        self._transport.subscribe_broadcast("bridged.news", self.hear)
        self._answers = self._transport.subscribe_temporary("crier", self.answered)

    def hear(self, header, message):
        self.log.info("heard %s", message)
        self._transport.send(self._answers.queue_name, {"heard": message})

    def answered(self, header, message):
        self._transport.broadcast("bridged.repeated", message)
        self._request_termination()


class Careless(CommonService):
    """Fails on some messages."""

    _service_name = "Careless"
    _logger_name = "bridged.careless"

    def initializing(self):
        workflows.recipe.wrap_subscribe(
            self._transport,
            "bridged.careless",
            self.work,
            acknowledgement=True,
            prefetch_count=20,
            log_extender=self.extend_log,
        )

    def work(self, rw, header, message):
        if message == "poison":
            raise ValueError("this is poison")
        if message == "refused":
            self.log.error("not this one")
            self._transport.nack(header, requeue=False)
            return
        txn = rw.transport.transaction_begin(subscription_id=header["subscription"])
        rw.transport.ack(header, transaction=txn)
        rw.send(message, transaction=txn)
        rw.transport.transaction_commit(txn)

    def in_shutdown(self):
        marker = os.environ.get("BRIDGED_MARKER")
        if marker:
            with open(marker, "a") as file:
                file.write("shut down\n")


class Producer(CommonService):
    """Works from its start on, without a message or a timer."""

    _service_name = "Producer"

    def initializing(self):
        number = 0
        while True:
            number += 1
            self._transport.send("bridged.produced", number)


class Wordless(CommonService):
    """Fails without saying why."""

    _service_name = "Wordless"

    def initializing(self):
        self._transport.subscribe("bridged.wordless", self.work, acknowledgement=True)

    def work(self, header, message):
        if message == "nothing":
            raise RuntimeError()
        try:
            raise ValueError("the disk is full")
        except ValueError:
            raise RuntimeError()


class Byter(CommonService):
    """Sends bytes as they are."""

    _service_name = "Byter"

    def initializing(self):
        self._transport.subscribe("bridged.bytes", self.work)

    def work(self, header, message):
        self._transport.raw_send("bridged.raw", bytes.fromhex(message))


class Through(CommonService):
    """Passes on what it gets."""

    _service_name = "Through"

    def initializing(self):
        workflows.recipe.wrap_subscribe(
            self._transport,
            "bridged.through",
            self.work,
            acknowledgement=True,
            prefetch_count=int(os.environ.get("BRIDGED_PREFETCH", "1")),
            log_extender=self.extend_log,
        )

    def work(self, rw, header, message):
        txn = rw.transport.transaction_begin(subscription_id=header["subscription"])
        rw.transport.ack(header, transaction=txn)
        rw.send(message, transaction=txn)
        rw.transport.transaction_commit(txn)


class Centre(CommonService):
    """Finds a crystal when a collection starts, and takes note of its end."""

    _service_name = "Centre"

    def initializing(self):
        for queue, callback in (("bridged.start", self.started), ("bridged.end", self.ended)):
            workflows.recipe.wrap_subscribe(self._transport, queue, callback, acknowledgement=True)

    def started(self, rw, header, message):
        crystal = {
            "centre_of_mass": [1.5, 2.5, 3.5],
            "max_voxel": [1, 2, 3],
            "max_count": 70,
            "n_voxels": 4,
            "total_count": 200,
            "bounding_box": [[1, 1, 1], [3, 4, 5]],
        }
        txn = rw.transport.transaction_begin(subscription_id=header["subscription"])
        rw.transport.ack(header, transaction=txn)
        rw.send_to("result", {"results": [crystal]}, transaction=txn)
        rw.transport.transaction_commit(txn)

    def ended(self, rw, header, message):
        rw.transport.ack(header)


class Phasing(BaseWrapper):
    """A wrapper that reports what it does."""

    _logger_name = "zocalo.wrap.phasing"

    def run(self):
        parameters = self.recwrap.recipe_step["job_parameters"]
        self.log.info("phasing %s", parameters["name"])
        self.update({"percent": 50})
        self.recwrap.send_to(channel="updates", message={"by": "keyword"})
        self.record_result_individual_file({"file_path": "/a", "file_name": parameters["name"]})
        self.record_result_all_files({"files": 1})
        return parameters["works"]


class Broken(BaseWrapper):
    """A wrapper that fails."""

    def run(self):
        raise RuntimeError("no phases")


def double(message, parameters):
    """A filter of the dispatcher."""
    if "n" in parameters:
        parameters["doubled"] = parameters["n"] * 2
    return message, parameters


def settled(message, parameters):
    """Whether a request can be dealt with."""
    return bool(parameters.get("settled", True))
