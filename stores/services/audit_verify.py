"""Is the audit still what was written? Walks the chain and names the first entry that does not fit.

Costs one pass over the entries in steps of 1,000, some 20 µs each; memory stays flat. Nothing is locked: entries that are
appended meanwhile are looked at or not.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from celery import signature
from django.utils import timezone
from kombu.exceptions import OperationalError

from stores.errors import BadConfig, StoreUnavailable
from stores.models import AuditCheck, AuditEntry, AuditHead
from stores.services.audit_chain import GENESIS, linked, name_of, seal_key, sealed
from stores.texts import say

logger = logging.getLogger(__name__)

TASK: Final = "stores.tasks.verify_audit"
STEP: Final = 1000
WHOLE_EVERY: Final = timedelta(hours=24)
PRUNED: Final = "audit-prune"
"""The action of entries that say up to where older ones were removed, and with which hash they ended."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a pass found. `problem` is empty when everything fits; `broken_at` is the first entry that does not."""

    entries: int
    first: int
    number: int
    hash: str
    """The newest entry that was looked at: note `number:hash` elsewhere, and later passes can be held to it (`known`)."""
    older: int
    """Entries from before the chain, which nothing protects."""
    foreign: int
    """Entries whose seal was made with another secret key; the seals after them cover them."""
    problem: str = ""
    broken_at: int | None = None

    @property
    def sound(self) -> bool:
        return not self.problem

    @property
    def note(self) -> str:
        """`number:hash`, to be kept elsewhere."""
        return f"{self.number}:{self.hash}"

    def as_json(self) -> dict[str, Any]:
        """`audit-verify --json`; a public interface."""
        return {"sound": self.sound, **asdict(self), "note": self.note}


def verify(known: str = "", *, start: tuple[int, str] | None = None) -> Verdict:
    """Look at the chain from its beginning, or after an entry whose number and hash are trusted.

    `known` is a `number:hash` that was noted earlier: the chain has to contain exactly that entry, unless it was removed since
    by the retention. Raises BadConfig(field="known").
    """
    wanted = _noted(known)
    while True:
        head = AuditHead.objects.filter(pk=1).first()
        walk = _Walk(head, start if start is not None and start[0] >= (head.kept_after if head else 0) else None, wanted)
        for entry in _entries(walk.number):
            if not walk.take(entry):
                break
        else:
            walk.finish(head)
        if not walk.problem or not _pruned_meanwhile(head):
            return walk.verdict()


def check(now: datetime | None = None, whole: bool = False) -> AuditCheck:
    """Verify and keep the result for the audit's page: what is new since the last time, all of it once a day or when asked."""
    moment = now or timezone.now()
    last = AuditCheck.objects.filter(pk=1).first()
    if last is None or last.problem or last.whole_at is None or moment - last.whole_at >= WHOLE_EVERY:
        whole = True
    if whole or last is None:
        found = verify(f"{last.number}:{last.hash}" if last is not None and last.hash else "")
        entries, whole_at = found.entries, moment
    else:
        found = verify(start=(last.number, last.hash))
        entries, whole_at = last.entries + found.entries, last.whole_at or moment
    if found.problem:
        logger.error("The audit does not fit any more: %s", found.problem)
    values = {"at": moment, "whole_at": whole_at, "entries": entries, "problem": found.problem, "broken_at": found.broken_at}
    if found.sound:
        values |= {"number": found.number, "hash": found.hash}
    return AuditCheck.objects.update_or_create(pk=1, defaults=values)[0]


def request_check() -> None:
    """Wake a worker for a whole check. Raises StoreUnavailable when the queue does not answer."""
    try:
        signature(TASK, kwargs={"whole": True}).apply_async()
    except OperationalError:
        raise StoreUnavailable(
            say("The queue of the background work does not answer."), say("The schedule verifies the audit anyway.")
        ) from None


def last_check() -> AuditCheck | None:
    """What the last check found; one query."""
    return AuditCheck.objects.filter(pk=1).first()


def _pruned_meanwhile(head: AuditHead | None) -> bool:
    """Whether the retention took entries away while they were looked at: then the walk means nothing."""
    now = AuditHead.objects.filter(pk=1).first()
    return now is not None and head is not None and now.kept_after > head.kept_after


def _noted(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    number, _, hashed = text.partition(":")
    if not (number.isascii() and number.isdigit() and len(number) < 19 and len(hashed) == 64):
        raise BadConfig(
            say("That is no noted entry."), say("Give it as audit-verify prints it: the number, a colon, 64 hex digits."), "known"
        )
    return int(number), hashed


def _entries(after: int) -> Iterator[AuditEntry]:
    """Entries in order, by keyset."""
    while found := list(AuditEntry.chain.filter(pk__gt=after).order_by("pk")[:STEP]):
        yield from found
        after = found[-1].pk


class _Walk:
    """One pass: what the entry before was, and what does not fit."""

    def __init__(self, head: AuditHead | None, start: tuple[int, str] | None, wanted: tuple[int, str] | None) -> None:
        self.kept_after = head.kept_after if head else 0
        self.kept_hash = head.kept_hash if head else ""
        self.number, self.hash = start or (self.kept_after, self.kept_hash or GENESIS)
        self.began = self.number
        self.confirmed = start is not None or not self.kept_after
        self.wanted = wanted if wanted is not None and wanted[0] > self.number else None
        self.key = seal_key()
        self.name = name_of(self.key)
        self.entries = self.first = self.older = self.foreign = 0
        self.newest_foreign = False
        self.problem = ""
        self.broken_at: int | None = None

    def take(self, entry: AuditEntry) -> bool:
        """Whether the entry fits; the walk ends with the first that does not."""
        if not entry.hash and self.hash == GENESIS:
            self.older += 1
            return True
        if linked(self.hash, entry) != entry.hash:
            return self._broken(entry, self._why(entry))
        foreign = not entry.seal.startswith(f"{self.name}:")
        if not foreign and not hmac.compare_digest(entry.seal, sealed(entry.hash, self.key)):
            return self._broken(entry, f"The seal of entry {entry.pk} does not fit.")
        self.newest_foreign = foreign
        self.foreign += foreign
        self.entries += 1
        self.first = self.first or entry.pk
        self.number, self.hash = entry.pk, entry.hash
        self._confirm(entry)
        if self.wanted is not None and entry.pk >= self.wanted[0] and (entry.pk, entry.hash) != self.wanted:
            return self._broken(entry, f"Entry {self.wanted[0]} is not the one that was noted.")
        if self.wanted is not None and entry.pk == self.wanted[0]:
            self.wanted = None
        return True

    def finish(self, head: AuditHead | None) -> None:
        """What can only be said at the end: that the end itself is there. The head was read first, so it is never ahead of it."""
        if self.wanted is not None:
            self._end(f"Entry {self.wanted[0]} was noted and is missing.", self.wanted[0])
        elif not self.confirmed:
            self._end(f"Entries up to {self.kept_after} are missing, and no entry says that they were removed.", self.kept_after)
        elif head is None:
            self._end_without_head()
        elif head.number > self.number:
            self._end(f"The newest entries, {self.number + 1} to {head.number}, are missing.", self.number + 1)
        elif head.number < self.began or (head.number == self.number and self.entries and head.hash != self.hash):
            self._end("The end of the chain is not the one on record.", self.number)
        elif self.newest_foreign:
            self._end(f"Entry {self.number}, the newest, was not sealed with the present secret key.", self.number)

    def verdict(self) -> Verdict:
        return Verdict(self.entries, self.first, self.number, self.hash, self.older, self.foreign, self.problem, self.broken_at)

    def _why(self, entry: AuditEntry) -> str:
        missing = entry.pk - self.number - 1
        if missing > 0 and self.hash != GENESIS:
            return f"Between the entries {self.number} and {entry.pk}, {missing} are missing."
        return f"Entry {entry.pk} is not as it was written, or what was before it is missing."

    def _confirm(self, entry: AuditEntry) -> None:
        if entry.action == PRUNED and isinstance(entry.after, dict) and entry.after.get("up_to") == self.kept_after:
            self.confirmed = self.confirmed or entry.after.get("hash") == self.kept_hash

    def _broken(self, entry: AuditEntry, problem: str) -> bool:
        self._end(problem, entry.pk)
        return False

    def _end_without_head(self) -> None:
        if self.entries:
            self._end("The end of the chain is not on record.", self.number)

    def _end(self, problem: str, number: int) -> None:
        self.problem, self.broken_at = problem, number
