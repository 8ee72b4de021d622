"""When an entry is left over: its store's version no longer writes such keys, or it counts in a window long past without an end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stores.keyclasses import Rate, left_over
from stores.texts import say
from stores.types import Entry, Kind

LONG_PAST: Final = 86400
"""Seconds after the end of a window from which a counter without an expiry is called left over."""


def why_left_over(entry: Entry, slug: str | None, version: str, now: float, rates: Mapping[str, Rate]) -> str:
    """Why an entry is left over, in words; empty when it is not. `rates`: the limits by class, for the ends of their windows.

    A counter of an SMTP limit is never called so: its key is a hash, so nothing in it tells when its window was.
    """
    found = left_over(entry.key, version)
    if found or slug is None or not slug.startswith("rate-") or entry.kind is not Kind.COUNTER or entry.expires_at is not None:
        return found
    rate = rates.get(slug)
    end = None if rate is None else (int.from_bytes(entry.key[-8:], "big") + 1) * rate.period
    if end is None or end + LONG_PAST > now:
        return ""
    return say("Its window is long over and it has no expiry, so nothing removes it by itself.")
