"""HTTP lookups: fetching their lists in the background and keeping the copies. A failed fetch leaves the copy as it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from celery import signature
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from kombu.exceptions import OperationalError

from stores.backends.httpfetch import Fetched, fetch
from stores.codecs.httplists import HttpOptions, parse_options
from stores.codecs.options import switch
from stores.errors import BadConfig, Busy, NotSupported, StoreError
from stores.models import HttpLookup, StaticEntry, Store
from stores.registry import resolve_macros
from stores.services import audit
from stores.services.actor import Actor
from stores.services.permissions import Permission, require
from stores.texts import say

HTTP: Final = "http"
TASK: Final = "stores.tasks.refresh_lists"
LONGEST_KEY: Final = 512
"""Characters of a key that can be kept."""
MOST_SECONDS: Final = 120.0
"""No fetch takes longer, whatever the timeout of the lookup."""
BEGIN_SECONDS: Final = 40.0
"""One round of the schedule begins fetches for so long; the rest is due in the next round."""
RETRY_SECONDS: Final = 3600.0
"""Until the next try where the settings themselves cannot be read."""


def state(store: Store) -> HttpLookup | None:
    """What is known of the copy; None for other types and before the first try. One query."""
    return HttpLookup.objects.filter(store=store).first() if store.type == HTTP else None


def refresh_due(now: datetime | None = None) -> list[HttpLookup]:
    """Fetch the lists whose time has come, one after another; every minute. Nothing while another round is still at it."""
    began, done = time.monotonic(), []
    for store in due(now or timezone.now()):
        moment = now or timezone.now()
        if time.monotonic() - began > BEGIN_SECONDS or HttpLookup.objects.filter(busy_until__gt=moment).exists():
            break
        with suppress(Busy):
            done.append(_refresh(store, moment))
    return done


def due(now: datetime) -> list[Store]:
    """HTTP lookups in use that were never tried, were changed since, or whose time has come; the longest waiting first."""
    known = {row.store_id: row for row in HttpLookup.objects.all()}
    found = [(known.get(store.pk), store) for store in Store.objects.filter(type=HTTP, enabled=True) if _wanted(store)]
    waiting = [(row.next_at if row else None, store) for row, store in found if _is_due(store, row, now)]
    return [store for _, store in sorted(waiting, key=lambda pair: (pair[0] is not None, pair[0] or now, pair[1].pk))]


def fetch_now(actor: Actor, store: Store) -> HttpLookup:
    """Fetch a list in this process, also one that is not due. Blocks up to MOST_SECONDS; writes the audit.

    A failure is in the answer's `error`. Raises NotSupported for other types, Busy while it is being fetched.
    """
    require(actor, Permission.EDIT, store)
    require_list(store)
    row = _refresh(store, timezone.now())
    outcome = audit.FAILED if row.error else audit.DONE
    audit.record(actor, "list-fetch", store, after={"entries": row.entries, "error": row.error}, outcome=outcome)
    return row


def request_fetch(actor: Actor, store: Store) -> None:
    """Make a list due and wake a worker; asks nothing over the network itself. Raises NotSupported."""
    require(actor, Permission.EDIT, store)
    require_list(store)
    with transaction.atomic():
        HttpLookup.objects.update_or_create(store=store, defaults={"next_at": timezone.now()})
        audit.record(actor, "list-fetch", store)
        transaction.on_commit(_wake)


def _wake() -> None:
    """A queue that does not answer costs a minute: the schedule finds what is due."""
    with suppress(OperationalError):
        signature(TASK).apply_async()


def require_list(store: Store) -> None:
    """Raise NotSupported for what has no list to fetch."""
    if store.type != HTTP:
        raise NotSupported(say("Store %(store_id)s is no HTTP lookup; there is no list to fetch.", store_id=store.id))
    if not store.enabled:
        raise NotSupported(say("Store %(store_id)s is switched off.", store_id=store.id), say("Switch it on in its settings."))


def _wanted(store: Store) -> bool:
    """Whether the server itself would use the lookup (`enable`)."""
    try:
        return switch("enable", store.settings.get("enable", ""), True)
    except BadConfig:
        return True


def _is_due(store: Store, row: HttpLookup | None, now: datetime) -> bool:
    return row is None or row.source != _source(store) or row.next_at is None or row.next_at <= now


def _source(store: Store) -> str:
    return salted_hmac("stores.http-lookup", json.dumps(store.settings, sort_keys=True), algorithm="sha256").hexdigest()


def _refresh(store: Store, now: datetime) -> HttpLookup:
    """One try, from claim to result. Raises Busy when another process is fetching this list."""
    row = _claimed(store, now)
    source = _source(store)
    options: HttpOptions | None = None
    try:
        options = parse_options(resolve_macros(store.settings))
        etag = row.etag if row.source == source and row.fetched_at else ""
        found = fetch(replace(options, timeout=min(MOST_SECONDS, options.timeout)), etag)
    except StoreError as error:
        return _failed(row, source, error, now, options.retry if options else RETRY_SECONDS)
    return _kept(row, source, found, now, options.refresh)


def _claimed(store: Store, now: datetime) -> HttpLookup:
    HttpLookup.objects.get_or_create(store=store)
    free = HttpLookup.objects.filter(store=store).exclude(busy_until__gt=now)
    if not free.update(busy_until=now + timedelta(seconds=MOST_SECONDS + 60), tried_at=now):
        raise Busy(say("The list of %(store_id)s is being fetched already.", store_id=store.id), say("Wait a moment."))
    return HttpLookup.objects.get(store=store)


def _failed(row: HttpLookup, source: str, error: StoreError, now: datetime, retry: float) -> HttpLookup:
    """The copy stays; its ETag goes with other settings, because they may read the same answer otherwise."""
    etag = row.etag if row.source == source else ""
    return _saved(row, source=source, etag=etag, error=str(error), failures=row.failures + 1, next_at=_after(now, retry))


def _kept(row: HttpLookup, source: str, found: Fetched, now: datetime, refresh: float) -> HttpLookup:
    """Replace the copy in one transaction, unless the definition went or changed meanwhile."""
    settled: dict[str, Any] = {"source": source, "fetched_at": now, "next_at": _after(now, refresh), "error": "", "failures": 0}
    with transaction.atomic():
        store = Store.objects.select_for_update().filter(pk=row.store_id).first()
        if store is None or _source(store) != source:
            return _saved(row, next_at=now)
        if found.entries is not None:
            entries = {key: value for key, value in found.entries if len(key) <= LONGEST_KEY and "\0" not in key + value}
            _replace(store, entries)
            etag = found.etag if len(found.etag) <= 255 else ""
            settled |= {"etag": etag, "bytes": found.bytes, "cut": found.cut, "entries": len(entries)}
            settled["left_out"] = len(found.entries) - len(entries)
        return _saved(row, **settled)


def _replace(store: Store, entries: Mapping[str, str]) -> None:
    """Write only what differs: most lists change little from one fetch to the next."""
    known = {key: (pk, value) for pk, key, value in store.entries.values_list("pk", "key", "value")}
    gone = [pk for key, (pk, value) in known.items() if entries.get(key) != value]
    for some in _batches(gone, 500):
        store.entries.filter(pk__in=some).delete()
    new = [
        StaticEntry(store=store, key=key, value=value, position=place)
        for place, (key, value) in enumerate(entries.items())
        if key not in known or known[key][1] != value
    ]
    StaticEntry.objects.bulk_create(new, batch_size=1000)


def _batches(numbers: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def _after(now: datetime, seconds: float) -> datetime:
    """Also for waits that end after the last date there is."""
    return now + timedelta(seconds=min(seconds, 10 * 365 * 86_400))


def _saved(row: HttpLookup, **changes: object) -> HttpLookup:
    """Write these fields and end the claim; what others made due meanwhile is done with this fetch."""
    for name, value in {**changes, "busy_until": None}.items():
        setattr(row, name, value)
    HttpLookup.objects.filter(pk=row.pk).update(busy_until=None, **changes)
    return row
