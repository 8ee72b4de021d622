"""Lists of HTTP lookups: fetched when due, kept whole or not at all, and old ones kept when a fetch fails."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from stores import tasks
from stores.errors import Busy, NotSupported, StoreUnavailable
from stores.models import AuditEntry, HttpLookup, StaticEntry, Store
from stores.registry import open_store
from stores.services import definitions, http_lookups, static_tests
from tests.servers.listserver import ListServer, ok
from tests.services.conftest import ACTOR, new_memory
from tests.services.test_commands import Run_, run

__all__ = ["run"]

pytestmark = pytest.mark.django_db


def define(url: str, store_id: str = "spam", **settings: str) -> Store:
    found = {"url": url, "format": "list", "allow-private": "true", "refresh": "2h", "retry": "10m", **settings}
    return definitions.create_store(ACTOR, id=store_id, type="http", settings=found)


def entries(store: Store) -> dict[str, str]:
    return dict(store.entries.values_list("key", "value"))


def test_a_new_list_is_fetched_and_then_only_when_it_is_due() -> None:
    with ListServer(ok(b"a.example\nb.example\n")) as server:
        store = define(server.url)
        with open_store(store) as backend, pytest.raises(StoreUnavailable, match="not been fetched"):
            backend.scan()
        assert server.requests == []
        now = timezone.now()
        (row,) = http_lookups.refresh_due(now)
        assert entries(store) == {"a.example": "", "b.example": ""}
        assert (row.entries, row.fetched_at, row.next_at, row.error, row.busy_until) == (2, now, now + timedelta(hours=2), "", None)
        assert http_lookups.refresh_due(now + timedelta(minutes=119)) == []
        assert len(http_lookups.refresh_due(now + timedelta(minutes=121))) == 1
        assert len(server.requests) == 2
    with open_store(store) as backend:
        assert backend.key_get(b"a.example") == b"1"
        assert backend.ping().server.endswith("127.0.0.1")


def test_a_failure_keeps_the_list_and_is_tried_again_after_retry() -> None:
    answers = [ok(b"one\ntwo\n"), b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", ok(b"one\n")[:-2], ok(b"three\n")]
    with ListServer(lambda path, headers, send: send(answers.pop(0))) as server:
        store = define(server.url)
        start = timezone.now()
        http_lookups.refresh_due(start)
        at = start + timedelta(hours=3)
        (row,) = http_lookups.refresh_due(at)
        assert "503" in row.error and (row.failures, row.next_at, row.fetched_at) == (1, at + timedelta(minutes=10), start)
        assert entries(store) == {"one": "", "two": ""}
        assert http_lookups.refresh_due(at + timedelta(minutes=9)) == []
        (row,) = http_lookups.refresh_due(at + timedelta(minutes=11))
        assert "ended before" in row.error and row.failures == 2
        assert entries(store) == {"one": "", "two": ""}
        (row,) = http_lookups.refresh_due(at + timedelta(minutes=30))
        assert (row.error, row.failures, row.next_at) == ("", 0, at + timedelta(minutes=150))
        assert entries(store) == {"three": ""}


def test_an_unchanged_list_is_not_sent_again() -> None:
    def answer(path: str, headers: dict[str, str], send: Callable[[bytes], None]) -> None:
        same = headers.get("if-none-match") == '"v1"'
        send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n" if same else ok(b"k,7\n", 'ETag: "v1"\r\n'))

    with ListServer(answer) as server:
        store = define(server.url, format="csv", **{"index.key": "0", "index.value": "1"})
        now = timezone.now()
        http_lookups.refresh_due(now)
        ids = list(StaticEntry.objects.values_list("pk", flat=True))
        later = now + timedelta(hours=3)
        (row,) = http_lookups.refresh_due(later)
        assert (row.fetched_at, row.entries, row.error) == (later, 1, "")
        assert list(StaticEntry.objects.values_list("pk", flat=True)) == ids
        definitions.update_store(ACTOR, store, settings={**store.settings, "index.value": ""})
        (row,) = http_lookups.refresh_due(later)
        assert entries(store) == {"k": ""}, "other settings read the same answer otherwise: no ETag is sent"
        assert [headers.get("if-none-match") for _, headers in server.requests] == [None, '"v1"', None]


def test_a_bomb_and_a_slow_drip_hurt_nobody() -> None:
    bomb = gzip.compress(b"x" * 999 + b"\n", 9) * 3000

    def drip(path: str, headers: dict[str, str], send: Callable[[bytes], None]) -> None:
        send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.wait(0.05):
            send(b"key")

    with ListServer(ok(bomb)) as packed:
        store = define(packed.url, gzipped="true", **{"limits.size": "200000"})
        (row,) = http_lookups.refresh_due()
        assert "bytes after unpacking" in row.error or "more than 200,000 bytes" in row.error
        assert not entries(store)
    with ListServer(drip) as server:
        slow = define(server.url, "slow", timeout="300ms")
        began = time.monotonic()
        (row,) = http_lookups.refresh_due()
        assert "within 0.3 s" in row.error and time.monotonic() - began < 5
        assert (row.fetched_at, entries(slow)) == (None, {})


def test_only_what_differs_is_written_and_thousands_are() -> None:
    body = [b"".join(b"k%d,%d\n" % (place, place) for place in range(3000)), b"k1,1\nk2,other\nnew,1\n"]
    with ListServer(lambda path, headers, send: send(ok(body[0]))) as server:
        store = define(server.url, format="csv", **{"index.key": "0", "index.value": "1"})
        (row,) = http_lookups.refresh_due()
        assert (row.entries, len(entries(store))) == (3000, 3000)
        kept = store.entries.get(key="k1").pk
        body.pop(0)
        row = http_lookups.fetch_now(ACTOR, store)
        assert entries(store) == {"k1": "1", "k2": "other", "new": "1"}
        assert (row.entries, store.entries.get(key="k1").pk) == (3, kept)
    assert AuditEntry.objects.get(action="list-fetch").outcome == "done"


def test_what_cannot_be_kept_and_what_is_cut_is_said() -> None:
    with ListServer(ok(b"Key\nkey\n" + b"x" * 513 + b"\nnul\0\nlast\n")) as server:
        store = define(server.url, **{"limits.entries": "4"})
        (row,) = http_lookups.refresh_due()
    assert (sorted(entries(store)), row.left_out, row.cut) == (["Key", "key"], 2, True)


def test_private_addresses_need_the_switch() -> None:
    with ListServer(ok(b"a\n")) as server:
        define(server.url, **{"allow-private": ""})
        (row,) = http_lookups.refresh_due()
        assert "address of this machine" in row.error and server.requests == []


def test_those_not_in_use_are_left_alone_and_one_fetch_is_under_way_at_a_time() -> None:
    with ListServer(ok(b"a\n")) as server:
        off = define(server.url, "off", enable="false")
        definitions.update_store(ACTOR, define(server.url, "away"), enabled=False)
        assert http_lookups.refresh_due() == []
        first, second = define(server.url, "first"), define(server.url, "second")
        now = timezone.now()
        HttpLookup.objects.create(store=first, busy_until=now + timedelta(minutes=1))
        assert http_lookups.refresh_due(now) == []
        with pytest.raises(Busy):
            http_lookups.fetch_now(ACTOR, first)
        assert {row.store_id for row in http_lookups.refresh_due(now + timedelta(minutes=2))} == {"first", "second"}
        assert http_lookups.fetch_now(ACTOR, off).entries == 1
    assert entries(second) == {"a": ""}
    with pytest.raises(NotSupported):
        http_lookups.fetch_now(ACTOR, new_memory("mem"))


def test_a_definition_that_changes_during_the_fetch_gets_nothing_of_it() -> None:
    def answer(path: str, headers: dict[str, str], send: Callable[[bytes], None]) -> None:
        send(ok(b"old\n"))

    with ListServer(answer) as server:
        store = define(server.url)
        stale = Store.objects.get(pk=store.pk)
        definitions.update_store(ACTOR, store, settings={**store.settings, "refresh": "1h"})
        http_lookups.fetch_now(ACTOR, stale)
        assert entries(store) == {}
        assert [found.pk for found in http_lookups.due(timezone.now() + timedelta(seconds=1))] == [store.pk]


def test_commands(run: Run_, django_capture_on_commit_callbacks: Any) -> None:
    with ListServer(ok(b"a.example\n")) as server:
        store = define(server.url)
        code, text = run("fetch", "spam", "--json")
        found = json.loads(text)
        assert (code, found["ok"], found["entries"], found["error"]) == (0, True, 1, None)
        assert found["next_at"] - found["fetched_at"] == 7200
        assert run("fetch", "spam") == (0, "1 entry.\n")
        with django_capture_on_commit_callbacks(execute=True):
            http_lookups.request_fetch(ACTOR, store)
        assert len(server.requests) == 3
    code, text = run("fetch", "spam")
    assert (code, text) == (1, "") and "stays" in run.errors  # type: ignore[attr-defined]
    assert entries(store) == {"a.example": ""}
    tasks.refresh_lists()


def test_which_entry_answers(run: Run_) -> None:
    static = [("*", "0"), ("*.example.org", "text"), ("mail.example.org", "7"), ("never", "1.50")]
    definitions.create_store(ACTOR, id="hosts", type="static", settings={}, version="0.11", entries=static)
    code, text = run("static-test", "hosts", "mail.example.org", "--json")
    assert (code, json.loads(text)) == (0, {
        "store": "hosts", "key": "mail.example.org", "found": True, "type": "integer", "value": 7, "text": "7",
        "entry": {"key": "mail.example.org", "raw": "7", "pattern": False},
        "shadowed": [{"key": "*", "raw": "0", "pattern": True}, {"key": "*.example.org", "raw": "text", "pattern": True}],
    })  # fmt: skip
    assert json.loads(run("static-test", "hosts", "never", "--json")[1])["value"] == 1.5
    assert run("static-test", "hosts", "x.example.org")[1].splitlines() == [
        "0  (integer), from the pattern *",
        "  shadows *.example.org = text",
    ]
    definitions.create_store(ACTOR, id="few", type="static", settings={}, entries=[("a", "1")])
    code, text = run("static-test", "few", "b", "--json")
    assert (code, json.loads(text)["found"], json.loads(text)["entry"]) == (1, False, None)
    new_memory("mem")
    assert run("static-test", "mem", "b")[0] == 1
    with ListServer(ok(b"k,\nn,5\n")) as server:
        csv = define(server.url, format="csv", **{"index.key": "0", "index.value": "1"})
        with pytest.raises(StoreUnavailable):
            static_tests.which(csv, "k")
        http_lookups.fetch_now(ACTOR, csv)
    bare, text_five = static_tests.which(csv, "k"), static_tests.which(csv, "n")
    assert bare is not None and (bare.value, bare.raw) == (1, "")
    assert text_five is not None and (text_five.value, static_tests.kind(text_five)) == ("5", "text")
    assert static_tests.which(csv, "K") is None
