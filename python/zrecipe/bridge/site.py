"""The configuration of the site, as services and wrappers of ``zocalo`` get it."""

from __future__ import annotations

import os
from typing import Any


def environment(site: str | None, names: list[str]) -> dict[str, Any]:
    """What a class gets as ``environment``: the configuration with the environments of these names activated.

    Without the package ``zocalo`` there is no configuration.
    """
    try:
        import zocalo.configuration
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "zocalo":
            raise
        return {"config": None, "live": False}
    if site:
        # Programs that the class starts find the same site.
        os.environ["ZOCALO_CONFIG"] = site
    configuration = zocalo.configuration.from_file(site)
    active = configuration.activate(names if names else [], default=True) if site or _is_named() else ()
    return {"config": configuration, "live": "live" in active or "default" in active}


def _is_named() -> bool:
    return bool(os.environ.get("ZOCALO_CONFIG"))
