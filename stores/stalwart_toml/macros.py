"""`%{cfg:...}%` in values: the other setting's text in its place. Environment and file macros stay until connect time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from stores.stalwart_toml.document import Setting

_CFG: Final = re.compile(r"%\{cfg:([^}]*)\}%")
_MAX_DEPTH: Final = 8
_MAX_LENGTH: Final = 64 << 10

Report = Callable[[str, str], None]
"""Takes the name of a setting and what is wrong with its macro."""


class Macros:
    """Values with their references to other settings resolved, as Stalwart does for the settings of the file.

    A missing or circular reference, or one that grows past 64 kB, is reported and leaves nothing in its place. Settings of the
    database are never expanded. Each setting is expanded once.
    """

    def __init__(self, settings: Mapping[str, Setting], report: Report) -> None:
        self._settings = settings
        self._report = report
        self._known: dict[str, str] = {}

    def value(self, key: str) -> str:
        """The text of a setting that exists."""
        return self._expanded(key, ())

    def _expanded(self, key: str, path: tuple[str, ...]) -> str:
        setting = self._settings[key]
        if setting.from_database or "%{cfg:" not in setting.value:
            return setting.value
        if key not in self._known:
            text = ""
            last = 0
            for match in _CFG.finditer(setting.value):
                text += setting.value[last : match.start()] + self._referred(match[1], (*path, key))
                last = match.end()
                if len(text) > _MAX_LENGTH:
                    self._report(key, "its references give too long a value")
                    text, last = "", len(setting.value)
                    break
            self._known[key] = text + setting.value[last:]
        return self._known[key]

    def _referred(self, name: str, path: tuple[str, ...]) -> str:
        if name not in self._settings:
            self._report(path[-1], f"it refers to {name[:80]}, which is not set")
            return ""
        if name in path or len(path) > _MAX_DEPTH:
            self._report(path[-1], f"its reference to {name[:80]} leads back to itself, or too far")
            return ""
        return self._expanded(name, path)
