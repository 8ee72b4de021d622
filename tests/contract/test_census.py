"""Census: every key once, counted with the same sizes and kinds that a scan shows."""

from __future__ import annotations

import pytest

from stores.types import CensusRow, Kind
from tests.contract.harness import StoreUnderTest
from tests.contract.mixture import mixture


def counted(store: StoreUnderTest, position: str = "") -> list[CensusRow]:
    return [row for step in store.backend.census(position) for row in step.rows]


def truth(store: StoreUnderTest) -> list[tuple[object, ...]]:
    return sorted((e.key, e.kind, e.expires_at, len(e.key), e.size - len(e.key), bool(e.problem)) for e in store.walk(limit=500))


def plain(rows: list[CensusRow]) -> list[tuple[object, ...]]:
    return sorted((row.key, row.kind, row.expires_at, row.key_bytes, row.value_bytes, row.corrupt) for row in rows)


@pytest.mark.layout("data")
def test_a_census_counts_every_key_once(store: StoreUnderTest) -> None:
    store.harness.plant(mixture(3000))
    rows = counted(store)
    assert len({row.key for row in rows}) == len(rows) == 3000
    assert plain(rows) == truth(store)
    assert any(row.corrupt for row in rows)
    assert {row.kind for row in rows} == {Kind.VALUE, Kind.COUNTER}


@pytest.mark.layout("redis")
def test_a_census_finds_every_key(store: StoreUnderTest) -> None:
    store.values([(b"k%04d" % number, b"x" * (number % 50), store.now + 600 if number % 2 else None) for number in range(2000)])
    assert {row.key for row in counted(store)} == {b"k%04d" % number for number in range(2000)}
    assert sorted(set(plain(counted(store)))) == truth(store)


def test_the_census_of_an_empty_store(store: StoreUnderTest) -> None:
    assert counted(store) == []


@pytest.mark.layout("data")
def test_a_census_goes_on_from_any_of_its_steps(store: StoreUnderTest) -> None:
    store.harness.plant(mixture(30_000, seed=5))
    steps = list(store.backend.census())
    assert len(steps) > 1
    whole = plain([row for step in steps for row in step.rows])
    assert len(whole) == 30_000
    for number, step in enumerate(steps[:-1]):
        before = [row for earlier in steps[: number + 1] for row in earlier.rows]
        assert plain(before + counted(store, step.position)) == whole


@pytest.mark.layout("data")
@pytest.mark.parametrize("lonely", ["values", "counters"])
def test_a_census_where_one_table_is_empty(store: StoreUnderTest, lonely: str) -> None:
    if lonely == "values":
        store.values([(b"k%05d" % number, b"v", None) for number in range(12_000)])
    else:
        store.counters([(b"k%05d" % number, number, None) for number in range(12_000)])
    rows = counted(store)
    assert len(rows) == len({row.key for row in rows}) == 12_000
    assert {row.kind for row in rows} == {Kind.VALUE if lonely == "values" else Kind.COUNTER}


@pytest.mark.layout("data", "redis")
def test_the_size_grows_with_the_rows(store: StoreUnderTest) -> None:
    before = store.backend.size_bytes()
    store.values([(b"k%05d" % number, b"x" * 1000, None) for number in range(2000)])
    after = store.backend.size_bytes()
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert before >= 0
        assert after > 1_000_000
