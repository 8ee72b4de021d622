"""What may be done with a store, asked once for a page: the same answers that guard the services hide the buttons."""

from __future__ import annotations

from dataclasses import dataclass

from stores.models import Store
from stores.registry import open_store
from stores.services import switches
from stores.services.access import lacks


@dataclass(frozen=True, slots=True)
class Abilities:
    """Empty where the store can do it, else one line why not."""

    writes: str = ""
    expiry: str = ""
    purges: str = ""
    counters: str = ""
    ordered_scan: str = ""


def abilities(store: Store) -> Abilities:
    """Opens the store; costs a round trip only where the answer depends on the server. Raises what opening raises."""
    with open_store(store) as backend:
        able = backend.capabilities
        locked = switches.why_read_only(store)
        return Abilities(
            writes=locked or lacks(store, able, "writes"),
            expiry=lacks(store, able, "expiry"),
            purges=locked or lacks(store, able, "purges"),
            counters=lacks(store, able, "counters"),
            ordered_scan=lacks(store, able, "ordered_scan"),
        )
