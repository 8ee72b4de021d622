"""What may be done with a store, asked once for a page: the same answers that guard the services hide the buttons."""

from __future__ import annotations

from dataclasses import dataclass

from stores.models import Store
from stores.registry import open_store
from stores.services import permissions, switches
from stores.services.access import lacks
from stores.services.actor import Actor
from stores.services.permissions import Permission


@dataclass(frozen=True, slots=True)
class Abilities:
    """Empty where the store can do it, else one line why not."""

    writes: str = ""
    expiry: str = ""
    purges: str = ""
    counters: str = ""
    ordered_scan: str = ""


def abilities(store: Store, actor: Actor | None = None) -> Abilities:
    """What an actor, when one is given, may do with the store. Opens it; costs a round trip only where the answer depends on the
    server. Raises what opening raises.
    """
    with open_store(store) as backend:
        able = backend.capabilities
        locked = switches.why_read_only(store)
        no_edit = permissions.why_not(actor, Permission.EDIT, store) if actor else ""
        no_purge = permissions.why_not(actor, Permission.PURGE, store) if actor else ""
        return Abilities(
            writes=no_edit or locked or lacks(store, able, "writes"),
            expiry=lacks(store, able, "expiry"),
            purges=no_purge or locked or lacks(store, able, "purges"),
            counters=lacks(store, able, "counters"),
            ordered_scan=lacks(store, able, "ordered_scan"),
        )
