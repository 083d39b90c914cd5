"""``python -m zrecipe.bridge``: what zrecipe starts for classes and functions of Python."""

from __future__ import annotations

import argparse
import json
import sys


def main() -> int:
    """Runs a class or function. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zrecipe.bridge", description=__doc__)
    parser.add_argument("job", choices=["list", "service", "wrap", "filter", "ready"])
    parser.add_argument("--site", metavar="FILE", help="site configuration")
    parser.add_argument("-e", "--environment", action="append", default=[], metavar="ENV", help="site environment")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="log more")
    parser.add_argument("name", nargs="?", help="entry point, or package.module:name")
    arguments = parser.parse_args()
    if arguments.job == "list":
        from zrecipe.bridge.entry_points import listed

        print(json.dumps(listed()))
        return 0
    if not arguments.name:
        parser.error("a name is missing")
    if arguments.job == "service":
        from zrecipe.bridge import service

        return service.run(arguments.name, arguments.site, arguments.environment, arguments.verbose > 0)
    if arguments.job == "wrap":
        from zrecipe.bridge import wrap

        return wrap.run(arguments.name, arguments.site, arguments.environment, arguments.verbose > 0)
    from zrecipe.bridge import filters

    return filters.run(arguments.job, arguments.name)


if __name__ == "__main__":
    sys.exit(main())
