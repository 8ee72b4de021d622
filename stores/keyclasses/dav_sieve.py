"""WebDAV locks (class 19) and messages a user's Sieve script has seen (1A), both from 0.12 on (store-formats c.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stores.codecs.numbers import u32
from stores.codecs.rkyv import DavLock, decode_dav_locks
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.rate_limits import account_fields
from stores.keyclasses.reading import Reading, Rule, rule
from stores.keyclasses.words import account, counted, shown, span
from stores.types import Kind

DAV: Final = KeyClass(
    "lock-dav", "WebDAV locks", "files and entries that a client is editing", "dav", "dav", 0x19, Kind.VALUE, "0.12", secret=True
)
SEEN: Final = KeyClass(
    "sieve-seen-id", "Sieve duplicates", "messages that a user's Sieve script has seen", "sieve", "sieve", 0x1A, Kind.VALUE, "0.12"
)
CLASSES: Final = (DAV, SEEN)

COLLECTIONS: Final = {8: "calendar", 10: "address book", 12: "files"}
UNRELIABLE: Final = "The stored expiry is unreliable: Stalwart adds the time twice."
_REASONABLE: Final = 1 << 33


def _read_dav(reading: Reading) -> Decoded:
    number, collection = u32(reading.key[1:5]), reading.key[5]
    who, what = account(number, reading.minor), COLLECTIONS.get(collection, f"collection {collection}")
    fields: dict[str, FieldValue] = {**account_fields(number, reading.minor), "collection": what}
    value, note, problem = "no value", UNRELIABLE, ""
    if reading.entry.value is not None:
        fields["size"] = len(reading.entry.value)
        try:
            locks = decode_dav_locks(reading.entry.value)
        except ValueError as error:
            value, problem = counted(len(reading.entry.value), "byte"), f"The locks cannot be read: {error}."
        else:
            fields |= _lock_fields(locks, reading)
            value = _lock_words(locks, reading.now)
            note = f"{UNRELIABLE} The locks themselves say until when they hold." if locks else UNRELIABLE
    return reading.decoded(
        f"{what} of {who}", value, fields, note=note, problem=problem, secret_value=True,
        parts=((0, 1, f"class, {reading.cls.title}"), (1, 5, who), (5, 6, what)),
    )  # fmt: skip


def _lock_fields(locks: list[DavLock], reading: Reading) -> dict[str, FieldValue]:
    ends = [lock.expires_at for lock in locks if 0 < lock.expires_at < _REASONABLE]
    fields: dict[str, FieldValue] = {
        "locks": len(locks),
        "paths": [shown(lock.path.encode()) for lock in locks],
        "scopes": [_scope(lock, reading.minor) for lock in locks],
        "real_expires_at": max(ends, default=None),
        "real_expiries": [str(lock.expires_at) for lock in locks],
    }
    if reading.reveal:
        fields["lock_tokens"] = [f"{lock.token:x}" for lock in locks]
    return fields


def _scope(lock: DavLock, minor: int) -> str:
    sharing, depth = "exclusive" if lock.exclusive else "shared", "with everything below" if lock.infinite else "only itself"
    return f"{sharing}, {depth}, by {account(lock.owner_id, minor)}"


def _lock_words(locks: list[DavLock], now: float) -> str:
    if not locks:
        return "no locks"
    live = [lock.expires_at for lock in locks if lock.expires_at > now]
    name = shown(locks[0].path.encode(), 60) + (f" and {len(locks) - 1} more" if len(locks) > 1 else "")
    return f"{name}, {span(min(max(live) - now, 1e12))} left" if live else f"{name}, no longer locked"


def _read_seen(reading: Reading) -> Decoded:
    digest = reading.key[1:].hex()
    value = reading.entry.value
    found = reading.decoded(
        f"seen message {digest[:12]}…", "seen" if value is not None else "no value", {"hash": digest},
        parts=((0, 1, f"class, {reading.cls.title}"), (1, 33, "BLAKE3 of account, script and id")),
    )  # fmt: skip
    return replace(found, value_label=f"seen, and {counted(len(value), 'byte')} that Stalwart ignores") if value else found


RULES: Final[tuple[Rule, ...]] = (
    rule(DAV, lambda key: len(key) == 6, _read_dav, since=12, verified=(15, 16)),
    rule(SEEN, lambda key: len(key) == 33, _read_seen, since=12, verified=(15, 16)),
)
