"""Everything the stores hold of an address, login, domain, AS number, Message-ID or queue id.

Where the key's bytes allow, a subject becomes look-ups and short ranges. What is left is a walk in bounded steps that can be gone on
with. A store that does not answer is reported as such: it never counts as one without traces.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.fernet import InvalidToken

from stores.backends.base import Backend
from stores.errors import BadConfig, CursorLost, StoreError
from stores.keyclasses import Meaning
from stores.models import Store
from stores.models.fields import cipher
from stores.registry import find_store, visible_stores
from stores.services import limits as limit_service
from stores.services.every import ask_each
from stores.services.limits import Limits
from stores.services.rows import Row, decoded_row, json_row, settle, store_kind
from stores.services.traces import CODES, Hunt, hunt, meanings
from stores.services.walking import Position, Walk
from stores.texts import say
from stores.types import Clock, Entry

BUDGET_SECONDS: Final = 1.0
MOST_FINDINGS: Final = 500
"""Found in one store before a page ends."""
LONGEST_SUBJECT: Final = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """One key that is a trace of the subject, and why."""

    store_id: str
    row: Row
    why: str


@dataclass(frozen=True, slots=True)
class Searched:
    """What came of one store. With an `error` nothing is known of it."""

    store_id: str
    findings: tuple[Finding, ...] = ()
    lookups: int = 0
    scanned: int = 0
    position: Position | None = None
    """Where the walk goes on; None: everything has been looked at."""
    progress: float | None = None
    error: StoreError | None = None

    @property
    def complete(self) -> bool:
        return self.error is None and self.position is None


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to one search, or to one further step of it."""

    subject: str
    meanings: tuple[Meaning, ...]
    stores: tuple[Searched, ...]
    seconds: float
    next: str
    """Goes on with the walks that are not finished; empty when all are."""
    limits: Limits

    @property
    def findings(self) -> list[Finding]:
        return [finding for searched in self.stores for finding in searched.findings]

    @property
    def failed(self) -> list[Searched]:
        return [searched for searched in self.stores if searched.error is not None]

    @property
    def unfinished(self) -> list[Searched]:
        return [searched for searched in self.stores if searched.position is not None]


def search(
    subject: str,
    stores: Sequence[Store] | None = None,
    cursor: str = "",
    budget_seconds: float | None = BUDGET_SECONDS,
    clock: Clock = time.time,
    walks: bool = True,
) -> Found:
    """Look in all switched-on stores, or in those given. Look-ups always finish; the walks share the time budget (None: to the end).

    Without `walks` only look-ups are made, and `next` begins the walks.

    Raises BadConfig(field="subject") for an empty or overlong subject, CursorLost for a cursor of another search.
    """
    began = time.monotonic()
    text = checked(subject)
    positions = unsealed(cursor, text) if cursor else None
    asked = list(stores) if stores is not None else list(visible_stores().filter(enabled=True))
    if positions is not None:
        asked = [store for store in asked if store.pk in positions]
    limits = limit_service.known(list(visible_stores().filter(enabled=True)), clock)
    deadline = None if budget_seconds is None else time.monotonic() + budget_seconds
    now = clock()

    def look(store: Store, backend: Backend) -> Searched:
        position = None if positions is None else positions[store.pk]
        return _Look(store, backend, text, limits, now).run(position, deadline, walks)

    answers = ask_each(asked, look, clock)
    for answer in answers.values():
        if isinstance(answer, CursorLost):
            raise answer
    searched = tuple(_searched(store.pk, answers[store.pk]) for store in asked)
    following = {each.store_id: each.position for each in searched if each.position is not None}
    return Found(text, meanings(text), searched, time.monotonic() - began, sealed(text, following), limits)


def stream(subject: str, store_id: str | None = None) -> Iterator[Found]:
    """A whole search in steps of some seconds, for the command line. Raises UnknownStore, BadConfig."""
    stores = None if store_id is None else [find_store(store_id)]
    cursor = ""
    while True:
        found = search(subject, stores, cursor, 5.0)
        yield found
        cursor = found.next
        if not cursor:
            return


def checked(subject: str) -> str:
    """The subject without outer blanks. Raises BadConfig(field="subject")."""
    text = subject.strip()
    if not text:
        raise BadConfig(say("Nothing to look for."), say("Give an address, a login, a domain, a Message-ID or a queue id."), "subject")
    if len(text) > LONGEST_SUBJECT:
        raise BadConfig(
            say("The text is too long to look for."),
            say("At most %(longest_subject)s characters.", longest_subject=LONGEST_SUBJECT),
            "subject",
        )
    return text


def json_finding(finding: Finding) -> dict[str, Any]:
    """One line of `find --json`: that of `keys --json`, with `store` and `why`."""
    return {"store": finding.store_id, **json_row(finding.row), "why": finding.why}


def _searched(store_id: str, answer: Searched | StoreError) -> Searched:
    return answer if isinstance(answer, Searched) else Searched(store_id, error=answer)


class _Look:
    """One search in one open store."""

    def __init__(self, store: Store, backend: Backend, text: str, limits: Limits, now: float) -> None:
        self.store_id = store.pk
        self.version = store.effective_version
        self.backend = backend
        self.now = now
        self.kind = store_kind(backend.capabilities)
        self.hunt: Hunt = hunt(text, self.version, self.kind, backend.capabilities.ordered_scan, limits, now)
        self.why = self.hunt.test()
        self.found: dict[bytes, Finding] = {}

    def run(self, position: Position | None, deadline: float | None, walks: bool = True) -> Searched:
        """Look up the exact keys, unless this is a further step, and walk on until the deadline, if at all."""
        lookups = 0
        for key, (slug, why) in self.hunt.exact.items() if position is None else ():
            entry = self.backend.get(key)
            lookups += 1
            if entry is not None:
                found, settled = settle(entry, self.version, self.kind)
                if found == slug:
                    self._keep(settled, why)
        walk = Walk(self.backend, self.version, self.hunt.ranges, self._wants, self._take)
        full = deadline is not None
        after = walk.go(position, deadline, lambda: full and len(self.found) >= MOST_FINDINGS) if walks else walk.unbegun(position)
        return Searched(self.store_id, tuple(self.found.values()), lookups, walk.scanned, after, walk.progress)

    def _wants(self, key: bytes, slug: str | None) -> bool:
        return bool(self.why(key, slug)) or (slug == CODES and bool(self.hunt.accounts))

    def _take(self, settled: Entry, slug: str | None) -> None:
        why = self.why(settled.key, slug)
        row = decoded_row(settled, self.version, self.kind, self.now)
        if not why and slug == CODES and row.decoded.fields.get("account_id") in self.hunt.accounts:
            why = say("sign-in code of this account")
        if why:
            self.found.setdefault(settled.key, Finding(self.store_id, row, why))

    def _keep(self, settled: Entry, why: str) -> None:
        self.found.setdefault(settled.key, Finding(self.store_id, decoded_row(settled, self.version, self.kind, self.now), why))


def sealed(text: str, positions: Mapping[str, Position]) -> str:
    """The cursor of a search: encrypted, because it holds the subject and keys."""
    return cipher().encrypt(json.dumps([text, positions]).encode()).decode() if positions else ""


def unsealed(cursor: str, text: str) -> dict[str, Position]:
    """The positions of a cursor. Raises CursorLost for one of another search."""
    try:
        kept, positions = json.loads(cipher().decrypt(cursor.encode()))
    except (InvalidToken, ValueError, UnicodeEncodeError):
        kept, positions = None, {}
    if kept != text:
        raise CursorLost(say("This link does not go on with this search."), say("Search again from the start."))
    found: dict[str, Position] = positions
    return found
