"""Several keys at once, read in one opening of the store."""

from __future__ import annotations

import time
from collections.abc import Iterable

from stores.models import Store
from stores.registry import open_store
from stores.services.rows import Row, row_of, store_kind


def read_keys(store: Store, keys: Iterable[bytes]) -> list[Row]:
    """The keys that exist, in the order given. One round trip a key; raises what the store says."""
    found = []
    with open_store(store) as backend:
        kind, now = store_kind(backend.capabilities), time.time()
        for key in keys:
            entry = backend.get(bytes(key))
            if entry is not None:
                found.append(row_of(entry, store.effective_version, kind, now))
    return found
