"""``python -m zrecipe``: runs the program with the same arguments."""

from __future__ import annotations

import os
import subprocess
import sys

from zrecipe._program import find_program


def main() -> int:
    """Replaces this process with the program; on Windows, waits for it. Returns the exit status."""
    try:
        program = find_program()
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arguments = [program, *sys.argv[1:]]
    if os.name == "nt":
        try:
            return subprocess.run(arguments, check=False).returncode
        except KeyboardInterrupt:
            return 130
    os.execv(program, arguments)


if __name__ == "__main__":
    sys.exit(main())
