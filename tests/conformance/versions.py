"""Lists the recorded cases in which two releases of the reference implementation differ.

    python tests/conformance/record.py OLD     with the release that the files here are recorded from
    python tests/conformance/record.py NEW     with another release, in another environment
    python tests/conformance/versions.py OLD 3.3 NEW 3.7 >tests/conformance/versions.json

Only the kind of the outcome counts, a value or a rejection, and the value itself; texts of errors do not.
"""

import json
import pathlib
import sys

FILES = ["substitution", "validation", "dispatch", "hops", "site_configuration", "rabbitmq_groups"]
OUTCOME = ("result", "error", "message")

old, old_version, new, new_version = sys.argv[1:]


def outcome(case):
    return {"rejected": True} if "error" in case else {"result": case.get("result")}


found = []
counted = {}
for name in FILES:
    before, after = (json.loads((pathlib.Path(place) / f"{name}.json").read_text()) for place in (old, new))
    counted[name] = len(before)
    for number, (first, second) in enumerate(zip(before, after, strict=True)):
        inputs = {key: value for key, value in first.items() if key not in OUTCOME}
        assert inputs == {key: value for key, value in second.items() if key not in OUTCOME}, (name, number)
        if outcome(first) != outcome(second):
            found.append({"file": name, "case": number, **inputs, old_version: outcome(first), new_version: outcome(second)})
json.dump({"releases": [old_version, new_version], "cases": counted, "differences": found}, sys.stdout, indent=1)
print()
