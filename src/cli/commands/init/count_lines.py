"""Counts the lines of a text file. zrecipe starts this program once for each message."""

import json
import os
import sys

payload = json.load(sys.stdin)  # the payload of the message
with open(os.environ["ZRECIPE_PARAMETERS"]) as file:
    parameters = json.load(file)  # the step's `parameters`

try:
    with open(parameters["file"]) as file:
        lines = sum(1 for line in file)
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(1)  # zrecipe sends the error on the channel `failure`

with open(os.environ["ZRECIPE_RESULTS"], "a") as results:
    output = {"channel": "counted", "payload": {"file": parameters["file"], "lines": lines}}
    print(json.dumps(output), file=results)
