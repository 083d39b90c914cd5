"""Runs services, wrappers and filters of ``workflows`` and ``zocalo`` under zrecipe, without a change to their code.

zrecipe starts ``python -m zrecipe.bridge``; nobody has to call this module. A service is a worker that speaks the second
edition of zrecipe's worker protocol (``docs/worker-protocol.md``): its transport is standard input and output.
"""

from __future__ import annotations
