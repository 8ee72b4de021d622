"""Static stores for others to read: as a list or CSV under an address with a token, and as TOML."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Final

from django.db import models, transaction
from django.utils import timezone

from stores.codecs.publishing import FORMS, Published, publish
from stores.errors import BadConfig, KeyNotFound, NotSupported
from stores.models import Publication, Store
from stores.services import audit
from stores.services.actor import Actor
from stores.services.permissions import Permission, require
from stores.services.store_checks import STATIC
from stores.services.tokens import TooMany
from stores.stalwart_toml import PlannedStore
from stores.stalwart_toml.writer import Written, write
from stores.texts import say

PER_MINUTE: Final = 30
"""Requests that one address answers in a minute."""
MOST: Final = 20
"""Addresses a store can have."""


def why_not(store: Store) -> str:
    """Why a store cannot be published; empty when it can."""
    return (
        "" if store.type == STATIC else say("Only static stores can be published; %(store_id)s holds its keys itself.", store_id=store.id)
    )


def add(actor: Actor, store: Store, form: str) -> tuple[Publication, str]:
    """A new address of a store and its token, which is not kept. Raises NotSupported, BadConfig(field="form")."""
    require(actor, Permission.CONFIGURE, store)
    _require_static(store)
    if form not in FORMS:
        raise BadConfig(say("The format has to be list or csv."), say("Choose one."), "form")
    if Publication.objects.filter(store=store).count() >= MOST:
        raise BadConfig(say("A store can be published at %(most)s addresses.", most=MOST), say("Revoke one that is not used."), "form")
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        made = Publication.objects.create(store=store, form=form, digest=_digest(token), hint=token[-4:])
        audit.record(actor, "publish", store, after={"form": form, "hint": made.hint})
    return made, token


def revoke(actor: Actor, store: Store, publication_id: int) -> Publication:
    """End an address for good. Raises KeyNotFound."""
    require(actor, Permission.CONFIGURE, store)
    found = Publication.objects.filter(store=store, pk=publication_id).first()
    if found is None:
        raise KeyNotFound(say("There is no such address; it may have been revoked already."))
    with transaction.atomic():
        found.delete()
        audit.record(actor, "unpublish", store, before={"form": found.form, "hint": found.hint})
    return found


def listed(store: Store) -> list[Publication]:
    """The addresses of a store, newest first."""
    return list(Publication.objects.filter(store=store))


def find(token: str) -> Publication | None:
    """The publication of a token, counted, or None; also where its store is switched off. Raises TooMany."""
    if len(token) > 100:
        return None
    found = Publication.objects.select_related("store").filter(digest=_digest(token)).first()
    if found is None or not found.store.enabled or why_not(found.store):
        return None
    _count(found)
    return found


def published(store: Store, form: str) -> Published:
    """What is answered now. Reads the whole table from kvadmin's own database."""
    return publish(store.entries.values_list("key", "value"), form, store.effective_version)


def toml(store: Store) -> Written:
    """The store as `[lookup.<id>]`; what TOML cannot say is left out and named. Raises NotSupported."""
    _require_static(store)
    return write([PlannedStore(store.id, STATIC, {}, entries=tuple(store.entries.values_list("key", "value")))])


def _require_static(store: Store) -> None:
    if reason := why_not(store):
        raise NotSupported(reason)


def _count(found: Publication) -> None:
    """Count the request in its minute, shared by all processes through the database. Raises TooMany."""
    minute = int(time.time() // 60)
    mine = Publication.objects.filter(pk=found.pk)
    if mine.filter(window=minute, used__lt=PER_MINUTE).update(used=models.F("used") + 1, last_used_at=timezone.now()):
        return
    if not mine.exclude(window=minute).update(window=minute, used=1, last_used_at=timezone.now()):
        raise TooMany(
            say("This address answers %(per_minute)s requests a minute.", per_minute=PER_MINUTE), say("Wait for the next minute.")
        )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
