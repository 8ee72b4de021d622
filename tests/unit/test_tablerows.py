"""Tables in kvadmin's own database are read in byte order, a page at a time, for any range of bytes."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from stores.backends.readonly import MemoryRows
from stores.models import HttpLookup, StaticEntry, Store
from stores.models.tablerows import StoredRows, first_text
from stores.registry import open_store
from stores.services import definitions
from stores.types import ALL_KEYS, KeyRange
from tests.services.conftest import ACTOR

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
bounds = st.one_of(st.binary(max_size=6), texts.map(str.encode), texts.map(lambda text: text.encode() + b"\0"))


@given(bounds, texts)
def test_a_bound_of_bytes_divides_texts_as_it_divides_their_bytes(bound: bytes, text: str) -> None:
    found = first_text(bound)
    if found is None:
        assert text.encode() < bound
    else:
        least, strictly = found
        ours = text.encode() > least.encode() if strictly else text.encode() >= least.encode()
        assert ours == (text.encode() >= bound)


ODD = ("", "a", "a\x01", "ab", "b", "A", "é", "ÿ", "Ā", "\ud7ff", "\ue000", "\U0010ffff", "\U0010ffffz", "zz")


@pytest.fixture
def store(db: None) -> Store:
    settings = {"url": "https://lists.example.org/", "format": "list"}
    store = definitions.create_store(ACTOR, id="list", type="http", settings=settings)
    HttpLookup.objects.create(store=store)
    StaticEntry.objects.bulk_create(StaticEntry(store=store, key=key, value=f"v{n}", position=n) for n, key in enumerate(ODD) if key)
    return store


@pytest.mark.parametrize("end", [None, b"b", b"\xc3\xc0", b"\xff", b"\xf4\x8f\xbf\xbf\x00", b"\xed\xa0\x80"])
@pytest.mark.parametrize("start", [b"", b"a", b"a\x00", b"\xc3", b"\xc3\xbf\x00", b"\xed\xa0", b"\xf4\x90", b"\xff"])
def test_stored_rows_are_what_rows_in_memory_are(store: Store, start: bytes, end: bytes | None) -> None:
    stored = StoredRows(store)
    memory = MemoryRows([(key, f"v{n}") for n, key in enumerate(ODD) if key])
    for limit in (1, 3, 100):
        assert stored.page(start, end, limit) == memory.page(start, end, limit)
    assert stored.count(start, end) == memory.count(start, end)
    assert stored.get(start) == memory.get(start)


def test_opening_reads_no_entries_and_a_page_only_its_own(store: Store) -> None:
    StaticEntry.objects.bulk_create(StaticEntry(store=store, key=f"k{n:05}", value="", position=n) for n in range(3000))
    HttpLookup.objects.update(fetched_at="2026-01-01T00:00:00Z")
    with (
        CaptureQueriesContext(
            connection,
        ) as queries,
        open_store(store) as backend,
    ):
        opened = len(queries)
        page = backend.scan(KeyRange.of_prefix(b"k"), limit=50)
        assert backend.key_get(b"k02999") == b"1" and backend.key_get(b"k\xff") is None
        assert backend.count(ALL_KEYS, 1000) == (1000, False)
    assert opened == 1 and not any("staticentry" in query["sql"] for query in queries.captured_queries[:1])
    assert [entry.key for entry in page.entries][::49] == [b"k00000", b"k00049"] and page.next
    assert "LIMIT 51" in queries.captured_queries[1]["sql"] and len(queries) == 4
