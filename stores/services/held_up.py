"""Attempts that are turned away unlooked at, because too many came before: on record too, few entries for any number of them.

The first of a window is written, then the tenth, the hundredth and so on, each with how many there were: somebody who tries a
million times leaves seven entries.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from django.core.cache import cache

from stores.services import audit
from stores.services.actor import Actor

HELD_UP: Final = "held-up"
WINDOW_SECONDS: Final = 300


def note(actor: Actor, who: str, what: str, **about: Any) -> None:
    """Count an attempt of `who` (an address, a token) at `what`; written when it is the first, tenth, hundredth of five minutes.

    Two short queries of the shared cache. Two processes at once may count one of two attempts only.
    """
    now, name = time.time(), f"held-up:{what}:{who}"
    began, attempts = cache.get(name) or (now, 0)
    if now - began >= WINDOW_SECONDS:
        began, attempts = now, 0
    cache.set(name, (began, attempts + 1), WINDOW_SECONDS)
    if _is_told(attempts + 1):
        after: Mapping[str, Any] = {"what": what, "attempts": attempts + 1, **about}
        audit.record(actor, HELD_UP, after=after, outcome=audit.REFUSED)


def _is_told(attempts: int) -> bool:
    return str(attempts).strip("0") == "1"
