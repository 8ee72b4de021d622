"""Putting things right in an emergency: reset counters, let the next attempt in, release, revoke, forget.

Every act is planned first, with the exact keys as they are now, then done key by key over the edit service: conditional on what was
seen, through trash and audit. Each key is read again, and what was done can be undone as one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal

from cryptography.fernet import InvalidToken

from stores.backends.base import Backend
from stores.errors import BadConfig, Conflict, KeyNotFound, StoreError
from stores.keyclasses import CLASSES
from stores.models import Store
from stores.models.fields import cipher
from stores.registry import find_store
from stores.services import edit, switches, trash
from stores.services.actor import Actor
from stores.services.browse import read_key
from stores.services.every import ask_each
from stores.services.keytokens import SealedKey, key_of, token_of
from stores.services.rows import Row, row_of, store_kind
from stores.services.trash_rows import kept_days
from stores.texts import say
from stores.types import ABSENT

ALLOW_SECONDS: Final = 30 * 86400
"""How long a greylist pair is let in."""
MOST_TARGETS: Final = 1000


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done. `effect` says what the mail server does then."""

    name: str
    title: str
    classes: frozenset[str]
    effect: str
    deletes: bool = True


def _family(*families: str) -> frozenset[str]:
    return frozenset(slug for slug, cls in CLASSES.items() if cls.family in families)


ACTIONS: Final[Mapping[str, Action]] = {
    action.name: action
    for action in (
        Action(
            "reset",
            say("Reset counters"),
            frozenset(slug for slug in CLASSES if slug.startswith("rate-")),
            say("Number and marker go together, and the next event is counted as the first of its window. The limit itself stays."),
        ),
        Action(
            "allow",
            say("Let the next attempt in"),
            frozenset(("greylist",)),
            say("The pair counts as seen: the next attempt passes, and so does every further one for 30 days."),
            deletes=False,
        ),
        Action(
            "neutral",
            say("Make the reputation neutral"),
            frozenset(slug for slug in CLASSES if slug.startswith("reputation-")),
            say("The score is forgotten. The server starts from nothing, which counts as neutral, with the next message."),
        ),
        Action(
            "release",
            say("Release locks"),
            frozenset(slug for slug in CLASSES if slug.startswith("lock-")),
            say("Another worker may take the work up at once. If the one that holds the lock is still at it, the work is done twice."),
        ),
        Action(
            "revoke",
            say("Revoke codes"),
            frozenset(("oauth",)),
            say("The code can no longer be redeemed and the sign-in has to be started again. Sessions that are open stay open."),
        ),
        Action(
            "forget",
            say("Forget Message-IDs"),
            frozenset(("trusted-reply",)),
            say("Replies to this message are no longer trusted because of it; they are filtered like any other mail."),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Target:
    """A key of a store as somebody saw it: the digest of its row, empty where there was none."""

    store_id: str
    key: bytes
    etag: str

    @property
    def pick(self) -> str:
        """The target as a form carries it."""
        return f"{self.store_id}/{token_of(self.key)}:{self.etag}"

    @classmethod
    def of_row(cls, store_id: str, row: Row) -> Target:
        key = SealedKey(row.entry.key) if row.decoded.secret_key else row.entry.key
        return cls(store_id, key, row.entry.etag)

    @classmethod
    def of_pick(cls, text: str) -> Target:
        """Raises BadConfig for a text that is none."""
        store_id, _, rest = text.partition("/")
        token, _, etag = rest.rpartition(":")
        return cls(store_id, key_of(token), etag)


@dataclass(frozen=True, slots=True)
class PlannedKey:
    """What would become of one key. `row` is what is stored now; `refused` says why nothing can be done with it."""

    target: Target
    row: Row | None
    changed: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class KeyResult:
    """What became of one key. `before` is what was there, `after` what was read again."""

    target: Target
    state: Literal["done", "gone", "changed", "failed"]
    before: Row | None = None
    after: Row | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An act that was carried out. `undo` takes it back, empty where there is nothing to take back."""

    action: Action
    at: float
    results: tuple[KeyResult, ...]
    undo: str

    @property
    def done(self) -> int:
        return sum(result.state == "done" for result in self.results)


def action_of(name: str) -> Action:
    """Raises BadConfig(field="action")."""
    if name not in ACTIONS:
        raise BadConfig(say("There is no such action."), say("Choose one of %(names)s.", names=", ".join(ACTIONS)), "action")
    return ACTIONS[name]


def plan(action: Action, targets: Sequence[Target]) -> list[PlannedKey]:
    """The keys as they are now. Changes nothing. Raises BadConfig for no target or too many, UnknownStore."""
    _check(targets)
    stores = {store_id: find_store(store_id) for store_id in {target.store_id for target in targets}}

    def read(store: Store, backend: Backend) -> dict[bytes, Row]:
        kind, now, found = store_kind(backend.capabilities), time.time(), {}
        for target in targets:
            if target.store_id == store.pk and (entry := backend.get(bytes(target.key))) is not None:
                found[bytes(target.key)] = row_of(entry, store.effective_version, kind, now)
        return found

    answers = ask_each(stores.values(), read)
    return [_planned(action, target, stores[target.store_id], answers[target.store_id]) for target in targets]


def carry_out(actor: Actor, action: Action, targets: Sequence[Target]) -> Outcome:
    """Do it to every target that still is as it was seen; the others are reported and left alone."""
    planned = plan(action, targets)
    results: list[KeyResult] = []
    undo: list[dict[str, Any]] = []
    for store_id, group in groupby(sorted(planned, key=lambda each: each.target.store_id), key=lambda each: each.target.store_id):
        store, keys = find_store(store_id), list(group)
        results += [KeyResult(each.target, "failed", each.row, each.row, each.refused) for each in keys if each.refused]
        todo = [each for each in keys if not each.refused]
        steps = _delete(actor, store, todo) if action.deletes else (_allow(actor, store, each) for each in todo)
        for result, step in steps:
            results.append(result)
            if step:
                undo.append(step)
    token = cipher().encrypt(json.dumps(undo).encode()).decode() if undo else ""
    return Outcome(action, time.time(), tuple(results), token)


def undo(actor: Actor, token: str) -> list[tuple[str, bool, str]]:
    """Take an act back, in reverse order: (store id, whether it was done, what happened) for each key. Raises BadConfig."""
    try:
        steps: list[dict[str, Any]] = json.loads(cipher().decrypt(token.encode(), ttl=kept_days() * 86400))
    except (InvalidToken, ValueError, UnicodeEncodeError):
        raise BadConfig(say("This can no longer be undone."), say("Look for the keys in the trash."), "undo") from None
    return [_undone(actor, step) for step in reversed(steps)]


def _check(targets: Sequence[Target]) -> None:
    if not targets:
        raise BadConfig(say("No key is selected."), say("Select at least one."), "pick")
    if not all(target.store_id for target in targets):
        raise BadConfig(say("This link names no key."), say("Open the key from the list again."), "pick")
    if len(targets) > MOST_TARGETS:
        raise BadConfig(
            say("More than %(most_targets)s keys at once are not possible here.", most_targets=MOST_TARGETS),
            say("Reset the whole class instead."),
            "pick",
        )


def _planned(action: Action, target: Target, store: Store, answer: dict[bytes, Row] | StoreError) -> PlannedKey:
    if isinstance(answer, StoreError):
        return PlannedKey(target, None, refused=str(answer))
    row = answer.get(bytes(target.key))
    refused = switches.why_read_only(store) if store.read_only or switches.shown_read_only() else ""
    if row is not None and row.decoded.slug not in action.classes:
        refused = say("This is not a key for it: %(title)s.", title=row.decoded.title)
    seen = "" if row is None else row.entry.etag
    return PlannedKey(target, row, seen != target.etag, refused)


_Step = tuple[KeyResult, dict[str, Any] | None]


def _delete(actor: Actor, store: Store, planned: Iterable[PlannedKey]) -> Iterator[_Step]:
    todo = list(planned)
    if not todo:
        return
    try:
        outcomes = edit.delete_many(actor, store, [(bytes(each.target.key), each.target.etag) for each in todo])
    except StoreError as error:
        yield from ((KeyResult(each.target, "failed", each.row, each.row, str(error)), None) for each in todo)
        return
    for each, outcome in zip(todo, outcomes, strict=True):
        if outcome.state != "deleted":
            yield KeyResult(each.target, outcome.state, each.row, _read(store, each.target), outcome.message), None
            continue
        saved = trash.latest(store, bytes(each.target.key))
        step = {"do": "restore", "store": store.pk, "trash": saved.pk} if saved else None
        yield KeyResult(each.target, "done", each.row, _read(store, each.target)), step


def _allow(actor: Actor, store: Store, each: PlannedKey) -> _Step:
    """Let a greylist pair in for 30 days: a longer life for a pair that is known, a new row for one that is not."""
    key, until = bytes(each.target.key), int(time.time()) + ALLOW_SECONDS
    if each.changed:
        return KeyResult(each.target, "changed", each.row, each.row, say("The key has changed since it was read.")), None
    try:
        if each.row is None:
            after = edit.set_value(actor, store, key, b"", until, ABSENT)
            step: dict[str, Any] = {"do": "delete"}
        else:
            after = edit.set_expiry(actor, store, key, until, each.row.entry)
            step = {"do": "expiry", "expires": each.row.entry.expires_at}
    except Conflict as error:
        return KeyResult(each.target, "changed", each.row, _read(store, each.target), str(error)), None
    except StoreError as error:
        return KeyResult(each.target, "failed", each.row, each.row, str(error)), None
    step |= {"store": store.pk, "key": key.hex(), "etag": after.entry.etag}
    return KeyResult(each.target, "done", each.row, _read(store, each.target)), step


def _read(store: Store, target: Target) -> Row | None:
    try:
        return read_key(store, bytes(target.key))
    except StoreError:
        return None


def _undone(actor: Actor, step: Mapping[str, Any]) -> tuple[str, bool, str]:
    store_id = str(step["store"])
    try:
        if step["do"] == "restore":
            trash.restore(actor, int(step["trash"]))
            return store_id, True, say("Put back exactly, with its old expiry")
        store, key = find_store(store_id), bytes.fromhex(step["key"])
        seen = edit.expected_from_etag(store, key, step["etag"])
        if step["do"] == "delete":
            edit.delete_key(actor, store, key, seen)
            return store_id, True, say("Removed again")
        edit.set_expiry(actor, store, key, step["expires"], seen)
    except Conflict:
        return store_id, False, say("Left as it is: the key has been changed or counted again since")
    except (KeyNotFound, StoreError) as error:
        return store_id, False, str(error)
    return store_id, True, say("Has its old expiry again")
