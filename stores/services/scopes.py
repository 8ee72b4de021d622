"""Sets of keys that are removed as one: the counters of a class, the spam model of an account, the leftovers of a class.

Each is an exact class or key prefix, never a pattern: the model of account 42 has nothing of account 46 in it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from stores.codecs.numbers import U32_MAX, put_u32
from stores.errors import BadConfig
from stores.keyclasses import CLASSES
from stores.keyclasses.base import KeyClass, minor
from stores.models import Run, Store
from stores.services import bulk, bulk_preview
from stores.services.actor import Actor
from stores.services.bulk_change import Change, Do
from stores.services.bulk_preview import Preview
from stores.services.filters import KeyFilter
from stores.services.limited import CLASSES as RATES
from stores.texts import say

KINDS: Final = ("rates", "bayes-account", "leftover")


@dataclass(frozen=True, slots=True)
class Scope:
    """A set of keys of one store. `verb` heads the page, `effect` says what the mail server does then."""

    kind: str
    what: str
    title: str
    verb: str
    effect: str
    filter: KeyFilter


def scope_of(store: Store, kind: str, what: str) -> Scope:
    """Raises BadConfig for what is no such set in a store of this version."""
    if kind == "rates" and what in RATES:
        cls = CLASSES[what]
        effect = say("Running windows and those that are over. The next event of each subject is counted as the first of its window.")
        return Scope(kind, what, cls.title, say("Reset"), effect, KeyFilter(class_slug=what))
    if kind == "bayes-account" and what.isascii() and what.isdigit() and int(what) <= U32_MAX and minor(store.effective_version) > 10:
        prefix = b"\x12" + put_u32(int(what))
        effect = say(
            "What this account has trained is forgotten; its mail is judged by the common model. The server may use its copy for hours."
        )
        return Scope(
            kind,
            what,
            say("Bayes model of account %(what)s", what=int(what)),
            say("Reset"),
            effect,
            KeyFilter(class_slug="bayes-account", prefix=prefix),
        )
    if kind == "leftover" and what in CLASSES and _may_be_left_over(CLASSES[what], store.effective_version):
        whole = CLASSES[what].left_over(store.effective_version)
        effect = say("Stalwart %(effective_version)s neither reads nor writes these keys.", effective_version=store.effective_version)
        if not whole:
            effect = say("Only keys of forms that are no longer written, and counters of windows long past that have no expiry.")
        return Scope(kind, what, CLASSES[what].title, say("Remove"), effect, KeyFilter(class_slug=what, left_over=not whole))
    raise BadConfig(say("There is no such set of keys in this store."), say("Choose one from a page of the store."), "what")


def _may_be_left_over(cls: KeyClass, version: str) -> bool:
    """All keys of the class, those of its text prefixes, or counters that have lost their expiry."""
    return cls.left_over(version) or (cls.slug or "").startswith("rate-") or (bool(cls.texts) and minor(version) > 10)


def preview(store: Store, scope: Scope) -> Preview:
    """How many keys, samples, and the token that starts the run. Changes nothing; bounded to some seconds."""
    return bulk_preview.preview(store, Change(Do.DELETE, scope.filter, time.time()))


def remove(actor: Actor, store: Store, token: str, count: str) -> Run:
    """Start the run of a preview, through the trash. Raises Busy, ReadOnly, BadConfig for a token that is too old."""
    return bulk.start(actor, store, bulk_preview.confirmed(store, token, count))
