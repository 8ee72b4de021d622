"""A stored entry together with what it means: kind settled by the key class, decoded, ready for pages and JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from stores import keyclasses
from stores.keyclasses.base import Decoded, FieldValue
from stores.types import Capabilities, Entry, Kind

if TYPE_CHECKING:
    from stores.keyclasses import StoreKind

_INTEGER: Final = re.compile(rb"[+-]?[0-9]{1,19}\Z")


@dataclass(frozen=True, slots=True)
class Row:
    """One key as stored (`entry`, its kind settled) and in words (`decoded`); `expired` at the time of reading."""

    entry: Entry
    decoded: Decoded
    expired: bool

    @property
    def secret(self) -> bool:
        """Whether its key or its value gives access to something."""
        return self.decoded.secret_key or self.decoded.secret_value


def store_kind(capabilities: Capabilities) -> StoreKind:
    """Which of the three families of encodings an open store belongs to."""
    if capabilities.counters:
        return "data"
    return "redis" if capabilities.expiry else "static"


def settle(entry: Entry, version: str, kind: StoreKind) -> tuple[str | None, Entry]:
    """Class slug (None for a user key) and the entry with the kind its class gives it; on Redis with its number read.

    Total on any bytes. The settled entry has an etag of its own: compare settled with settled, and give backends `as_stored`.
    """
    if kind == "static":
        return None, entry
    slug, settled = keyclasses.classify(entry.key, version, entry.kind)
    counter = entry.counter
    if kind == "redis" and settled is Kind.COUNTER:
        counter = integer(entry.value)
        settled = Kind.UNKNOWN if counter is None else settled
    if settled is entry.kind and counter == entry.counter:
        return slug, entry
    return slug, replace(entry, kind=settled, counter=counter)


def as_stored(entry: Entry, kind: StoreKind) -> Entry:
    """The entry as the backend read it, for `expect`: on Redis without the number that the key class found."""
    if kind != "redis" or entry.counter is None:
        return entry
    return replace(entry, kind=Kind.UNKNOWN, counter=None)


def same_row(current: Entry, seen: Entry) -> bool:
    """Whether a whole entry is the one that was seen, of which a list may have held only the first part."""
    if seen.length is None:
        return current.etag == seen.etag
    whole, part = current.row or b"", seen.row or b""
    return len(whole) == seen.length and whole.startswith(part) and current.expires_at_ms == seen.expires_at_ms


def row_of(entry: Entry, version: str, kind: StoreKind, now: float, *, reveal: bool = False) -> Row:
    """Settle and decode one entry."""
    _, settled = settle(entry, version, kind)
    return decoded_row(settled, version, kind, now, reveal=reveal)


def decoded_row(settled: Entry, version: str, kind: StoreKind, now: float, *, reveal: bool = False) -> Row:
    """Decode an entry that `settle` has answered."""
    return Row(settled, keyclasses.decode(settled, version, kind, now, reveal=reveal), settled.expired(now))


def integer(text: bytes | None) -> int | None:
    """The number that Redis would see in a string; None when it is none."""
    if text is None or not _INTEGER.match(text):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


def json_row(row: Row, now: float | None = None) -> dict[str, Any]:
    """One line of `keys --json`; these names and types are a public interface.

    `key_hex`; `kind` value|counter|lock|unknown; `class` slug or null for user keys; `value_hex` payload without the expiry
    header, null for counters; `counter` integer or null; `expires_at` Unix seconds or null; `expired`; `label`; `fields`.
    A malformed row has `value_hex` null, and `problem` and `row_hex` in its fields. `key_hex` and `value_hex` are always
    the real bytes; `label` and `fields` mask codes and keys.
    """
    entry, decoded = row.entry, row.decoded
    fields: dict[str, Any] = {name: _plain(value) for name, value in decoded.fields.items()}
    if entry.problem:
        fields |= {"problem": entry.problem, "row_hex": (entry.row or b"").hex()}
    return {
        "key_hex": entry.key.hex(),
        "kind": entry.kind.value,
        "class": decoded.slug,
        "value_hex": None if entry.kind is Kind.COUNTER or entry.value is None else entry.value.hex(),
        "counter": entry.counter,
        "expires_at": entry.expires_at,
        "expired": row.expired if now is None else entry.expired(now),
        "label": decoded.label,
        "fields": fields,
    }


def _plain(value: FieldValue) -> FieldValue:
    """JSON has no infinity and no NaN: they become text."""
    return str(value) if isinstance(value, float) and not isfinite(value) else value
