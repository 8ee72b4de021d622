"""The switches of the whole installation: read only, and who needs a second factor."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core.cache import caches
from django.db import transaction
from django.utils.translation import gettext as _

from stores.models import Policy, Store
from stores.services import audit
from stores.services.actor import Actor
from stores.services.permissions import Permission, require
from stores.services.rights import Role

_SHOWN: Final = "switches:read-only"


def policy() -> Policy:
    """The present switches; one query."""
    return Policy.objects.first() or Policy()


def shown_read_only() -> bool:
    """Whether kvadmin writes into no store at all, for showing: the switch may be as old as five seconds. Seldom a query."""
    if settings.KVADMIN_READ_ONLY:
        return True
    cache = caches["process"]
    known: bool | None = cache.get(_SHOWN)
    if known is None:
        known = policy().read_only
        cache.set(_SHOWN, known, 5)
    return known


def why_read_only(store: Store) -> str:
    """One line why kvadmin's own switches forbid writing into a store; empty when they do not. At most one query."""
    if store.read_only:
        return _("Store %(store)s is switched to read only here.") % {"store": store.id}
    if settings.KVADMIN_READ_ONLY:
        return _("kvadmin is switched to read only by KVADMIN_READ_ONLY.")
    return _("kvadmin is switched to read only by an administrator.") if policy().read_only else ""


def save(actor: Actor, *, read_only: bool, second_factor_from: Role | None) -> Policy:
    """Set the switches; audited. Raises Forbidden. Who needs a second factor now is asked for it at the next sign-in."""
    require(actor, Permission.ADMIN)
    before = policy()
    wanted = {"read_only": read_only, "second_factor_from": "" if second_factor_from is None else second_factor_from.value}
    caches["process"].delete(_SHOWN)
    with transaction.atomic():
        found, _made = Policy.objects.update_or_create(pk=1, defaults=wanted)
        audit.record(actor, "switches", before=_summary(before), after=_summary(found))
    return found


def _summary(found: Policy) -> dict[str, object]:
    return {"read_only": found.read_only, "second_factor_from": found.second_factor_from or None}
