"""Putting back what the trash holds: many keys in few steps, on record first, never over something newer unless told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction
from django.utils import timezone

from stores.backends.base import Backend
from stores.errors import BadConfig, Conflict, StoreError, StoreUnavailable
from stores.models import AuditEntry, TrashEntry
from stores.services import audit
from stores.services.trash_rows import CREATED, DELETED, OVERWRITTEN, entry_of, note_replacements
from stores.services.writing import Writing
from stores.texts import say
from stores.types import ABSENT, Entry, Expected


@dataclass(slots=True)
class Plan:
    """One row of the trash on its way back."""

    trash: TrashEntry
    wanted: Entry
    """As the backend takes it. Of a key that was new: only its name, because it is to go."""
    current: Entry | None
    error: StoreError | None = None
    saved: TrashEntry | None = None
    """What the restore itself removes or overwrites."""
    note: AuditEntry | None = None
    replaced_by: str = ""

    @property
    def removes(self) -> bool:
        return self.trash.reason == CREATED

    @property
    def nothing_to_do(self) -> bool:
        """The store is already as it was."""
        if self.removes or self.current is None:
            return self.removes and self.current is None
        return self.current.etag == self.wanted.etag


def restore_rows(at: Writing, rows: Sequence[TrashEntry], overwrite: bool, *, named: bool = True) -> list[StoreError | None]:
    """Restore each by itself, in the order given; answers why one stays as it is. Raises StoreUnavailable.

    `named`: an audit entry for each key; a run that restores very many names only the first.
    """
    answers: list[StoreError | None] = []
    for some in _each_key_once(rows):
        plans = [Plan(trash, at.stored(entry_of(trash)), None) for trash in some]
        for plan, current in zip(plans, at.backend.get_each([plan.wanted.key for plan in plans]), strict=True):
            plan.current = current
            plan.error = None if plan.nothing_to_do else _why_not(at.backend, plan, overwrite)
        _carry_out(at, [plan for plan in plans if plan.error is None and not plan.nothing_to_do], named)
        _mark(at, [plan.trash for plan in plans if plan.error is None])
        answers += [None if plan.error is None else at.shown(plan.error) for plan in plans]
    return answers


def _each_key_once(rows: Sequence[TrashEntry]) -> Iterator[list[TrashEntry]]:
    """The rows in stretches in which no key comes twice: the second time its present row is another one."""
    stretch: list[TrashEntry] = []
    keys: set[bytes] = set()
    for trash in rows:
        if bytes(trash.key) in keys:
            yield stretch
            stretch, keys = [], set()
        stretch.append(trash)
        keys.add(bytes(trash.key))
    if stretch:
        yield stretch


def _why_not(backend: Backend, plan: Plan, overwrite: bool) -> StoreError | None:
    """Why a row may not be written: its time has passed, or there is something newer."""
    if not plan.removes and not backend.capabilities.purges and plan.wanted.expired(time.time()):
        at = datetime.fromtimestamp(plan.wanted.expires_at or 0, UTC)
        return BadConfig(
            say("The key expired on %(at)s UTC.", at=f"{at:%Y-%m-%d %H:%M:%S}"), say("Create it again with a new expiry."), "expiry"
        )
    newer = plan.current is not None and plan.current.etag != plan.trash.replaced_by
    if newer and not overwrite:
        return Conflict(say("The key has changed since; it stays.") if plan.removes else say("The key exists already."), plan.current)
    return None


def _carry_out(at: Writing, plans: Sequence[Plan], named: bool) -> None:
    """On record first, then the store, then how it ended."""
    if not plans:
        return
    for plan in plans:
        plan.saved = at.trash_row(plan.current, DELETED if plan.removes else OVERWRITTEN)
        plan.note = at.note(plan.wanted.key, "restore", plan.current) if named else None
    with transaction.atomic():
        TrashEntry.objects.bulk_create([plan.saved for plan in plans if plan.saved])
        audit.append([plan.note for plan in plans if plan.note])
    try:
        _remove(at.backend, [plan for plan in plans if plan.removes])
        _put_back(at.backend, [plan for plan in plans if not plan.removes])
    except StoreUnavailable:
        _interrupted(at, plans)
        raise
    with transaction.atomic():
        undone = [plan.saved.pk for plan in plans if plan.saved and plan.error]
        if undone:
            TrashEntry.objects.filter(pk__in=undone).delete()
        note_replacements([(plan.saved.pk, plan.replaced_by) for plan in plans if plan.saved and plan.replaced_by])
        audit.settle_all([plan.note for plan in plans if plan.note and plan.error is None], audit.DONE)
        for plan in plans:
            if plan.note and plan.error is not None:
                audit.settle(plan.note, audit.outcome_of(plan.error))


def _interrupted(at: Writing, plans: Sequence[Plan]) -> None:
    """Keep copies of what may have been overwritten: where the store cannot be asked, of all."""
    audit.settle_all([plan.note for plan in plans if plan.note], audit.FAILED)
    with suppress(StoreError):
        now = at.backend.get_each([plan.wanted.key for plan in plans])
        same = [plan.saved.pk for plan, entry in zip(plans, now, strict=True) if plan.saved and entry == plan.current]
        TrashEntry.objects.filter(pk__in=same).delete()


def _remove(backend: Backend, plans: Sequence[Plan]) -> None:
    answers = backend.delete_each([plan.current for plan in plans if plan.current is not None])
    for plan, answer in zip(plans, answers, strict=True):
        plan.error = answer if isinstance(answer, StoreError) else None


def _put_back(backend: Backend, plans: Sequence[Plan]) -> None:
    wanted: list[tuple[Entry, Expected]] = [(plan.wanted, ABSENT if plan.current is None else plan.current) for plan in plans]
    for plan, answer in zip(plans, backend.put_each(wanted), strict=True):
        if isinstance(answer, StoreError):
            plan.error = answer
        else:
            plan.replaced_by = answer.etag


def _mark(at: Writing, rows: Sequence[TrashEntry]) -> None:
    now = timezone.now()
    for trash in rows:
        trash.restored_at, trash.restored_by = now, at.actor.name
    TrashEntry.objects.filter(pk__in=[trash.pk for trash in rows]).update(restored_at=now, restored_by=at.actor.name)
