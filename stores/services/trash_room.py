"""How much the trash may hold, and how much of a bulk run it can undo. Single edits always find room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce, Length

from stores.models import TrashEntry

MEGABYTES: Final = 512
"""Unless the setting KVADMIN_TRASH_MB says otherwise."""
_OVERHEAD: Final = 250
"""Bytes of a row of the trash beside key, row and value."""


@dataclass(frozen=True, slots=True)
class Cover:
    """How many of a run's keys can be undone. `everything` when all of them."""

    keys: int
    everything: bool
    room: int
    """Bytes that are free."""


def limit_bytes() -> int:
    """Size of the trash in bytes at which bulk runs stop keeping copies."""
    return int(getattr(settings, "KVADMIN_TRASH_MB", MEGABYTES) * 1_000_000)


def used_bytes() -> int:
    """Bytes of keys, rows and values in the trash. Costs a pass over the trash, without its payloads."""
    zero = 0
    found = TrashEntry.objects.aggregate(
        rows=Count("pk"),
        keys=Coalesce(Sum(Length("key")), zero),
        row=Coalesce(Sum(Length("row")), zero),
        value=Coalesce(Sum(Length("value")), zero),
    )
    return int(found["rows"]) * _OVERHEAD + int(found["keys"]) + int(found["row"]) + int(found["value"])


def room() -> int:
    """Bytes that a run may still put into the trash."""
    return max(0, limit_bytes() - used_bytes())


def cover(keys: int, size: int) -> Cover:
    """What the room covers of so many keys with so many bytes in all."""
    free = room()
    needed = keys * _OVERHEAD + 2 * size
    if needed <= free:
        return Cover(keys, True, free)
    return Cover(int(keys * free / needed), False, free)
