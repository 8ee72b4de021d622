"""The demo: two stores of an invented mail server, filled once and kept moving. Everything is made up, nothing is captured."""

from __future__ import annotations

import time

from stores.models import Store
from stores.registry import open_store
from stores.services.demo.classes import rows
from stores.services.demo.traffic import Traffic

__all__ = ["Traffic", "fill", "rows"]


def fill(store: Store) -> int:
    """Write all demo rows into the store, in the form of its type; returns how many. On Redis expired ones cannot exist.

    About 2 s for 4,000 rows on SQLite. Raises what the backend raises.
    """
    now, redis = time.time(), store.type == "redis"
    written = 0
    with open_store(store) as backend:
        for row in rows(int(now), store.effective_version):
            entry = row.redis_entry() if redis else row.data_entry()
            if redis and entry.expired(now + 1):
                continue
            backend.put(entry)
            written += 1
    return written
