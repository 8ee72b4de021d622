"""Finding entries of the audit: filters by keyset, newest first, each page within a bounded part of the audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection
from django.db.models import Q, QuerySet

from stores.errors import BadConfig
from stores.models import AuditEntry
from stores.texts import say

WINDOW: Final = 50_000
"""Entries that one page looks at where no index leads to what is wanted; the next page goes on from there."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "keys": ("edit", "expiry", "counter", "increment", "delete", "restore", "copy", "key_", "counter_"),
    "bulk": ("bulk-", "import-keys", "remove-"),
    "runs": ("purge-", "census-"),
    "secrets": ("reveal", "export", "audit-export"),
    "settings": ("store-", "default-store", "schedule", "import", "alert-", "publish", "unpublish", "list-fetch", "limits"),
    "server": ("mail-server", "lift-ban", "server-", "settings-read"),
    "accounts": ("sign-", "user-", "token-", "session-", "reauth", "second-factor", "passkey", "refused"),
    "audit": ("audit-",),
}
"""Kinds of acts -> beginnings of the actions that belong to them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Empty parts do not filter. `group` is one of GROUPS, `class_slug` "custom" stands for keys of no class."""

    store: str = ""
    actor: str = ""
    class_slug: str = ""
    group: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""

    @property
    def slow(self) -> bool:
        """Whether no index leads to the entries."""
        return bool(self.class_slug or self.group or self.outcome or self.text)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Newest first. `next` is the cursor of the next page, empty at the end; `partial`: the end of the window came first."""

    entries: tuple[AuditEntry, ...]
    next: str
    partial: bool = False


def find(wanted: Wanted, cursor: str = "", limit: int = 100, *, links: bool = False) -> AuditPage:
    """One keyset page; with `links` also entries that a later one settles. Raises BadConfig(field="cursor")."""
    before = _number(cursor)
    found = _filtered(wanted, AuditEntry.chain.all() if links else AuditEntry.objects.all())
    low = None
    if wanted.slow:
        top = before if before is not None else _newest() + 1
        low = max(0, top - WINDOW)
        found = found.filter(pk__gte=low)
    if before is not None:
        found = found.filter(pk__lt=before)
    entries = list(found.order_by("-pk")[: limit + 1])
    if len(entries) > limit:
        return AuditPage(tuple(entries[:limit]), str(entries[limit - 1].pk))
    if low and AuditEntry.chain.filter(pk__lt=low).exists():
        return AuditPage(tuple(entries), str(low), partial=True)
    return AuditPage(tuple(entries), "")


def stream(wanted: Wanted, *, links: bool = False) -> Iterator[AuditEntry]:
    """All entries of a filter, newest first, page by page; memory stays flat."""
    cursor = ""
    while True:
        page = find(wanted, cursor, 500, links=links)
        yield from page.entries
        cursor = page.next
        if not cursor:
            return


def gone_stores(limit: int = 200) -> list[str]:
    """Ids of stores that the audit knows, for choosing. One query that jumps from id to id along the index, however long the audit is."""
    with connection.cursor() as cursor:
        cursor.execute(_STORE_NAMES, [limit])
        return [name for (name,) in cursor.fetchall()]


_STORE_NAMES: Final = """
WITH RECURSIVE names (name, place) AS (
    SELECT MIN(store_name), 1 FROM stores_auditentry WHERE store_name > ''
    UNION ALL
    SELECT (SELECT MIN(e.store_name) FROM stores_auditentry e WHERE e.store_name > names.name), place + 1
    FROM names WHERE names.name IS NOT NULL AND place < %s
)
SELECT name FROM names WHERE name IS NOT NULL
"""


def _filtered(wanted: Wanted, found: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
    plain = {"store_name": wanted.store, "actor": wanted.actor, "outcome": wanted.outcome}
    found = found.filter(**{name: value for name, value in plain.items() if value})
    if wanted.class_slug:
        found = found.filter(class_slug="" if wanted.class_slug == "custom" else wanted.class_slug)
    if wanted.class_slug == "custom":
        found = found.exclude(key_hex="")
    if wanted.group:
        found = found.filter(_any_of("action__startswith", GROUPS[wanted.group]))
    if wanted.since is not None:
        found = found.filter(at__gte=wanted.since)
    if wanted.until is not None:
        found = found.filter(at__lt=wanted.until)
    if wanted.text:
        found = found.filter(_says(wanted.text))
    return found


def _any_of(lookup: str, values: tuple[str, ...]) -> Q:
    either = Q()
    for value in values:
        either |= Q(**{lookup: value})
    return either


def _says(text: str) -> Q:
    """Any field that contains the text; a key also by its own text instead of its hex."""
    either = Q()
    for name in ("actor", "action", "store_name", "address", "before", "after", "key_hex"):
        either |= Q(**{f"{name}__icontains": text})
    return either | Q(key_hex__contains=text.encode("utf-8", "replace").hex())


def _number(cursor: str) -> int | None:
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadConfig(say("This page link is not of the audit."), say("Start again from the first page."), "cursor")
    return int(cursor)


def _newest() -> int:
    return AuditEntry.chain.order_by("-pk").values_list("pk", flat=True).first() or 0
