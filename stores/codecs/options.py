"""Values of Stalwart's options as text: durations, switches, numbers. Pure, no I/O."""

from __future__ import annotations

import re
from typing import Final

from stores.errors import BadConfig
from stores.texts import say

_DURATION: Final = re.compile(r"([0-9]{1,15}) ?(d|h|m|s|ms|)", re.ASCII)
_SECONDS: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "": 0.001}


def seconds(name: str, text: str, default: float) -> float:
    """Seconds of a duration such as `10s`; without a unit milliseconds. `default` when empty or 0. Raises BadConfig."""
    match = _DURATION.fullmatch(text.strip())
    if text.strip() and match is None:
        raise BadConfig(
            say("%(name)s is not a duration: %(text)s", name=name, text=text), say("Write digits and d, h, m, s or ms, such as 10s."), name
        )
    return (int(match[1]) * _SECONDS[match[2]] if match else 0.0) or default


def switch(name: str, text: str, default: bool = False) -> bool:
    """Whether a switch is on: `true` or `1`, `false` or `0`; `default` when empty. Raises BadConfig."""
    word = text.strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    if word:
        raise BadConfig(say("%(name)s is neither true nor false: %(text)s", name=name, text=text), say("Write true or false."), name)
    return default


def whole_number(name: str, text: str, default: int, lowest: int, highest: int) -> int:
    """A number in bounds; `default` when empty. Raises BadConfig."""
    if not text.strip():
        return default
    if not text.strip().isascii() or not text.strip().isdigit() or not lowest <= int(text) <= highest:
        raise BadConfig(
            say("%(name)s is not a number from %(lowest)s to %(highest)s: %(text)s", name=name, lowest=lowest, highest=highest, text=text),
            say("Correct the number."),
            name,
        )
    return int(text)
