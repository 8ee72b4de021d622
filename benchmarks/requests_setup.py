"""What the random requests meet: accounts, tokens, stores with odd keys, runs, trash, alerts, published addresses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.test import Client

from stores.codecs.rows import marker_row, value_row
from stores.models import Account, AlertRule, ApiToken, Run, Store, StoreGrant, TrashEntry
from stores.registry import open_store
from stores.services import census, definitions, edit, embedded, publishing, purge, tokens
from stores.services.actor import Actor
from stores.services.keytokens import SealedKey, token_of
from stores.types import Entry, Kind, Pace

PASSWORD = "correct horse battery"
KEYS = (
    b"user:ana", b"user:<script>alert(1)</script>", b"", b"\x00\xff\xfe", b"\x1b[31mred", "\u202egnp.exe".encode(),
    "\u2066é\u2069".encode(), b"k" * 512, b"\x05" + b"1" * 8, b"\x00\x0a\x00\x00\x01", b"\x01" + b"A" * 40, b"\x02host.example",
    b"\x03\x00\x00", b"\x04", b"\x05rcpt:a@b.example", b"\x06\x7f\x00\x00\x01", b"\x08a@b.example", b"\x0b" + b"z" * 30, b"=1+1",
    b"key with blanks", b"q?x#y%z/..",
)  # fmt: skip
VALUES = (
    b"", b"1", b"<img src=x onerror=alert(1)>", b"\x00\x01\x02", "\u202eabc".encode(), b"x" * 70_000, b'{"a": 1}', b"9" * 40,
    b"\xff\xfe",
)  # fmt: skip


@dataclass(slots=True)
class Found:
    """Signed-in clients by role, tokens, and what addresses can be made of, by the name of the parameter."""

    clients: dict[str, Client]
    tokens: list[str]
    values: dict[str, list[str]]


def fill(folder: Path) -> Found:
    """Set everything up in an empty database."""
    folder.mkdir(parents=True)
    for cache in caches.all():
        cache.clear()
    users = {role: _user(role) for role in ("none", "viewer", "operator", "admin")}
    actor = Actor.of_user(users["admin"])
    _stores(actor, folder)
    StoreGrant.objects.create(user=users["none"], store_id="mem", role="viewer")
    _things(actor)
    issued = [tokens.issue(actor, scope, [scope])[1] for scope in tokens.SCOPES]
    issued += [
        tokens.issue(actor, "one", ["read", "edit"], ["mem"])[1],
        tokens.issue(Actor.of_user(users["viewer"]), "v", ["read"])[1],
        "kva_wrong",
    ]
    return Found({"anonymous": _client(None), **{role: _client(user) for role, user in users.items()}}, issued, _values())


def _user(role: str) -> Any:
    user = get_user_model().objects.create_user(f"{role}-user", password=PASSWORD, is_superuser=role == "admin")
    Account.objects.update_or_create(user=user, defaults={"role": role})
    return get_user_model().objects.get(pk=user.pk)


def _client(user: Any) -> Client:
    """Signed in and freshly confirmed."""
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)
        session = client.session
        session["account_authentication_methods"] = [{"method": "password", "at": time.time(), "username": user.username}]
        session.save()
    return client


def _stores(actor: Actor, folder: Path) -> None:
    path = folder / "store.sqlite3"
    embedded.make_data_store(path)
    mem = definitions.create_store(actor, id="mem", type="memory", settings={"name": str(folder)})
    lite = definitions.create_store(actor, id="lite", type="sqlite", settings={"path": str(path)}, version="0.15")
    definitions.create_store(actor, id="vip", type="static", settings={}, entries=[("a@b.example", "1"), ("*.example", "2"), ("=x", "<b>")])
    definitions.create_store(actor, id="gone", type="redis", settings={"urls": "redis://127.0.0.1:1/0", "timeout": "1s"})
    definitions.create_store(actor, id="list", type="http", settings={"url": "https://lists.example/x", "format": "list"})
    definitions.create_store(actor, id="odd&<b>é", type="memory", settings={"name": f"{folder}odd"})
    soon, past = int(time.time()) + 3600, 1_000_000
    for store in (mem, lite):
        with open_store(store) as backend:
            for number, key in enumerate(key for key in KEYS if key):
                value, expires = VALUES[number % len(VALUES)], (None, soon, past)[number % 3]
                backend.put(Entry(key, Kind.VALUE, value, None, expires, value_row(value, expires)))
            for number in range(1, 4):
                backend.put(Entry(b"\x05n%d" % number, Kind.COUNTER, None, number - 2, soon, marker_row(soon)))


def _things(actor: Actor) -> None:
    mem = Store.objects.get(pk="mem")
    edit.delete_key(actor, mem, b"q?x#y%z/..")
    edit.set_value(actor, mem, b"user:ana", b"newer")
    census.count(mem, actor)
    purge.execute(str(purge.start(actor, Store.objects.get(pk="lite"), Pace.FAST).pk))
    AlertRule.objects.create(kind="backlog", store=mem, threshold=10, emails="ops@example.org")
    publishing.add(actor, Store.objects.get(pk="vip"), "csv")


def _values() -> dict[str, list[str]]:
    keys = [token_of(key) for key in KEYS] + [token_of(SealedKey(KEYS[10]))]
    numbers = [str(pk) for model in (TrashEntry, AlertRule, ApiToken) for pk in model.objects.values_list("pk", flat=True)]
    stores = list(Store.objects.values_list("pk", flat=True))
    runs = [str(pk) for pk in Run.objects.values_list("pk", flat=True)]
    users = [str(pk) for pk in get_user_model().objects.values_list("pk", flat=True)]
    several = dict.fromkeys(("rule_id", "token_id", "trash_id", "publication_id", "pk", "account_id"), numbers)
    types = ["redis", "sqlite", "postgresql", "static", "http", "memory", "nonsense"]
    acts = ["cancel", "pause", "mute", "delete", "resume", "test"]
    known = {"store_id": stores, "store": stores, "key": keys, "run_id": runs, "errand_id": runs, "user_id": users}
    words = {"kind": ["class", "spam", "leftovers"], "what": ["greylist", "rate-auth", "all"], "slug": ["greylist", "oauth", "custom"]}
    return {**several, **known, **words, "type_name": types, "act": acts, "provider_id": ["oidc", "x"]}
