"""The sentence that says what holds somebody back."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import pytest

from stores.keyclasses import smtp_limit_key
from stores.models import ImportedLimits, Store
from stores.services import definitions, find, relief
from stores.services.verdict import Verdict, judge
from tests.fixtures_path import needs_fixtures
from tests.services.conftest import ACTOR, new_memory, plant, soon, stored
from tests.services.test_find import LIVE, give_settings
from tests.services.test_limited import IP, window

pytestmark = pytest.mark.django_db


def verdict(subject: str) -> Verdict:
    found = find.search(subject)
    stores = Store.objects.select_related("default_row").in_bulk([searched.store_id for searched in found.stores])
    return judge(found, stores)


def limiter(direction: str = "inbound") -> None:
    kept = {"key": f"queue.limiter.{direction}.ip.rate", "classes": ["rate-smtp"], "count": 1000, "period": 3600.0, "disabled": False}
    ImportedLimits.objects.create(source="config.toml", limits=[{**kept, "parts": ["remote_ip"], "direction": direction, "name": "ip"}])


def test_nothing_is_known_of_a_stranger(memory: Store) -> None:
    found = verdict("192.0.2.77")
    assert (found.level, found.title) == ("ok", "No trace of 192.0.2.77")
    assert not found.proposals and "failed logins" in found.absent and "locks" in found.absent


def test_mail_waits_until_the_window_ends(memory: Store) -> None:
    limiter()
    prefix = smtp_limit_key({"remote_ip": "203.0.113.20"}, requests=1000, period=3600, direction="inbound")
    key = window(memory, prefix, 1000, period=3600)
    window(memory, b"\x05" + IP, 97)
    found = verdict("203.0.113.20 news@good-sender.org")
    assert (found.level, found.title) == ("bad", "Mail from 203.0.113.20 waits")
    assert found.until is not None and found.until % 3600 == 0 and found.until > time.time()
    assert "97 of 100 failed logins of 203.0.113.20: 3 more pass, the one after bans." in found.lines
    first, second = found.proposals[:2]
    assert (first.action, [target.key for target in first.targets]) == ("reset", [key])
    assert second.label == "Reset failed logins"
    relief.carry_out(ACTOR, relief.action_of(first.action), first.targets)
    after = verdict("203.0.113.20 news@good-sender.org")
    assert (after.level, after.title) == ("warn", "203.0.113.20 is close to a limit") and stored(memory, key) is None


@pytest.mark.parametrize(
    ("start", "count", "period", "title"),
    [
        (b"\x05" + IP, 100, 86400, "The next failed login bans 203.0.113.20"),
        (b"\x03" + IP, 30, 86400, "The next scan bans 203.0.113.20"),
        (b"\x07" + IP, 5, 3600, "Forms of 203.0.113.20 are refused"),
        (b"\x09" + IP, 100, 60, "Requests of 203.0.113.20 are refused"),
        (b"\x05" + IP, 5, 86400, "Nothing holds 203.0.113.20 back"),
    ],
)
def test_each_kind_of_limit_has_its_sentence(memory: Store, start: bytes, count: int, period: int, title: str) -> None:
    window(memory, start, count, period=period)
    assert verdict("203.0.113.20").title == title


def test_old_windows_count_for_nothing(memory: Store) -> None:
    window(memory, b"\x05" + IP, 500, back=2)
    found = verdict("203.0.113.20")
    assert found.level == "ok" and found.over == 1 and not found.windows


@needs_fixtures
def test_a_ban_in_the_settings_comes_first(captured: Callable[..., Store]) -> None:
    store = captured(LIVE)
    give_settings(store, {"server.blocked-ip.203.0.113.0/24": ""})
    window(store, b"\x05" + IP, 100)
    found = verdict("203.0.113.20")
    assert (found.level, found.title, found.until) == ("bad", "203.0.113.20 is banned", None)
    assert [ban.setting for ban in found.bans] == ["server.blocked-ip.203.0.113.0/24"]
    assert "server.blocked-ip.203.0.113.0/24" in found.lines[0]
    assert not verdict("198.51.100.1").bans


def test_bad_reputation_and_locks_are_said(memory: Store) -> None:
    plant(memory, b"\x0c" + IP, struct.pack(">Id", 3, 13.2), soon())
    found = verdict("203.0.113.20")
    assert found.title == "Nothing blocks 203.0.113.20, but its reputation is bad"
    assert [(proposal.action, len(proposal.targets)) for proposal in found.proposals] == [("neutral", 1)]
    plant(memory, b"\x15" + (342318274813366278).to_bytes(8, "big"), b"", soon(300))
    locked = verdict("342318274813366278")
    assert locked.title == "Work on 342318274813366278 is locked"
    assert [proposal.action for proposal in locked.proposals] == ["release"]


def test_a_new_greylist_pair_is_offered_for_two_addresses(memory: Store) -> None:
    found = verdict("news@good.org john@example.com")
    [proposal] = found.proposals
    assert proposal.action == "allow" and "news@good.org write to john@example.com" in proposal.label
    outcome = relief.carry_out(ACTOR, relief.action_of("allow"), proposal.targets)
    assert outcome.done == 1 and stored(memory, b"\x10news@good.orgjohn@example.com") is not None
    known = verdict("news@good.org john@example.com")
    assert [proposal.label for proposal in known.proposals] == ["Let its next attempts in"] and len(known.greylist) == 1


def test_codes_of_an_account_and_message_ids(memory: Store) -> None:
    plant(memory, b"\x13note-0@example.com", b"", soon())
    assert [proposal.action for proposal in verdict("<note-0@example.com>").proposals] == ["forget"]


def test_two_stores_that_count_the_same_are_noticed(memory: Store) -> None:
    second = new_memory("second")
    window(memory, b"\x05" + IP, 9)
    window(second, b"\x05" + IP, 2)
    assert verdict("203.0.113.20").twice == ("mem", "second")


def test_an_outage_is_no_all_clear(memory: Store) -> None:
    definitions.create_store(ACTOR, id="gone", type="redis", settings={"urls": "redis://127.0.0.1:1"}, version="0.11")
    found = verdict("203.0.113.20")
    assert found.level == "warn" and "Not all stores answered" in found.lines[0]
