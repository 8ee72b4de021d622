"""Many keys at once: an answer a key, each under its own expectation, the same rows as one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stores.errors import BadConfig, Conflict, KeyNotFound
from stores.types import ABSENT, ANYTHING, Entry, Expected
from tests.contract.harness import StoreUnderTest

COUNT = 260
"""More than one transaction and more than one pipeline have."""


def planted(store: StoreUnderTest) -> list[bytes]:
    keys = [b"many/%03d" % number for number in range(COUNT)]
    at = store.now + 9000
    store.values([(key, b"value of " + key, None if number % 3 else at) for number, key in enumerate(keys)])
    store.counters([(b"many/c%03d" % number, number, at) for number in range(40)])
    return keys


def entries(store: StoreUnderTest, keys: list[bytes]) -> list[Entry]:
    found = store.backend.get_each(keys)
    assert all(entry is not None for entry in found)
    return [entry for entry in found if entry is not None]


def test_reading_answers_in_the_order_asked_for(store: StoreUnderTest) -> None:
    if store.harness.layout == "static":
        pytest.skip(f"{store.name}: nothing can be planted")
    keys = planted(store)
    asked = [keys[5], b"missing", *reversed(keys), keys[5], b"many/c007"]
    assert store.backend.get_each(asked) == [store.backend.get(key) for key in asked]
    assert store.backend.get_each([]) == []


@pytest.mark.needs("writes")
def test_deleting_each_as_it_was_seen(store: StoreUnderTest) -> None:
    keys = planted(store)
    counters = [b"many/c%03d" % number for number in range(40)]
    seen = entries(store, keys + counters)
    store.value(keys[3], b"changed meanwhile")
    another = store.another()
    another.delete(keys[4])
    answers = store.backend.delete_each(seen)
    for entry, answer in zip(seen, answers, strict=True):
        if entry.key == keys[3]:
            assert isinstance(answer, Conflict)
        elif entry.key == keys[4]:
            assert answer is None or isinstance(answer, Conflict)
        else:
            assert isinstance(answer, Entry)
            assert answer.etag == entry.etag
    values, numbers = store.harness.raw()
    assert list(values) == [keys[3]]
    assert not numbers
    assert store.backend.delete_each([]) == []


@pytest.mark.needs("writes", "expiry")
def test_giving_each_another_expiry(store: StoreUnderTest) -> None:
    keys = planted(store)
    counters = [b"many/c%03d" % number for number in range(40)]
    seen = entries(store, keys + counters)
    store.value(keys[7], b"changed meanwhile")
    store.another().delete(keys[8])
    at = store.now + 77_777
    answers = store.backend.set_expiry_each(seen, at)
    after = store.backend.get_each([entry.key for entry in seen])
    for entry, answer, now in zip(seen, answers, after, strict=True):
        if entry.key in (keys[7], keys[8]):
            assert isinstance(answer, Conflict | KeyNotFound)
        else:
            assert isinstance(answer, Entry)
            assert now is not None
            assert (now.etag, now.value, now.counter, now.expires_at) == (answer.etag, entry.value, entry.counter, at)
    never = store.backend.set_expiry_each([entry for entry in after if entry is not None and entry.key != keys[7]], None)
    assert all(isinstance(answer, Entry) and answer.expires_at is None for answer in never)


@pytest.mark.needs("writes")
def test_writing_each_under_its_own_expectation(store: StoreUnderTest) -> None:
    keys = planted(store)
    seen = entries(store, keys)
    stale = replace(seen[0], value=b"older", row=None)
    wanted: list[tuple[Entry, Expected]] = [(replace(entry, value=b"new " + entry.key, row=None), entry) for entry in seen[1:200]]
    wanted += [(replace(seen[0], value=b"never written", row=None), stale)]
    wanted += [(replace(seen[0], key=b"new/%03d" % number, row=None), ABSENT) for number in range(150)]
    wanted += [(replace(seen[0], value=b"never written", row=None), ABSENT)]
    answers = store.backend.put_each(wanted)
    for (entry, _), answer in zip(wanted, answers, strict=True):
        if entry.value == b"never written":
            assert isinstance(answer, Conflict)
        else:
            assert isinstance(answer, Entry)
            assert (answer.key, answer.value, answer.expires_at) == (entry.key, entry.value, entry.expires_at)
            assert store.backend.get(entry.key) == answer
    assert store.backend.get(keys[0]) == seen[0]


@pytest.mark.needs("writes")
def test_a_key_that_comes_twice_is_written_twice(store: StoreUnderTest) -> None:
    store.value(b"k", b"first")
    seen = store.backend.get(b"k")
    assert seen is not None
    second, third = replace(seen, value=b"second", row=None), replace(seen, value=b"third", row=None)
    answers = store.backend.put_each([(second, seen), (third, ANYTHING), (second, seen), (replace(seen, key=b"n", row=None), ABSENT)])
    assert [type(answer) for answer in answers] == [Entry, Entry, Conflict, Entry]
    now = store.backend.get(b"k")
    assert now is not None
    assert now.value == b"third"


@pytest.mark.needs("writes")
def test_one_that_cannot_be_written_does_not_stop_the_others(store: StoreUnderTest) -> None:
    store.value(b"k", b"first")
    seen = store.backend.get(b"k")
    assert seen is not None
    nothing = replace(seen, key=b"n", value=None, row=None, counter=None)
    answers = store.backend.put_each([(nothing, ABSENT), (replace(seen, key=b"o", row=None), ABSENT)])
    assert isinstance(answers[0], BadConfig)
    assert isinstance(answers[1], Entry)
    assert store.backend.get(b"n") is None
