"""A beamline: starts and ends data collections at the dispatcher, and waits for the answer to each start.

beamline.py CLASSES COUNT RATE    CLASSES is `own`, or `dodal` where that package is installed. Meanwhile a thread sends
                                  RATE other requests a second. Prints a line of JSON: the seconds from each start to its
                                  answer, in order, and the number of other requests.

Our own classes behave like the public ones: the trigger connects anew for each message, and whoever waits is subscribed
all the time and acknowledges what comes.
"""

import asyncio
import json
import queue
import sys
import threading
import time

import workflows.recipe
import zocalo.configuration
from workflows.transport import lookup

QUEUE = "bridged.results"


def connect():
    zocalo.configuration.from_file().activate_environment("default")
    transport = lookup("PikaTransport")()
    transport.connect()
    return transport


class Trigger:
    def _send(self, parameters):
        transport = connect()
        try:
            header = {"zocalo.go.user": "beamline", "zocalo.go.host": "beamline"}
            transport.send("processing_recipe", {"recipes": ["mimas"], "parameters": parameters}, headers=header)
        finally:
            transport.disconnect()

    def start(self, number):
        self._send({"ispyb_dcid": number, "event": "start", "filename": "a.h5", "start_frame_index": 0,
                    "number_of_frames": 100, "message_index": 0})

    def end(self, number):
        self._send({"ispyb_dcid": number, "event": "end"})


class Results:
    def __init__(self):
        self._came = queue.Queue()
        self._transport = None

    async def stage(self):
        self._transport = connect()
        workflows.recipe.wrap_subscribe(self._transport, QUEUE, self._receive, acknowledgement=True)

    def _receive(self, rw, header, message):
        self._transport.ack(header)
        self._came.put((int(rw.recipe_step["parameters"]["dcid"]), message["results"]))

    async def answer(self):
        number, results = self._came.get(timeout=120)
        assert len(results) == 1
        return number


def real_classes():
    from dodal.devices.zocalo import ZocaloResults, ZocaloStartInfo, ZocaloTrigger

    class RealTrigger(ZocaloTrigger):
        def start(self, number):
            self.run_start(ZocaloStartInfo(number, "a.h5", 0, 100, 0))

        def end(self, number):
            self.run_end(number)

    class RealResults(ZocaloResults):
        async def answer(self):
            await self.trigger()
            return int(await self.ispyb_dcid.get_value())

    return RealTrigger("default"), RealResults("zocalo", "default", QUEUE, timeout_s=120)


def other_requests(rate, is_over, sent):
    transport = connect()
    begun = time.monotonic()
    while not is_over.is_set():
        transport.send("processing_recipe", {"recipes": ["load"], "parameters": {"n": str(sent[0])}})
        sent[0] += 1
        is_over.wait(max(0.0, begun + sent[0] / rate - time.monotonic()))
    transport.disconnect()


async def main():
    classes, count, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    trigger, results = real_classes() if classes == "dodal" else (Trigger(), Results())
    await results.stage()
    is_over, sent = threading.Event(), [0]
    load = threading.Thread(target=other_requests, args=(rate, is_over, sent))
    load.start()
    took = []
    try:
        for number in range(1, count + 1):
            begun = time.monotonic()
            trigger.start(number)
            answered = await results.answer()
            took.append(time.monotonic() - begun)
            assert answered == number, f"the answer to {answered} came for {number}"
            trigger.end(number)
    finally:
        is_over.set()
        load.join()
    print(json.dumps({"took": took, "others": sent[0]}), flush=True)


asyncio.run(main())
