"""What may be written where. Each check raises BadConfig that names the field, or NotSupported with the reason."""

from __future__ import annotations

import time
from typing import Final

from stores import keyclasses
from stores.backends.base import Backend
from stores.errors import BadConfig, NotSupported
from stores.services.durations import LAST_MOMENT
from stores.services.rows import integer, settle
from stores.services.writing import Writing
from stores.texts import say
from stores.types import KEEP, Entry, Keep, Kind

LOWEST: Final = -(1 << 63)
HIGHEST: Final = (1 << 63) - 1


def key(backend: Backend, key: bytes) -> None:
    """Not longer than the store takes."""
    longest = backend.capabilities.max_key
    if len(key) > longest:
        raise BadConfig(
            say("The key has %(count)s bytes; %(label)s takes at most %(longest)s.", count=len(key), label=backend.LABEL, longest=longest),
            say("Shorten the key."),
            "key",
        )


def expiry(backend: Backend, expires: int | Keep | None) -> None:
    """In the future, before the year 10000, and only where the store has expiry times."""
    if expires is KEEP or expires is None:
        return
    if not backend.capabilities.expiry:
        raise NotSupported(backend.capabilities.why.get("expiry", f"{backend.LABEL} has no expiry times."))
    if int(expires) <= time.time():
        raise BadConfig(say("The expiry is not in the future."), say("Give a later time, or delete the key."), "expiry")
    if int(expires) > LAST_MOMENT:
        raise BadConfig(say("The expiry lies after the year 9999."), say("Choose never for a key that should stay."), "expiry")


def number(number: int) -> None:
    """A signed 64-bit integer."""
    if not LOWEST <= number <= HIGHEST:
        raise BadConfig(
            say("%(number)s does not fit into 64 bits.", number=number),
            say("Give a number from %(lowest)s to %(highest)s.", lowest=LOWEST, highest=HIGHEST),
            "counter",
        )


def value(at: Writing, key: bytes, value: bytes, seen: Entry | None) -> None:
    """Fits the store, and is not put where Stalwart keeps a counter or a lock."""
    longest = at.backend.capabilities.max_value
    if len(value) > longest:
        raise BadConfig(
            say(
                "The value has %(count)s bytes; %(label)s takes at most %(longest)s.",
                count=len(value),
                label=at.backend.LABEL,
                longest=longest,
            ),
            say("Shorten the value."),
            "value",
        )
    kind = Kind.UNKNOWN if seen is None else settle(seen, at.version, at.kind)[1].kind
    wanted = _kind_of_class(at, key)
    if kind is Kind.COUNTER or (wanted is Kind.COUNTER and seen is None):
        if at.kind != "redis":
            raise NotSupported(say("This key is a counter."), say("Set its number instead of a value."))
        if integer(value) is None:
            raise BadConfig(say("This key is a counter; its value is a whole number."), say("Write digits only."), "value")
    if Kind.LOCK in (kind, wanted) and at.kind == "data" and value:
        raise BadConfig(say("This key is a lock; a lock has no value."), say("Leave the value empty."), "value")


def counter(at: Writing, key: bytes, seen: Entry | None) -> None:
    """Not put over a value or a lock; the number beside a value may be changed by increments only."""
    if seen is not None:
        kind = settle(seen, at.version, at.kind)[1].kind
        if at.kind == "redis" and kind is not Kind.LOCK and integer(seen.value) is not None:
            return
        if kind is not Kind.COUNTER:
            raise NotSupported(say("This key holds a value, not a counter."), say("Delete it first; it goes to the trash."))
    elif _kind_of_class(at, key) in (Kind.VALUE, Kind.LOCK):
        raise NotSupported(say("Keys of this class hold values, not counters."), say("Check the key's first byte."))


def _kind_of_class(at: Writing, key: bytes) -> Kind | None:
    """What Stalwart keeps under keys of this shape; None for user keys."""
    slug, _ = keyclasses.classify(key, at.version)
    return None if slug is None else keyclasses.CLASSES[slug].kind
