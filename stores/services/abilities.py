"""What may be done with a store, asked once for a page: the same answers that guard the services hide the buttons."""

from __future__ import annotations

from dataclasses import dataclass

from stores.models import Store
from stores.registry import open_store
from stores.services.access import why_not


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
        return Abilities(
            writes=why_not(store, able, "writes"),
            expiry=why_not(store, able, "expiry"),
            purges=why_not(store, able, "purges"),
            counters=why_not(store, able, "counters"),
            ordered_scan=why_not(store, able, "ordered_scan"),
        )
