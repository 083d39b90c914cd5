import json
import sys


def deal_with(message):
    try:
        with open(message["parameters"]["report"], "a") as report:
            print(json.dumps(message["payload"]), file=report)
    except PermissionError as error:
        return {"bad": str(error)}
    return {"outputs": []}


for line in sys.stdin:
    message = json.loads(line)
    if "ping" in message:
        answer = {"pong": message["ping"]}
    else:
        answer = {"id": message["id"], **deal_with(message)}
    print(json.dumps(answer), flush=True)
