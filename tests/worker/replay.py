"""Plays the worker's part of a transcript, and ends with an error if the host does not play its own.

A line that begins with `>` is to come: every key of it has to be in the line that comes. The order of lines that come
is that of the transcript, but for confirmations, which may be late. `ping` may come at any time.
"""

import json
import sys


def holds(expected, found):
    if isinstance(expected, dict) and isinstance(found, dict):
        return all(key in found and holds(value, found[key]) for key, value in expected.items())
    return expected == found


def main(path):
    early = []

    def expect(line):
        for found in early:
            if holds(line, found):
                early.remove(found)
                return
        while True:
            text = sys.stdin.readline()
            if not text:
                sys.exit(f"the host has ended instead of: {json.dumps(line)}")
            found = json.loads(text)
            if "ping" in found and "ping" not in line:
                print(json.dumps({"pong": found["ping"]}), flush=True)
            elif holds(line, found):
                return
            elif len(early) > 3:
                sys.exit(f"expected {json.dumps(line)}, found {json.dumps(early)}")
            else:
                early.append(found)

    with open(path) as transcript:
        for text in transcript:
            direction, line = text[0], json.loads(text[1:])
            if direction == ">":
                expect(line)
            else:
                print(json.dumps(line), flush=True)
    print("played", file=sys.stderr)


main(sys.argv[1])
