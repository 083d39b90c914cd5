"""The reference implementation at the other end: receives messages and says what they are, or sends one.

PORT is that of RabbitMQ, or `stomp:PORT:PREFIX` for ActiveMQ.

python.py PORT receive QUEUE      prints the first recipe message of the queue as a line of JSON, and sends its payload on
python.py PORT send QUEUE         starts the recipe that its input names: {"recipe": …, "id": …}
python.py PORT dead QUEUE         prints what the reference's tools read of the first dead letter of the queue
python.py PORT serve QUEUE        sends on what comes, with `by` in the payload, until its input ends
"""

import functools
import json
import queue
import sys
import threading

import workflows.recipe
from workflows.transport.pika_transport import PikaTransport
from workflows.transport.stomp_transport import StompTransport

port, what, place = sys.argv[1:]
if port.startswith("stomp:"):
    _, port, prefix = port.split(":")
    StompTransport.config = {
        "--stomp-host": "127.0.0.1",
        "--stomp-port": port,
        "--stomp-user": "guest",
        "--stomp-pass": "guest",
        "--stomp-prfx": prefix,
    }
    transport = StompTransport()
else:
    PikaTransport.config = {
        "--rabbit-host": "127.0.0.1",
        "--rabbit-port": port,
        "--rabbit-user": "guest",
        "--rabbit-pass": "guest",
        "--rabbit-vhost": "/",
    }
    transport = PikaTransport()
transport.connect()
came = queue.Queue()


def say(value):
    print(json.dumps(value), flush=True)


def take(subscribe, place):
    """The first message of a queue. What comes is dealt with outside the callback, which the transport waits for."""
    subscribe(place, lambda *what: came.put(what), acknowledgement=True)
    say("ready")
    return came.get(timeout=120)


if what == "receive":
    wrapper, header, message = take(functools.partial(workflows.recipe.wrap_subscribe, transport), place)
    # Whatever it sends on goes the way of the recipe.
    wrapper.send_to("result", {"back": message})
    transport.ack(header)
    say(
        {
            "payload": message,
            "id": wrapper.environment["ID"],
            "pointer": wrapper.recipe_pointer,
            "path": wrapper.recipe_path,
            "recipe": wrapper.recipe.recipe,
        }
    )
elif what == "serve":
    take_all = functools.partial(workflows.recipe.wrap_subscribe, transport)
    take_all(place, lambda *message: came.put(message), acknowledgement=True)
    threading.Thread(target=lambda: (sys.stdin.read(), came.put(None)), daemon=True).start()
    say("ready")
    for wrapper, header, message in iter(came.get, None):
        wrapper.send({"by": "Python", "got": message})
        transport.ack(header)
elif what == "send":
    asked = json.load(sys.stdin)
    wrapper = workflows.recipe.RecipeWrapper(recipe=asked["recipe"], transport=transport)
    wrapper.environment = {"ID": asked["id"]}
    wrapper.start()
elif what == "dead":
    header, message = take(transport.subscribe, place)
    transport.ack(header)
    death = header["x-death"][0]
    said = {name: death[name] for name in ("queue", "exchange", "reason")}
    say({**said, "year": death["time"].year, "why": header["zrecipe-reason"]})
transport.disconnect()
