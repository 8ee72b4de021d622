"""The spam filter's memory, leftovers and sets of keys, on the stores that real servers wrote."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from stores.errors import BadConfig
from stores.models import Run, RunState, Store
from stores.services import browse, bulk, census, definitions, leftovers, purge, scopes, spam
from stores.services.filters import KeyFilter
from stores.types import Pace
from tests.fixtures_path import needs_fixtures
from tests.servers.redis import RedisServer
from tests.services.conftest import ACTOR, everything, plant_counter, stored
from tests.services.test_find import LIVE, manifest

pytestmark = pytest.mark.django_db

Define = Callable[..., Store]


def trained(store: Store, account: int, *tokens: bytes) -> list[bytes]:
    keys = [b"\x12" + account.to_bytes(4, "big") + token for token in (b"", *tokens)]
    for number, key in enumerate(keys):
        plant_counter(store, key, (number + 1) << 32 | 2)
    return keys


def worked(run: Run) -> None:
    """What a worker does with a run that was started."""
    done = bulk.execute(run.pk)
    assert done is not None and done.state == RunState.DONE, done and done.error


@needs_fixtures
def test_reputation_is_sorted_by_score_count_and_expiry(captured: Define) -> None:
    store = captured(LIVE)
    wanted = [row for row in manifest() if row["class"].startswith("reputation-")]
    scores = {row["key_hex"]: row["decoded"]["score"] for row in wanted}
    found = spam.ranked(store, "reputation", "spam")
    assert {row.entry.key.hex() for row in found.rows} == set(scores) and found.met == len(wanted) and not found.next
    order = [scores[row.entry.key.hex()] for row in found.rows]
    assert order == sorted(order, reverse=True) and order[0] > 0 > order[-1]
    assert [scores[row.entry.key.hex()] for row in spam.ranked(store, "reputation", "good").rows] == sorted(order)
    ends = [row.entry.expires_at or 0 for row in spam.ranked(store, "reputation", "soonest").rows]
    assert ends == sorted(ends)
    with pytest.raises(BadConfig):
        spam.ranked(store, "greylist", "spam")


@needs_fixtures
def test_greylist_and_trusted_replies_are_listed_whole(captured: Define) -> None:
    store = captured(LIVE)
    for part, slug in (("greylist", "greylist"), ("replies", "trusted-reply")):
        wanted = {row["key_hex"] for row in manifest() if row["class"] == slug}
        assert {row.entry.key.hex() for row in spam.ranked(store, part).rows} == wanted


@needs_fixtures
def test_bayes_shows_totals_telling_tokens_and_accounts(captured: Define) -> None:
    store = captured(LIVE)
    rows = [row for row in manifest() if row["class"].startswith("bayes-")]
    totals = next(row["decoded"] for row in rows if row["key_hex"] == "11")
    found = spam.bayes(store)
    assert (found.common.ham, found.common.spam) == (totals["ham"], totals["spam"])
    assert found.common.tokens == sum(row["class"] == "bayes-global" for row in rows) - 1
    by_account = Counter(int(row["key_hex"][2:10], 16) for row in rows if row["class"] == "bayes-account" and len(row["key_hex"]) > 10)
    assert {model.account: model.tokens for model in found.accounts} == dict(by_account)
    assert found.spam and found.ham
    assert all(token.lean > 0 for token in found.spam) and all(token.lean <= 0 for token in found.ham)
    assert [token.lean for token in found.spam] == sorted((token.lean for token in found.spam), reverse=True)


def test_resetting_account_42_leaves_account_46_and_all_others(memory: Store) -> None:
    others = [*trained(memory, 46, b"word"), *trained(memory, 0x2A2A2A2A, b"word"), *trained(memory, 4, b"word")]
    own = trained(memory, 42, b"word", b"two words", b"\xff\xff\xff")
    scope = scopes.scope_of(memory, "bayes-account", "42")
    found = scopes.preview(memory, scope)
    assert found.found.keys == len(own) and found.found.exact
    worked(scopes.remove(ACTOR, memory, found.token, str(found.found.keys)))
    assert set(everything(memory)) == set(others)


@needs_fixtures
@pytest.mark.parametrize("flavour", ["valkey"])
def test_the_same_on_redis_where_42_is_a_star(db: None, flavour: str) -> None:
    server = RedisServer(flavour)
    server.start()
    try:
        store = definitions.create_store(ACTOR, id="redis", type="redis", settings={"urls": server.url}, version="0.11")
        with server.client() as client:
            for account in (42, 46, 63, 91):
                client.set(b"\x12" + account.to_bytes(4, "big"), 5)
                client.set(b"\x12" + account.to_bytes(4, "big") + b"word", 5)
        found = scopes.preview(store, scopes.scope_of(store, "bayes-account", "42"))
        assert found.found.keys == 2
        worked(scopes.remove(ACTOR, store, found.token, "2"))
        with server.client() as client:
            assert client.dbsize() == 6 and not client.exists(b"\x12\x00\x00\x00\x2a")
    finally:
        server.stop()


def test_sets_of_keys_are_only_those_that_exist(memory: Store) -> None:
    for kind, what in (
        ("rates", "greylist"),
        ("bayes-account", "x"),
        ("bayes-account", str(1 << 32)),
        ("leftover", "bayes-global"),
        ("all", ""),
    ):
        with pytest.raises(BadConfig):
            scopes.scope_of(memory, kind, what)
    found = scopes.preview(memory, scopes.scope_of(memory, "rates", "rate-auth"))
    with pytest.raises(BadConfig):
        scopes.remove(ACTOR, memory, found.token, "99")


@needs_fixtures
def test_after_an_upgrade_the_old_classes_are_left_over(captured: Define) -> None:
    store = captured(LIVE, version="0.15")
    gone = ("bayes-global", "bayes-account", "trusted-reply", "token-revision")
    classes = (*gone, "reputation-ip", "reputation-from", "reputation-domain", "reputation-asn")
    wanted = Counter(row["class"] for row in manifest() if row["class"] in classes)
    found = leftovers.look(store, budget_seconds=60)
    assert {group.slug: group.keys for group in found.groups if group.whole} == dict(wanted)
    assert all(group.why and group.rows for group in found.groups)
    assert not leftovers.look(captured(LIVE, store_id="same"), budget_seconds=60).groups
    purge.run_in_foreground(ACTOR, store, Pace.FAST)
    kept = {group.slug: group.keys for group in leftovers.look(store, budget_seconds=60).groups}
    assert kept["bayes-global"] == wanted["bayes-global"], "a purge does not touch them"
    scope = scopes.scope_of(store, "leftover", "bayes-global")
    found_keys = scopes.preview(store, scope)
    worked(scopes.remove(ACTOR, store, found_keys.token, str(found_keys.found.keys)))
    assert "bayes-global" not in {group.slug for group in leftovers.look(store, budget_seconds=60).groups}


def test_old_counters_without_an_end_are_left_over_and_removable_as_one(memory: Store) -> None:
    past = b"\x05john" + (int(time.time()) // 86400 - 30).to_bytes(8, "big")
    now = b"\x05john" + (int(time.time()) // 86400).to_bytes(8, "big")
    plant_counter(memory, past, 4)
    plant_counter(memory, now, 4)
    [group] = leftovers.look(memory).groups
    assert [row.entry.key for row in group.rows] == [past] and not group.whole and "window is long over" in group.why
    found = scopes.preview(memory, scopes.scope_of(memory, "leftover", "rate-auth"))
    assert [row.entry.key for row in found.found.samples] == [past]
    worked(scopes.remove(ACTOR, memory, found.token, "1"))
    assert stored(memory, past) is None and stored(memory, now) is not None


def test_text_keys_of_0_10_are_left_over_later(memory: Store) -> None:
    old = b"b:203.0.113.20" + (int(time.time()) // 86400).to_bytes(8, "big")
    plant_counter(memory, old, 4)
    [group] = leftovers.look(memory).groups
    assert (group.slug, group.whole, [row.entry.key for row in group.rows]) == ("rate-auth", False, [old])
    assert [row.entry.key for row in browse.list_keys(memory, KeyFilter(left_over=True)).rows] == [old]


def test_the_last_census_says_how_much_is_left_over(memory: Store) -> None:
    assert leftovers.counted(memory) is None
    plant_counter(memory, b"\x11token", 1)
    Store.objects.filter(pk=memory.pk).update(version="0.15")
    memory.refresh_from_db()
    census.count(memory, ACTOR)
    found = leftovers.counted(memory)
    assert found is not None and found.classes == (("bayes-global", 1),) and found.keys == 1


def test_bounded_walks_go_on(memory: Store) -> None:
    for number in range(1300):
        plant_counter(memory, b"\x11%05d" % number, 5 << 32)
    first = spam.bayes(memory, budget_seconds=0.0)
    second = spam.bayes(memory, first.next, budget_seconds=60)
    assert first.next and first.common.tokens + second.common.tokens == 1300 and not second.next
