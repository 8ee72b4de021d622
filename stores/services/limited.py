"""Who is limited now: the running rate windows of all stores, the fullest first, with the limit and its rule where they are known."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from stores import keyclasses
from stores.backends.base import Backend
from stores.errors import BadConfig, CursorLost, StoreError
from stores.keyclasses import Rate
from stores.keyclasses.limits import limiter_keys
from stores.models import Store
from stores.registry import visible_stores
from stores.services import limits as limit_service
from stores.services.every import ask_each
from stores.services.find import sealed, unsealed
from stores.services.limits import SMTP, Limits
from stores.services.rows import Row, decoded_row, json_row, store_kind
from stores.services.traces import ranges_of
from stores.services.walking import Position, Walk
from stores.texts import say
from stores.types import Clock, Entry

CLASSES: Final = (
    "rate-rcpt", "rate-scan", "rate-loiter", "rate-auth", "rate-smtp", "rate-contact", "rate-http-authenticated", "rate-http-anonymous",
)  # fmt: skip
"""Classes whose counters bound something."""
BANNING: Final = frozenset(("rate-rcpt", "rate-scan", "rate-loiter", "rate-auth"))
"""Classes whose limit leads to a ban; the others only make wait."""
BUDGET_SECONDS: Final = 1.0
MOST: Final = 500
"""Windows that one step of one store answers with: the fullest."""
_CANDIDATES: Final = 200


@dataclass(frozen=True, slots=True)
class Window:
    """One running window. `limit` None: not known, or the window is of another period than the limit that is set now."""

    store_id: str
    row: Row
    slug: str
    count: int
    subject: str
    end: int
    limit: Rate | None = None
    rule: str = ""
    """Name of the setting or limiter that the limit comes from; empty when it is not known."""

    @property
    def full(self) -> bool:
        """The next one is refused."""
        return self.limit is not None and self.count >= self.limit.requests

    @property
    def near(self) -> bool:
        """Three quarters of the limit are used."""
        return self.limit is not None and 4 * self.count >= 3 * self.limit.requests

    @property
    def left(self) -> int | None:
        """How many more pass; None when the limit is not known."""
        return None if self.limit is None else max(0, self.limit.requests - self.count)


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of one store. `running` counts all windows that were met, of which the fullest are in `windows`."""

    store_id: str
    windows: tuple[Window, ...] = ()
    running: int = 0
    scanned: int = 0
    position: Position | None = None
    progress: float | None = None
    error: StoreError | None = None


@dataclass(frozen=True, slots=True)
class LimitedNow:
    """Windows of all stores, the highest count first."""

    windows: tuple[Window, ...]
    stores: tuple[Counted, ...]
    seconds: float
    next: str
    limits: Limits

    @property
    def failed(self) -> list[Counted]:
        return [counted for counted in self.stores if counted.error is not None]

    @property
    def running(self) -> int:
        return sum(counted.running for counted in self.stores)


def limited(
    stores: Sequence[Store] | None = None,
    slug: str = "",
    cursor: str = "",
    budget_seconds: float | None = BUDGET_SECONDS,
    clock: Clock = time.time,
    walks: bool = True,
) -> LimitedNow:
    """The running windows of one class, or of all, in all switched-on stores or in those given. Walks share the time budget.

    Without `walks` nothing is read yet, and `next` begins them.

    Raises BadConfig(field="class"), CursorLost.
    """
    if slug and slug not in CLASSES:
        raise BadConfig(
            say("%(slug)s is no class of rate windows.", slug=slug), say("Choose one of %(names)s.", names=", ".join(CLASSES)), "class"
        )
    began, now = time.monotonic(), clock()
    positions = unsealed(cursor, f"limited {slug}") if cursor else None
    asked = [store for store in (stores if stores is not None else visible_stores().filter(enabled=True)) if store.type != "static"]
    if positions is not None:
        asked = [store for store in asked if store.pk in positions]
    limits = limit_service.known(list(visible_stores().filter(enabled=True)), clock)
    deadline = None if budget_seconds is None else time.monotonic() + budget_seconds
    wanted = frozenset([slug] if slug else CLASSES)

    def look(store: Store, backend: Backend) -> Counted:
        return _Look(store, backend, wanted, now).run(None if positions is None else positions[store.pk], deadline, walks)

    answers = ask_each(asked, look, clock)
    for answer in answers.values():
        if isinstance(answer, CursorLost):
            raise answer
    counted = tuple(_counted(store.pk, answers[store.pk]) for store in asked)
    windows = named([window for each in counted for window in each.windows], limits, {store.pk: store.effective_version for store in asked})
    following = {each.store_id: each.position for each in counted if each.position is not None}
    ordered = tuple(sorted(windows, key=lambda window: (-window.count, window.store_id, window.row.entry.key)))
    return LimitedNow(ordered, counted, time.monotonic() - began, sealed(f"limited {slug}", following), limits)


def window_of(store_id: str, row: Row) -> Window | None:
    """The running window of a row; None for every other row, and for a window that is over."""
    slug, count, fields = row.decoded.slug, row.entry.counter, row.decoded.fields
    if slug not in CLASSES or count is None or not fields.get("running"):
        return None
    return Window(store_id, row, slug, count, row.decoded.label, int(str(fields["window_end"])))


def named(windows: Iterable[Window], limits: Limits, versions: Mapping[str, str], candidates: Sequence[str] = ()) -> list[Window]:
    """The windows with their limits, and those of SMTP limiters with the subject behind the hash.

    It is looked for among `candidates` and the subjects of the other windows.
    """
    known = list(windows)
    subjects = list(dict.fromkeys([*candidates, *(window.subject for window in known if window.slug != SMTP)]))[:_CANDIDATES]
    behind = {version: _behind(limits, subjects, version) for version in set(versions.values())} if subjects else {}
    return [_named(window, limits, behind.get(versions.get(window.store_id, ""), {})) for window in known]


def json_window(window: Window) -> dict[str, Any]:
    """One line of `limited --json`: that of `keys --json`, with `store`, `subject`, `count`, `limit`, `rule`, `window_end`, `full`."""
    return {
        "store": window.store_id,
        **json_row(window.row),
        "subject": window.subject,
        "count": window.count,
        "limit": window.limit.requests if window.limit else None,
        "rule": window.rule or None,
        "window_end": window.end,
        "full": window.full if window.limit else None,
    }


def _named(window: Window, limits: Limits, behind: Mapping[bytes, tuple[str, str, Rate]]) -> Window:
    period = window.row.decoded.fields.get("window_period")
    if window.slug != SMTP:
        rate = limits.rates.get(window.slug)
        if rate is None or rate.period != period:
            return window
        return replace(window, limit=rate, rule=rate.setting or "Stalwart's default")
    if found := behind.get(window.row.entry.key[:-8]):
        subject, rule, rate = found
        return replace(window, subject=subject, limit=rate, rule=rule)
    limiter = limits.limiter_of(period if isinstance(period, int) else None)
    return window if limiter is None else replace(window, limit=limiter.rate, rule=f"{limiter.direction} limiter {limiter.id}")


def _behind(limits: Limits, subjects: Sequence[str], version: str) -> dict[bytes, tuple[str, str, Rate]]:
    """Key prefix of an SMTP limit -> subject, rule and rate, for the subjects that other windows name."""
    candidates: dict[str, list[str]] = {}
    for subject in subjects:
        for meaning in keyclasses.understand(subject):
            if meaning.sort == "ip":
                candidates.setdefault("remote_ip", []).append(meaning.text)
            elif meaning.sort == "address":
                for name in ("rcpt", "sender", "authenticated_as"):
                    candidates.setdefault(name, []).append(meaning.text.lower())
                for name in ("rcpt_domain", "sender_domain"):
                    candidates.setdefault(name, []).append(meaning.text.lower().rpartition("@")[2])
    found: dict[bytes, tuple[str, str, Rate]] = {}
    for limiter in limits.limiters:
        for parts, prefix in limiter_keys(limiter, candidates, version):
            words = ", ".join(f"{name.replace('_', ' ')} {value or '<>'}" for name, value in parts.items())
            found.setdefault(prefix, (words, f"{limiter.direction} limiter {limiter.id}", limiter.rate))
    return found


def _counted(store_id: str, answer: Counted | StoreError) -> Counted:
    return answer if isinstance(answer, Counted) else Counted(store_id, error=answer)


class _Look:
    """One walk through the rate windows of an open store; holds only the fullest ones."""

    def __init__(self, store: Store, backend: Backend, wanted: frozenset[str], now: float) -> None:
        self.store_id, self.version, self.backend, self.now = store.pk, store.effective_version, backend, now
        self.wanted = wanted
        self.kind = store_kind(backend.capabilities)
        self.heap: list[tuple[int, int, Window]] = []
        self.running = 0

    def run(self, position: Position | None, deadline: float | None, walks: bool) -> Counted:
        ranges = ranges_of(self.wanted, self.version, self.backend.capabilities.ordered_scan)
        walk = Walk(self.backend, self.version, ranges, lambda key, slug: slug in self.wanted, self._take)
        after = walk.go(position, deadline) if walks else walk.unbegun(position)
        windows = tuple(window for _, _, window in self.heap)
        return Counted(self.store_id, windows, self.running, walk.scanned, after, walk.progress)

    def _take(self, settled: Entry, slug: str | None) -> None:
        window = window_of(self.store_id, decoded_row(settled, self.version, self.kind, self.now))
        if window is None:
            return
        self.running += 1
        item = (window.count, self.running, window)
        if len(self.heap) < MOST:
            heapq.heappush(self.heap, item)
        else:
            heapq.heappushpop(self.heap, item)
