from __future__ import annotations

import pytest

from stores.errors import CursorLost
from stores.models import Store
from stores.services import browse, census
from stores.services.actor import Actor
from stores.services.browse import KeyFilter, list_keys, read_key, stream_keys
from stores.types import Kind
from tests.services.conftest import plant, plant_counter, plant_raw, soon

WINDOW = (7).to_bytes(8, "big")
AUTH = b"\x05" + bytes([203, 0, 113, 20]) + WINDOW
OAUTH = b"\x01" + b"A" * 40


def all_pages(store: Store, filter: KeyFilter, limit: int = 7, **options: float) -> list[bytes]:
    found, cursor = [], ""
    for _ in range(10_000):
        page = list_keys(store, filter, cursor, limit, **options)  # type: ignore[arg-type]
        assert len(page.rows) <= limit
        found += [row.entry.key for row in page.rows]
        assert page.complete is (page.next is None)
        if page.next is None:
            return found
        cursor = page.next
    raise AssertionError("the pages do not end")


@pytest.fixture
def filled(memory: Store) -> Store:
    for number in range(100):
        plant(memory, b"user:%03d" % number, b"v%d" % number, soon() if number % 3 else soon(-10) if number % 2 else None)
    for number in range(30):
        plant_counter(memory, b"\x05" + bytes([203, 0, 113, number]) + WINDOW, number, soon())
    plant(memory, b"", b"empty key")
    plant(memory, b"\xff" * 12, b"beyond")
    plant(memory, OAUTH, b"code")
    plant(memory, b"\x15" + bytes(8), b"", soon())
    plant_raw(memory, b"broken", b"abc")
    return memory


def test_pages_show_every_key_once_and_in_order(filled: Store) -> None:
    keys = all_pages(filled, KeyFilter())
    assert len(keys) == 135
    assert keys == sorted(set(keys))
    assert all_pages(filled, KeyFilter(), limit=135) == keys


@pytest.mark.parametrize(
    ("filter", "count"),
    [
        (KeyFilter(class_slug="rate-auth"), 30),
        (KeyFilter(class_slug="custom"), 103),
        (KeyFilter(class_slug="custom", kind=Kind.LOCK), 0),
        (KeyFilter(kind=Kind.COUNTER), 30),
        (KeyFilter(kind=Kind.LOCK), 1),
        (KeyFilter(prefix=b"user:00"), 10),
        (KeyFilter(match="user:*5"), 10),
        (KeyFilter(match="*:*", expiry="expired"), 17),
        (KeyFilter(match="user:*", expiry="never"), 17),
        (KeyFilter(match="user:*", expiry="live"), 83),
        (KeyFilter(count_min=20), 10),
        (KeyFilter(text="203.0.113.1"), 11),
        (KeyFilter(text="203.0.113.16/28"), 14),
        (KeyFilter(size_min=40), 1),
        (KeyFilter(class_slug="bayes-global"), 0),
    ],
)
def test_filters_find_what_a_look_at_every_row_finds(filled: Store, filter: KeyFilter, count: int) -> None:
    found = all_pages(filled, filter)
    assert len(found) == len(set(found)) == count
    assert sorted(row.entry.key for row in stream_keys(filled, filter)) == sorted(found)


def test_a_page_without_time_is_partial_and_goes_on(filled: Store) -> None:
    page = list_keys(filled, KeyFilter(text="no such text"), limit=10, budget_seconds=0)
    assert page.rows == ()
    assert page.scanned == 10
    for number in range(700):
        plant(filled, b"z%04d" % number)
    page = list_keys(filled, KeyFilter(text="z0699"), limit=10, budget_seconds=0)
    assert page.rows == ()
    assert page.out_of_time
    assert not page.complete
    assert page.scanned == 10
    assert all_pages(filled, KeyFilter(text="z0699"), budget_seconds=0) == [b"z0699"]


def test_a_full_page_is_not_called_out_of_time(filled: Store) -> None:
    page = list_keys(filled, KeyFilter(), limit=5, budget_seconds=0)
    assert len(page.rows) == 5
    assert not page.out_of_time
    assert page.scanned == 5


def test_later_pages_cost_what_the_first_costs(filled: Store) -> None:
    cursor = ""
    while True:
        page = list_keys(filled, KeyFilter(), cursor, 10)
        assert page.scanned <= 10
        if page.next is None:
            break
        cursor = page.next


def test_secret_keys_do_not_show_in_cursors(filled: Store) -> None:
    page = list_keys(filled, KeyFilter(prefix=b"\x01"), limit=1)
    plant(filled, b"\x01" + b"B" * 40, b"code")
    page = list_keys(filled, KeyFilter(prefix=b"\x01"), limit=1)
    assert page.next is not None
    assert "QUFB" not in page.next
    following = list_keys(filled, KeyFilter(prefix=b"\x01"), page.next, 1)
    assert [row.entry.key for row in following.rows] == [b"\x01" + b"B" * 40]


@pytest.mark.parametrize("cursor", ["x", "0", "0.", "0.k!!!", "9.kAA", "0.cAAA", "0.sxyz", "0.kd3Jvbmc", "-1.kAA", "0.nrest", "١.kAA"])
def test_cursors_from_elsewhere_are_refused(filled: Store, cursor: str) -> None:
    with pytest.raises(CursorLost):
        list_keys(filled, KeyFilter(prefix=b"user:"), cursor)


def test_one_key(filled: Store) -> None:
    row = read_key(filled, AUTH)
    assert row is not None
    assert row.decoded.slug == "rate-auth"
    assert row.entry.counter == 20
    assert read_key(filled, b"nothing") is None


def test_json_of_rows(filled: Store) -> None:
    at = soon(500)
    plant_counter(filled, AUTH, 37, at)
    row = read_key(filled, AUTH)
    assert row is not None
    found = browse.json_row(row)
    assert list(found) == ["key_hex", "kind", "class", "value_hex", "counter", "expires_at", "expired", "label", "fields"]
    assert found | {"fields": None} == {
        "key_hex": AUTH.hex(),
        "kind": "counter",
        "class": "rate-auth",
        "value_hex": None,
        "counter": 37,
        "expires_at": at,
        "expired": False,
        "label": "203.0.113.20",
        "fields": None,
    }
    assert found["fields"]["ip"] == "203.0.113.20"


def test_json_of_values_locks_and_malformed_rows(filled: Store) -> None:
    found = {row.entry.key: browse.json_row(row) for row in stream_keys(filled, KeyFilter())}
    assert found[b""]["value_hex"] == b"empty key".hex()
    assert found[b""]["class"] is None
    assert found[b"\x15" + bytes(8)]["kind"] == "lock"
    assert found[b"\x15" + bytes(8)]["value_hex"] == ""
    assert found[b"broken"]["value_hex"] is None
    assert found[b"broken"]["fields"]["row_hex"] == b"abc".hex()
    assert found[OAUTH]["value_hex"] == b"code".hex()
    assert "AAAA" not in found[OAUTH]["label"] + str(found[OAUTH]["fields"])


def test_streams_stop_at_their_limit(filled: Store) -> None:
    assert len(list(stream_keys(filled, KeyFilter(), limit=5))) == 5
    assert len(list(stream_keys(filled, KeyFilter(), limit=0))) == 0
    assert len(list(stream_keys(filled, KeyFilter(), limit=1000))) == 135


def test_the_footer_answers_from_the_latest_census_only_what_it_counted(filled: Store, actor: Actor) -> None:
    assert list_keys(filled, KeyFilter()).census is None
    counted = census.count(filled, actor)

    def answer(**parts: object) -> int | None:
        found = list_keys(filled, KeyFilter(**parts)).census  # type: ignore[arg-type]
        assert found is None or found.at == counted.at
        return None if found is None else found.keys

    assert answer() == 135
    assert answer(class_slug="rate-auth") == 30
    assert answer(class_slug="custom") == 103
    assert answer(class_slug="bayes-global") == 0
    assert answer(expiry="expired") == 17
    assert answer(expiry="live") == 118
    assert answer(kind=Kind.COUNTER) == 30
    assert answer(kind=Kind.LOCK) == 1
    assert answer(kind=Kind.COUNTER, expiry="live") is None
    assert answer(match="user*") is None
    assert answer(prefix=b"u") is None


def test_a_search_is_bounded_by_its_budget(memory: Store) -> None:
    for number in range(3000):
        plant(memory, b"%05d" % number)
    page = list_keys(memory, KeyFilter(text="nowhere"), budget_seconds=0)
    assert page.out_of_time
    assert page.scanned < 3000
    assert page.next
