"""Running windows with limits and rules, and resetting them: on a memory store and on captured ones."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command

from stores.errors import BadConfig, CursorLost
from stores.keyclasses import smtp_limit_key
from stores.models import AuditEntry, Store, TrashEntry
from stores.services import definitions, limited, relief
from stores.services.browse import read_key
from stores.services.limited import limited as look
from stores.services.relief import Target
from tests.fixtures_path import needs_fixtures
from tests.services.conftest import ACTOR, everything, new_memory, plant, plant_counter, soon, stored
from tests.services.test_find import LIMITERS, LIVE, give_settings, manifest

pytestmark = pytest.mark.django_db

IP = bytes([203, 0, 113, 20])


def window(store: Store, start: bytes, count: int, period: int = 86400, back: int = 0) -> bytes:
    number = int(time.time()) // period - back
    key = start + number.to_bytes(8, "big")
    plant_counter(store, key, count, (number + 1) * period)
    return key


def row_target(store: Store, key: bytes) -> Target:
    row = read_key(store, key)
    assert row is not None
    return Target.of_row(store.pk, row)


def test_windows_come_by_count_with_limit_rule_and_end(memory: Store) -> None:
    window(memory, b"\x05" + IP, 97)
    window(memory, b"\x02" + IP, 3)
    window(memory, b"\x05john", 100)
    window(memory, b"\x09" + IP, 7, period=77)
    window(memory, b"\x05old", 500, back=1)
    plant(memory, b"user key", b"1")
    found = look()
    assert [(each.count, each.subject) for each in found.windows] == [
        (100, "john"),
        (97, "203.0.113.20"),
        (7, "203.0.113.20"),
        (3, "203.0.113.20"),
    ]
    john, ip, other, rcpt = found.windows
    assert (john.full, ip.full, ip.near, rcpt.near, ip.left) == (True, False, True, False, 3)
    assert (ip.limit.requests if ip.limit else 0) == 100 and ip.rule == "Stalwart's default"
    assert (rcpt.limit.requests if rcpt.limit else 0) == 35
    assert other.limit is None and other.left is None, "a window of another period than the limit has no known limit"
    assert ip.end > time.time()
    assert found.running == 4 and not found.next


def test_the_subject_behind_a_hash_is_named_from_the_other_windows(memory: Store) -> None:
    give = {"key": "queue.limiter.inbound.ip.rate", "classes": ["rate-smtp"], "count": 1000, "period": 3600.0, "disabled": False}
    from stores.models import ImportedLimits

    ImportedLimits.objects.create(source="config.toml", limits=[{**give, "parts": ["remote_ip"], "direction": "inbound", "name": "ip"}])
    arguments = {"requests": 1000, "period": 3600, "direction": "inbound"}
    window(memory, smtp_limit_key({"remote_ip": "203.0.113.20"}, **arguments), 999, period=3600)  # type: ignore[arg-type]
    window(memory, smtp_limit_key({"remote_ip": "203.0.113.99"}, **arguments), 5, period=3600)  # type: ignore[arg-type]
    window(memory, b"\x05" + IP, 1)
    named, hashed = look(slug="rate-smtp").windows
    assert hashed.subject.startswith("limit "), "without another window of the address nothing names it"
    assert (named.rule, hashed.rule) == ("inbound limiter ip", "inbound limiter ip"), "the only limiter with windows of an hour"
    named = next(each for each in look().windows if each.slug == "rate-smtp" and each.count == 999)
    assert named.subject == "remote ip 203.0.113.20" and named.limit is not None and named.limit.requests == 1000


@needs_fixtures
def test_every_running_window_of_a_captured_store_is_listed(captured: Callable[..., Store]) -> None:
    store = captured(LIVE)
    give_settings(store, LIMITERS)
    now = time.time()
    wanted = {row["key_hex"] for row in manifest() if row["class"] in limited.CLASSES and row["expires_unix"] > now}
    found = look([store])
    assert {each.row.entry.key.hex() for each in found.windows} == wanted
    assert {each.rule for each in found.windows if each.slug == "rate-smtp" and each.limit} == {"inbound limiter long"}


def test_a_bounded_walk_goes_on(memory: Store) -> None:
    for number in range(1200):
        window(memory, b"\x05user%04d" % number, number)
    first = look(budget_seconds=0.0)
    assert first.next and first.running < 1200
    found, running = first, first.running
    while found.next:
        found = look(cursor=found.next, budget_seconds=0.0)
        running += found.running
    assert running == 1200
    with pytest.raises(CursorLost):
        look(slug="rate-scan", cursor=first.next)
    with pytest.raises(BadConfig):
        look(slug="greylist")


def test_only_the_fullest_are_kept_in_memory(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "MOST", 10)
    for number in range(50):
        window(memory, b"\x05user%02d" % number, number)
    found = look()
    assert [each.count for each in found.windows] == list(range(49, 39, -1)) and found.running == 50


def test_reset_removes_number_and_marker_and_undo_brings_both_back(memory: Store) -> None:
    key = window(memory, b"\x05" + IP, 97)
    before = stored(memory, key)
    action = relief.action_of("reset")
    [planned] = relief.plan(action, [row_target(memory, key)])
    assert planned.row is not None and not planned.changed and not planned.refused
    outcome = relief.carry_out(ACTOR, action, [planned.target])
    [result] = outcome.results
    assert result.state == "done" and result.before is not None and result.after is None
    assert stored(memory, key) is None
    assert TrashEntry.objects.count() == 1 and AuditEntry.objects.filter(action="delete", outcome="done").count() == 1
    assert relief.undo(ACTOR, outcome.undo) == [("mem", True, "Put back exactly, with its old expiry")]
    assert stored(memory, key) == before


def test_a_key_that_changed_is_left_alone_and_said(memory: Store) -> None:
    key, other = window(memory, b"\x05" + IP, 97), window(memory, b"\x05john", 4)
    targets = [row_target(memory, key), row_target(memory, other)]
    plant_counter(memory, key, 98, soon())
    outcome = relief.carry_out(ACTOR, relief.action_of("reset"), targets)
    assert sorted(result.state for result in outcome.results) == ["changed", "done"]
    assert stored(memory, key) is not None and stored(memory, other) is None
    plant_counter(memory, other, 1, soon())
    [(_, done, said)] = relief.undo(ACTOR, outcome.undo)
    assert not done and "counted again" in said
    assert stored(memory, other).counter == 1  # type: ignore[union-attr]


def test_greylist_pairs_are_let_in_and_taken_back(memory: Store) -> None:
    known, new = b"\x10news@good.orgjohn@example.com", b"\x10new@good.orgjohn@example.com"
    plant(memory, known, b"", soon(60))
    action = relief.action_of("allow")
    outcome = relief.carry_out(ACTOR, action, [row_target(memory, known), Target("mem", new, "")])
    assert outcome.done == 2
    for key in (known, new):
        entry = stored(memory, key)
        assert entry is not None and entry.value == b"" and abs((entry.expires_at or 0) - time.time() - 30 * 86400) < 5
    assert all(done for _, done, _ in relief.undo(ACTOR, outcome.undo))
    assert stored(memory, new) is None
    assert abs((stored(memory, known).expires_at or 0) - soon(60)) < 5  # type: ignore[union-attr]


def test_an_action_only_touches_its_own_classes_and_writable_stores(memory: Store) -> None:
    plant(memory, b"mine", b"x")
    locked = new_memory("locked")
    key = window(locked, b"\x05" + IP, 97)
    target = row_target(locked, key)
    definitions.update_store(ACTOR, locked, read_only=True)
    outcome = relief.carry_out(ACTOR, relief.action_of("reset"), [row_target(memory, b"mine"), target])
    assert [result.state for result in outcome.results] == ["failed", "failed"] and not outcome.undo
    assert all(result.message for result in outcome.results)
    assert stored(memory, b"mine") is not None and stored(locked, key) is not None
    with pytest.raises(BadConfig):
        relief.action_of("purge")
    with pytest.raises(BadConfig):
        relief.undo(ACTOR, "nonsense")
    with pytest.raises(BadConfig):
        relief.carry_out(ACTOR, relief.action_of("reset"), [])


def test_picks_carry_secrets_sealed(memory: Store) -> None:
    code = b"\x01" + b"A" * 40
    plant(memory, code, b"x" * 20, soon())
    target = row_target(memory, code)
    assert b64encode(code[1:]).decode()[:20] not in target.pick and "~" in target.pick
    assert Target.of_pick(target.pick) == target
    outcome = relief.carry_out(ACTOR, relief.action_of("revoke"), [Target.of_pick(target.pick)])
    assert outcome.done == 1 and stored(memory, code) is None


def test_the_command_lists_and_resets(memory: Store) -> None:
    window(memory, b"\x05" + IP, 100)
    window(memory, b"\x05john", 4)
    out, errors = StringIO(), StringIO()
    call_command("limited", "--json", "--full", stdout=out, stderr=errors)
    [line] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (line["store"], line["subject"], line["count"], line["limit"], line["full"]) == ("mem", "203.0.113.20", 100, 100, True)
    assert line["class"] == "rate-auth" and line["window_end"] > time.time()
    call_command("limited", "--full", "--reset", "--dry-run", stdout=StringIO(), stderr=errors)
    assert len(everything(memory)) == 2
    call_command("limited", "--full", "--reset", "--yes", stdout=StringIO(), stderr=errors)
    assert [entry.counter for entry in everything(memory).values()] == [4]
    assert "1 counters reset." in errors.getvalue()
