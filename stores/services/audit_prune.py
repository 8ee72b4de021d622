"""Old entries of the audit go, from the beginning on, and one entry says up to where and with which hash they ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from stores.models import AuditEntry, AuditHead
from stores.services import audit
from stores.services.actor import SYSTEM, Actor
from stores.services.audit_verify import PRUNED

_BATCH: Final = 500


def prune(now: datetime | None = None) -> int:
    """Remove entries older than KVADMIN_AUDIT_DAYS; answers how many. In batches, so that no write lock is held long.

    First, in one commit, the chain says where it will begin from now on; a crash afterwards leaves entries that the next call
    removes. The newest entry stays in any case.
    """
    days = int(settings.KVADMIN_AUDIT_DAYS)
    if days:
        _give_up((now or timezone.now()) - timedelta(days=days))
    removed = 0
    head = AuditHead.objects.filter(pk=1).first()
    while head is not None:
        old = list(AuditEntry.chain.filter(pk__lte=head.kept_after).order_by("pk").values_list("pk", flat=True)[:_BATCH])
        if not old:
            break
        with transaction.atomic():
            removed += AuditEntry.chain.filter(pk__in=old)._raw_delete("default")
    return removed


def _give_up(before: datetime) -> None:
    """Move the beginning of the chain to the first entry that is young enough."""
    young = AuditEntry.chain.filter(at__gte=before).order_by("pk").first() or AuditEntry.chain.order_by("-pk").first()
    last = None if young is None else AuditEntry.chain.filter(pk__lt=young.pk).order_by("-pk").first()
    kept_after = AuditHead.objects.filter(pk=1).values_list("kept_after", flat=True).first() or 0
    if last is None or last.pk <= kept_after:
        return
    with transaction.atomic():
        after = {"up_to": last.pk, "hash": last.hash, "before": before.isoformat(timespec="seconds")}
        audit.record(Actor.system(SYSTEM), PRUNED, after=after)
        AuditHead.objects.filter(pk=1).update(kept_after=last.pk, kept_hash=last.hash)
