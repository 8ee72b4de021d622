"""Locks: classes 14 to 18 (store-formats c.1, c.4).

A data store holds 8 bytes, the expiry. Redis holds a number: how often workers have asked for the lock, or from 0.16.16 on the
absolute expiry. Locks of 0.11.0 and 0.11.1 are counters on data stores too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from stores.codecs.numbers import base32_id, leb128, u32, u64
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.rate_limits import account_fields
from stores.keyclasses.reading import Parts, Reading, Rule, decimal, rule
from stores.keyclasses.words import account, printable, shown, span
from stores.texts import counted, joined, say
from stores.types import Kind

EPOCH: Final = 1_632_280_000
"""Unix seconds at which Stalwart's own ids and due times begin."""
_ID_SHIFT: Final = 21
"""Ids are milliseconds since EPOCH, shifted by this, then node and sequence."""
_ABSOLUTE: Final = 1_000_000_000
"""A Redis lock that holds a larger number holds its expiry."""
_U32: Final = 1 << 32


def _class(slug: str, title: str, use: str, byte: int, since: str, until: str, *, texts: tuple[bytes, ...] = ()) -> KeyClass:
    return KeyClass(slug, title, use, "locks", "locks", byte, Kind.LOCK, since, until, texts=texts, strict_texts=False)


PURGE_ACCOUNT: Final = _class(
    "lock-purge-account", say("Lock: account purge"), say("one worker purges an account"), 0x14, "0.10", "0.15", texts=(b"purge:",)
)
QUEUE_MESSAGE: Final = _class("lock-queue-message", say("Lock: queued message"), say("one worker delivers a message"), 0x15, "0.11", "")
QUEUE_REPORT: Final = _class("lock-queue-report", say("Lock: report"), say("one worker sends a DMARC or TLS report"), 0x16, "0.11", "0.15")
EMAIL_TASK: Final = _class("lock-email-task", say("Lock: e-mail task"), say("one worker indexes or trains a message"), 0x17, "0.11", "0.15")
TASK: Final = _class("lock-task", say("Lock: task"), say("one worker runs a task"), 0x17, "0.16", "")
HOUSEKEEPER: Final = _class(
    "lock-housekeeper", say("Lock: store purge"), say("one server purges or migrates a store"), 0x18, "0.11", "0.15"
)
CLASSES: Final = (PURGE_ACCOUNT, QUEUE_MESSAGE, QUEUE_REPORT, EMAIL_TASK, TASK, HOUSEKEEPER)


def id_time(number: int) -> int | None:
    """Unix seconds at which a queue, change or task id was made; None when the number is no such id."""
    made = EPOCH + (number >> _ID_SHIFT) // 1000
    return made if EPOCH + 86400 < made < EPOCH + 100 * 365 * 86400 else None


def due_time(number: int) -> int | None:
    """Unix seconds of a due time: plain, or in the upper half counted from EPOCH as the task queue of 0.15 does."""
    if number < _U32 * 4:
        return number
    made = EPOCH + (number >> 32)
    return made if made < EPOCH + 100 * 365 * 86400 else None


def held(reading: Reading) -> tuple[str, dict[str, FieldValue], str]:
    """What the lock says: words, fields, problem."""
    entry, now = reading.entry, reading.now
    ends, fields = entry.expires_at, dict[str, FieldValue]()
    attempts = entry.counter
    if reading.store == "redis":
        number = decimal(entry.value)
        if number is None:
            return say("not readable"), {}, say("The value of a lock is a number.")
        if number > _ABSOLUTE:
            ends = number
        else:
            attempts = number
    if attempts is not None:
        fields["attempts"] = attempts
    fields["held_until"] = ends
    asked = say(", asked for %(times)s", times=counted(attempts, "time")) if attempts is not None and attempts > 1 else ""
    if ends is None:
        return say("held without end%(asked)s", asked=asked), fields, ""
    fields["held"] = ends > now
    words = say("held, %(ends)s left", ends=span(ends - now)) if ends > now else say("no longer held")
    stray = say("A lock holds no value.") if reading.store == "data" and entry.value else ""
    return joined(words, asked, between=""), fields, stray


def read_lock(reading: Reading, label: str, fields: dict[str, FieldValue], parts: Parts) -> Decoded:
    """The part that all locks share: whether it is held, and how long."""
    words, more, problem = held(reading)
    return reading.decoded(label, words, fields | more, parts=parts, problem=problem)


def _named(reading: Reading) -> tuple[int, int, str]:
    return 0, 1, say("class, %(title)s", title=reading.cls.title)


def _read_account(reading: Reading) -> Decoded:
    number = u32(reading.key[1:])
    who = account(number, reading.minor)
    return read_lock(reading, say("purge of %(who)s", who=who), account_fields(number, reading.minor), (_named(reading), (1, 5, who)))


def _identity(name: str, number: int, minor: int) -> dict[str, FieldValue]:
    fields: dict[str, FieldValue] = {f"{name}_id": number, f"{name}_id_hex": f"{number:x}"}
    if minor >= 16:
        fields[f"{name}_jmap_id"] = base32_id(number)
    if (made := id_time(number)) is not None:
        fields["created_at"] = made
    return fields


def _read_message(reading: Reading) -> Decoded:
    key, number = reading.key, u64(reading.key[1:9])
    fields = _identity("queue", number, reading.minor)
    name = fields.get("queue_jmap_id", number)
    label, parts = (
        say("message %(name)s", name=name),
        ((0, 1, say("class, %(title)s", title=reading.cls.title)), (1, 9, say("queue id %(name)s", name=name))),
    )
    if len(key) == 9:
        return read_lock(reading, label, fields, parts)
    queue = shown(key[9:].rstrip(b"\0"))
    return read_lock(
        reading,
        say("%(label)s in queue %(queue)s", label=label, queue=queue),
        fields | {"queue_name": queue},
        (*parts, (9, 17, say("queue %(queue)s", queue=queue))),
    )


def _read_report(reading: Reading) -> Decoded:
    key = reading.key
    due, start = u64(key[2:10]), 10 if key[1] == 0 else 18
    kind, domain = "TLS" if key[1] == 0 else "DMARC", shown(key[start:])
    fields: dict[str, FieldValue] = {"report": kind, "due": due, "domain": domain}
    parts = [_named(reading), (1, 2, say("%(kind)s report", kind=kind)), (2, 10, say("due %(due)s", due=due))]
    if start == 18:
        fields["policy_hash"] = key[10:18].hex()
        parts.append((10, 18, say("hash of the policy")))
    return read_lock(
        reading,
        say("%(kind)s report to %(domain)s", kind=kind, domain=domain),
        fields,
        (*parts, (start, len(key), say("domain %(domain)s", domain=domain))),
    )


def _read_index(reading: Reading) -> Decoded:
    number = u64(reading.key[2:])
    fields = {"task": "index", **_identity("change", number, 11)}
    parts = (_named(reading), (1, 2, say("index task")), (2, 10, say("change %(number)s", number=number)))
    return read_lock(reading, say("index task of change %(number)s", number=number), fields, parts)


TASKS: Final = {0: say("index"), 1: say("train"), 2: say("calendar alarm"), 3: say("calendar invitation"), 4: say("merge threads")}


def _task_numbers(key: bytes, at: int, most_tail: int) -> tuple[int, int, int, int] | None:
    """(account, document, end of account, end of document), None unless at most `most_tail` bytes follow."""
    try:
        owner, middle = leb128(key, at)
        document, end = leb128(key, middle)
    except ValueError:
        return None
    fits = owner < _U32 and document < _U32 and len(key) - end <= most_tail
    return (owner, document, middle, end) if fits else None


def _read_task(start: int) -> Callable[[Reading], Decoded]:
    """Reader for `kind [u64 due] account document [index]` whose account begins at `start`."""

    def read(reading: Reading) -> Decoded:
        key, found = reading.key, _task_numbers(reading.key, start, 1)
        assert found is not None  # the shape has checked it
        owner, document, middle, end = found
        kind = TASKS.get(key[1], say("task %(key)s", key=key[1]))
        who = account(owner, reading.minor)
        fields: dict[str, FieldValue] = {"task": kind, **account_fields(owner, reading.minor), "document_id": document}
        parts = [_named(reading), (1, 2, say("kind, %(kind)s", kind=kind))]
        if start == 10:
            fields |= {"due": due_time(u64(key[2:10])), "due_raw": u64(key[2:10])}
            parts.append((2, 10, say("due")))
        parts += [(start, middle, who), (middle, end, say("document %(document)s", document=document))]
        if end < len(key):
            fields["index"] = key[end]
            parts.append((end, len(key), say("index %(key)s", key=key[end])))
        return read_lock(
            reading, say("%(kind)s, document %(document)s of %(who)s", kind=kind, document=document, who=who), fields, tuple(parts)
        )

    return read


def _read_task_id(reading: Reading) -> Decoded:
    number = u64(reading.key[1:])
    return read_lock(
        reading, say("task %(number)s", number=base32_id(number)), _identity("task", number, 16),
        (_named(reading), (1, 9, say("task id %(base32_id)s", base32_id=base32_id(number)))),
    )  # fmt: skip


_STORES: Final = {0: say("data"), 1: say("blob"), 2: say("in-memory")}


def _read_purge(reading: Reading) -> Decoded:
    key = reading.key
    what, index = _STORES[key[1]], u32(key[2:])
    return read_lock(
        reading, say("purge of the %(what)s store, schedule %(index)s", what=what, index=index), {"store": what, "schedule": index},
        (_named(reading), (1, 2, say("%(what)s store", what=what)), (2, 6, say("schedule %(index)s", index=index))),
    )  # fmt: skip


def _read_migration(reading: Reading) -> Decoded:
    name = shown(reading.key[1:])
    what = name.removeprefix("migrate_").rpartition("_")[0]
    subject = say("the server") if what == "core" else say("account %(what)s", what=what)
    parts = (_named(reading), (1, len(reading.key), say("migration marker")))
    if reading.key.endswith(b"_lock"):
        return read_lock(reading, say("migration of %(subject)s", subject=subject), {"migration": what}, parts)
    found = reading.decoded(say("migration of %(subject)s", subject=subject), "done", {"migration": what, "done": True}, parts=parts)
    return found if reading.entry.value is None else replace(found, value_parts=((0, len(reading.entry.value), "done"),))


def _report_shape(key: bytes) -> bool:
    if len(key) < 11 or key[1] > 1:
        return False
    start = 10 if key[1] == 0 else 18
    return len(key) > start and printable(key[start:])


def _train_shape(key: bytes) -> bool:
    return 4 <= len(key) <= 12 and key[1] == 1 and _task_numbers(key, 2, 0) is not None


def _due_shape(key: bytes) -> bool:
    return 12 <= len(key) <= 21 and key[1] in TASKS and _task_numbers(key, 10, 1) is not None


def _migration_shape(key: bytes) -> bool:
    return key.startswith(b"\x18migrate_") and key.endswith((b"_lock", b"_done")) and printable(key[1:])


RULES: Final[tuple[Rule, ...]] = (
    rule(PURGE_ACCOUNT, lambda key: len(key) == 5, _read_account, until=15, verified=(11, 12, 13, 14, 15)),
    rule(QUEUE_MESSAGE, lambda key: len(key) == 9, _read_message, until=12, verified=(11,)),
    rule(QUEUE_MESSAGE, lambda key: len(key) == 17, _read_message, since=13, verified=(16,)),
    rule(QUEUE_REPORT, _report_shape, _read_report, until=15, verified=(11,)),
    rule(TASK, lambda key: len(key) == 9, _read_task_id, since=16, verified=(16,)),
    rule(EMAIL_TASK, lambda key: len(key) == 10 and key[1] == 0, _read_index, until=12, verified=(11,)),
    rule(EMAIL_TASK, _due_shape, _read_task(10), since=12, until=15, verified=(15,)),
    rule(EMAIL_TASK, _train_shape, _read_task(2), until=12),
    rule(HOUSEKEEPER, lambda key: len(key) == 6 and key[1] in _STORES, _read_purge, until=15, verified=(11, 12, 13, 14, 15)),
    rule(HOUSEKEEPER, lambda key: _migration_shape(key) and key.endswith(b"_lock"), _read_migration, since=12, until=15),
    rule(HOUSEKEEPER, lambda key: _migration_shape(key) and key.endswith(b"_done"), _read_migration, kind=Kind.VALUE, since=12, until=15),
)
