"""WebDAV locks (class 19) and messages a user's Sieve script has seen (1A), both from 0.12 on (store-formats c.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stores.codecs.numbers import u32
from stores.codecs.rkyv import DavLock, decode_dav_locks
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.rate_limits import account_fields
from stores.keyclasses.reading import Reading, Rule, rule
from stores.keyclasses.words import account, shown, span
from stores.texts import counted, say
from stores.types import Kind

DAV: Final = KeyClass(
    "lock-dav", say("WebDAV locks"), say("files and entries that a client is editing"), "dav", "dav", 0x19, Kind.VALUE, "0.12", secret=True
)
SEEN: Final = KeyClass(
    "sieve-seen-id",
    say("Sieve duplicates"),
    say("messages that a user's Sieve script has seen"),
    "sieve",
    "sieve",
    0x1A,
    Kind.VALUE,
    "0.12",
)
CLASSES: Final = (DAV, SEEN)

COLLECTIONS: Final = {8: say("calendar"), 10: say("address book"), 12: say("files")}
UNRELIABLE: Final = say("The stored expiry is unreliable: Stalwart adds the time twice.")
_REASONABLE: Final = 1 << 33


def _read_dav(reading: Reading) -> Decoded:
    number, collection = u32(reading.key[1:5]), reading.key[5]
    who, what = account(number, reading.minor), COLLECTIONS.get(collection, say("collection %(collection)s", collection=collection))
    fields: dict[str, FieldValue] = {**account_fields(number, reading.minor), "collection": what}
    value: str = say("no value")
    note, problem = UNRELIABLE, ""
    if reading.entry.value is not None:
        fields["size"] = len(reading.entry.value)
        try:
            locks = decode_dav_locks(reading.entry.value)
        except ValueError as error:
            value, problem = counted(len(reading.entry.value), "byte"), say("The locks cannot be read: %(error)s.", error=error)
        else:
            fields |= _lock_fields(locks, reading)
            value = _lock_words(locks, reading.now)
            note = say("%(unreliable)s The locks themselves say until when they hold.", unreliable=UNRELIABLE) if locks else UNRELIABLE
    return reading.decoded(
        say("%(what)s of %(who)s", what=what, who=who), value, fields, note=note, problem=problem, secret_value=True,
        parts=((0, 1, say("class, %(title)s", title=reading.cls.title)), (1, 5, who), (5, 6, what)),
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
    sharing = say("exclusive") if lock.exclusive else say("shared")
    depth = say("with everything below") if lock.infinite else say("only itself")
    return say("%(sharing)s, %(depth)s, by %(owner_id)s", sharing=sharing, depth=depth, owner_id=account(lock.owner_id, minor))


def _lock_words(locks: list[DavLock], now: float) -> str:
    if not locks:
        return say("no locks")
    live = [lock.expires_at for lock in locks if lock.expires_at > now]
    name = shown(locks[0].path.encode(), 60) + (say(" and %(count)s more", count=len(locks) - 1) if len(locks) > 1 else "")
    return (
        say("%(name)s, %(live)s left", name=name, live=span(min(max(live) - now, 1e12)))
        if live
        else say("%(name)s, no longer locked", name=name)
    )


def _read_seen(reading: Reading) -> Decoded:
    digest = reading.key[1:].hex()
    value = reading.entry.value
    found = reading.decoded(
        say("seen message %(digest)s…", digest=digest[:12]), "seen" if value is not None else say("no value"), {"hash": digest},
        parts=((0, 1, say("class, %(title)s", title=reading.cls.title)), (1, 33, say("BLAKE3 of account, script and id"))),
    )  # fmt: skip
    return (
        replace(found, value_label=say("seen, and %(bytes)s that Stalwart ignores", bytes=counted(len(value), "byte"))) if value else found
    )


RULES: Final[tuple[Rule, ...]] = (
    rule(DAV, lambda key: len(key) == 6, _read_dav, since=12, verified=(15, 16), sees="length"),
    rule(SEEN, lambda key: len(key) == 33, _read_seen, since=12, verified=(15, 16), sees="length"),
)
