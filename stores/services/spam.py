"""The spam filter's memory in one store: reputation, greylist, Bayes, trusted replies. Bounded walks that keep what ranks highest."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from stores.errors import BadConfig
from stores.keyclasses import CLASSES
from stores.keyclasses.bayes import split_weights
from stores.models import Store
from stores.services.access import opened
from stores.services.find import sealed, unsealed
from stores.services.rows import Row, decoded_row, row_of, store_kind
from stores.services.traces import ranges_of
from stores.services.walking import Position, Walk
from stores.texts import say
from stores.types import Clock, Entry

BUDGET_SECONDS: Final = 1.0
MOST: Final = 100
TELLING: Final = 25
MOST_ACCOUNTS: Final = 1000
_FEWEST: Final = 3
"""A token has to be seen so often before it tells anything."""

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "reputation": tuple(slug for slug in CLASSES if slug.startswith("reputation-")),
    "greylist": ("greylist",),
    "bayes": ("bayes-global", "bayes-account"),
    "replies": ("trusted-reply",),
}


def _number(name: str) -> Callable[[Row], float]:
    def read(row: Row) -> float:
        value = row.decoded.fields.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    return read


def _soonest(row: Row) -> float:
    return -(row.entry.expires_at if row.entry.expires_at is not None else math.inf)


SORTS: Final[Mapping[str, Mapping[str, Callable[[Row], float]]]] = {
    "reputation": {
        "spam": _number("score"),
        "good": lambda row: -_number("score")(row),
        "messages": _number("count"),
        "soonest": _soonest,
        "latest": lambda row: -_soonest(row),
    },
    "greylist": {"soonest": _soonest, "latest": lambda row: -_soonest(row)},
    "replies": {"soonest": _soonest, "latest": lambda row: -_soonest(row)},
}
"""Part -> sort -> what is highest in it."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The highest rows of what was walked through. `met`: rows of the part, `scanned`: keys looked at."""

    rows: tuple[Row, ...]
    met: int
    scanned: int
    next: str


@dataclass(frozen=True, slots=True)
class Token:
    """One token with its weights; `lean` above 0 tells of spam, below of ham: the log of the likelihood ratio."""

    row: Row
    ham: int
    spam: int
    lean: float


@dataclass(frozen=True, slots=True)
class Model:
    """One Bayes model: messages trained, and tokens met of it."""

    account: int | None
    ham: int
    spam: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Bayes:
    """What the walk met. `common` counts exactly what is trained; tokens are those met so far."""

    common: Model
    accounts: tuple[Model, ...]
    spam: tuple[Token, ...]
    ham: tuple[Token, ...]
    scanned: int
    next: str


def ranked(
    store: Store, part: str, sort: str = "", cursor: str = "", budget_seconds: float = BUDGET_SECONDS, clock: Clock = time.time
) -> Ranked:
    """The rows of reputation, greylist or replies that rank highest. Raises BadConfig(field="sort"), CursorLost."""
    sorts = SORTS[part]
    key = sorts.get(sort or next(iter(sorts)))
    if key is None:
        raise BadConfig(say("There is no such order."), say("Choose one of %(names)s.", names=", ".join(sorts)), "sort")
    purpose = f"spam {store.pk} {part}"
    heap: list[tuple[float, int, Row]] = []
    met = 0
    with opened(store, clock) as backend:
        kind, now, version = store_kind(backend.capabilities), clock(), store.effective_version

        def take(settled: Entry, slug: str | None) -> None:
            nonlocal met
            met += 1
            row = decoded_row(settled, version, kind, now)
            push = heapq.heappush if len(heap) < MOST else heapq.heappushpop
            push(heap, (key(row), -met, row))

        walk = Walk(
            backend, version, ranges_of(PARTS[part], version, backend.capabilities.ordered_scan), lambda _, slug: slug in PARTS[part], take
        )
        after = walk.go(_position(cursor, purpose), time.monotonic() + budget_seconds)
    rows = tuple(row for _, _, row in sorted(heap, key=lambda item: (-item[0], -item[1])))
    return Ranked(rows, met, walk.scanned, sealed(purpose, {"": after} if after else {}))


def bayes(store: Store, cursor: str = "", budget_seconds: float = BUDGET_SECONDS, clock: Clock = time.time) -> Bayes:
    """Totals, the most telling tokens of the common model, and the models of accounts. Raises CursorLost."""
    purpose = f"spam {store.pk} bayes"
    spam: list[tuple[float, int, Token]] = []
    ham: list[tuple[float, int, Token]] = []
    accounts: dict[int, Model] = {}
    tokens = 0
    with opened(store, clock) as backend:
        kind, now, version = store_kind(backend.capabilities), clock(), store.effective_version
        total_ham, total_spam = 0, 0
        entry = backend.get(bytes(16) if version == "0.10" else b"\x11")
        if entry is not None and (number := row_of(entry, version, kind, now).entry.counter) is not None:
            total_ham, total_spam = split_weights(number)

        def take(settled: Entry, slug: str | None) -> None:
            nonlocal tokens
            weights = split_weights(settled.counter or 0)
            if slug == "bayes-account":
                _count(accounts, settled.key, weights)
            elif len(settled.key) > 1:
                tokens += 1
                _offer(spam, ham, settled, weights, (total_ham, total_spam), tokens, lambda: decoded_row(settled, version, kind, now))

        walk = Walk(
            backend,
            version,
            ranges_of(PARTS["bayes"], version, backend.capabilities.ordered_scan),
            lambda _, slug: slug in PARTS["bayes"],
            take,
        )
        after = walk.go(_position(cursor, purpose), time.monotonic() + budget_seconds)
    models = sorted(accounts.values(), key=lambda model: -model.tokens)
    return Bayes(
        Model(None, total_ham, total_spam, tokens), tuple(models), _best(spam), _best(ham), walk.scanned,
        sealed(purpose, {"": after} if after else {}),
    )  # fmt: skip


def _position(cursor: str, purpose: str) -> Position | None:
    return unsealed(cursor, purpose)[""] if cursor else None


def _count(accounts: dict[int, Model], key: bytes, weights: tuple[int, int]) -> None:
    number = int.from_bytes(key[1:5], "big")
    known = accounts.get(number)
    if known is None and len(accounts) >= MOST_ACCOUNTS:
        return
    model = known or Model(number, 0, 0, 0)
    if len(key) == 5:
        accounts[number] = Model(number, weights[0], weights[1], model.tokens)
    else:
        accounts[number] = Model(number, model.ham, model.spam, model.tokens + 1)


def _offer(
    spam: list[tuple[float, int, Token]],
    ham: list[tuple[float, int, Token]],
    entry: Entry,
    weights: tuple[int, int],
    totals: tuple[int, int],
    serial: int,
    row: Callable[[], Row],
) -> None:
    """Keep a token if it is among the most telling ones; only those are decoded."""
    if sum(weights) < _FEWEST:
        return
    lean = math.log((weights[1] + 0.5) / (totals[1] + 1)) - math.log((weights[0] + 0.5) / (totals[0] + 1))
    heap = spam if lean > 0 else ham
    if len(heap) == TELLING and abs(lean) <= heap[0][0]:
        return
    item = (abs(lean), -serial, Token(row(), weights[0], weights[1], lean))
    if len(heap) < TELLING:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


def _best(heap: list[tuple[float, int, Token]]) -> tuple[Token, ...]:
    return tuple(token for _, _, token in sorted(heap, key=lambda item: (-item[0], -item[1])))
