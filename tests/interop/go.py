"""What `zocalo.go` makes of options: reads a list of lists of them as JSON, runs it with each and `--drop`, and prints
the file that it leaves in the directory that is its argument, a line of JSON for each.
"""

import contextlib
import json
import pathlib
import sys

import zocalo.cli.go

directory = pathlib.Path(sys.argv[1])
before = set(directory.iterdir())
for options in json.load(sys.stdin):
    sys.argv = ["zocalo.go", "--drop", *options]
    # It says what it does, and exits when it is done.
    with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
        zocalo.cli.go.run()
    (written,) = set(directory.iterdir()) - before
    before.add(written)
    print(json.dumps(json.loads(written.read_text())), flush=True)
