from __future__ import annotations

import collections
import string


class ReplacingChainMap(collections.ChainMap):
    """Mappings read as one; `$name` stands for a value of the environment."""

    def __init__(self, *maps, substitutions=None):
        super().__init__(*maps)
        self._substitutions = substitutions

    def __getitem__(self, key):
        value = super().__getitem__(key)
        if self._substitutions and isinstance(value, str) and "$" in value:
            return string.Template(value).substitute(**self._substitutions)
        return value


def scaled(settings, factor):
    """One call deep: what is read here is read of the caller's mapping."""
    return float(settings["gain"]) * factor + settings.get("offset", 0)
