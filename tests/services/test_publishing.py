"""Static stores read back by the server's own rules for lists, CSV tables and TOML."""

from __future__ import annotations

import pytest

from stores.codecs.httplists import HttpOptions, parse
from stores.codecs.publishing import publish
from stores.codecs.staticlookup import StaticTable
from stores.errors import BadConfig, KeyNotFound, NotSupported
from stores.models import AuditEntry, Publication, Store
from stores.services import definitions, importer, publishing
from stores.services.tokens import TooMany
from tests.services.conftest import ACTOR, new_memory

ODD = [
    ("a.example", "007"),
    ("b.example", "true"),
    ('quoted "key"', 'value with "quotes", commas\\ and \\"'),
    ("=1+1", "-1.50"),
    ("K", "upper"),
    ("k", "lower"),
    (" blank ", "x"),
    ("ключ", "значение"),
    ("*.example", "pattern"),
    ("lit\\*eral", "star"),
    ("literal", "1"),
    ("lit\\eral", "2"),
    ("empty", ""),
    ("two\nlines", "x"),
    ("value of two", "x\ny"),
]
CSV = HttpOptions("https://lists.example.org", csv=True, key_index=0, value_index=1)
LIST = HttpOptions("https://lists.example.org", csv=False)


def test_csv_answers_what_the_store_answers() -> None:
    made = publish(ODD, "csv", "0.11")
    read, cut = parse([made.body], CSV)
    table = StaticTable(ODD, "0.11")
    answers = {key: table.lookup(key) for key in read}
    assert not cut and all(answers.values())
    assert read == {key: answer.text for key, answer in answers.items() if answer}
    assert set(read) == {"a.example", "b.example", 'quoted "key"', "=1+1", "K", "k", " blank ", "ключ", "lit*eral", "literal"}
    assert (read["a.example"], read["b.example"], read["=1+1"]) == ("7", "1", "-1.5")
    assert (made.entries, made.patterns, made.unsaid) == (10, 1, 3)


def test_a_list_has_the_keys_that_a_list_can_hold() -> None:
    made = publish(ODD, "list", "0.11")
    read, _ = parse([made.body], LIST)
    assert set(read.values()) == {""}
    assert set(read) == {"a.example", "b.example", 'quoted "key"', "=1+1", "K", "k", "ключ", "lit*eral", "literal", "empty", "value of two"}
    assert (made.entries, made.unsaid) == (11, 2)
    assert publish([], "list").body == b""


def test_an_entry_without_a_value_answers_1_in_the_newest_version() -> None:
    read, _ = parse([publish([("empty", ""), ("n", "007")], "csv", "0.16").body], CSV)
    assert read == {"empty": "1", "n": "007"}


@pytest.fixture
def hosts(db: None) -> Store:
    return definitions.create_store(ACTOR, id="hosts", type="static", settings={}, version="0.11", entries=[("a.example", "7"), ("*", "0")])


def test_tokens_are_kept_as_digests_and_end(hosts: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made, token = publishing.add(ACTOR, hosts, "csv")
    assert token not in str(Publication.objects.values()) and made.digest != token
    found = publishing.find(token)
    assert found is not None and (found.store_id, found.form) == ("hosts", "csv")
    assert publishing.find(token[:-1]) is None and publishing.find("") is None and publishing.find("x" * 5000) is None
    definitions.update_store(ACTOR, hosts, enabled=False)
    assert publishing.find(token) is None
    definitions.update_store(ACTOR, hosts, enabled=True)
    monkeypatch.setattr("stores.services.publishing.time.time", lambda: 60_000.0)
    for _ in range(publishing.PER_MINUTE):
        assert publishing.find(token) is not None
    with pytest.raises(TooMany):
        publishing.find(token)
    monkeypatch.setattr("stores.services.publishing.time.time", lambda: 60_061.0)
    assert publishing.find(token) is not None
    publishing.revoke(ACTOR, hosts, made.pk)
    assert publishing.find(token) is None
    with pytest.raises(KeyNotFound):
        publishing.revoke(ACTOR, hosts, made.pk)
    said = list(AuditEntry.objects.filter(action__in=("publish", "unpublish")).values_list("action", "before", "after"))
    assert len(said) == 2 and token not in str(said)


def test_only_static_stores_are_published(hosts: Store, memory: Store) -> None:
    with pytest.raises(NotSupported):
        publishing.add(ACTOR, memory, "list")
    with pytest.raises(NotSupported):
        publishing.toml(memory)
    with pytest.raises(BadConfig) as error:
        publishing.add(ACTOR, hosts, "xml")
    assert error.value.field == "form"
    other = definitions.create_store(ACTOR, id="other", type="static", settings={})
    made, _ = publishing.add(ACTOR, other, "list")
    with pytest.raises(KeyNotFound):
        publishing.revoke(ACTOR, hosts, made.pk)
    new_memory("second")


def test_what_is_exported_as_toml_is_imported_as_it_was(db: None) -> None:
    kept = [(key, value) for key, value in ODD if "\\" not in key and "\n" not in key]
    store = definitions.create_store(ACTOR, id="hosts", type="static", settings={}, version="0.11", entries=[*kept, ("back\\slash", "x")])
    written = publishing.toml(store)
    assert len(written.left_out) == 1 and "backslash" in written.left_out[0]
    plan = importer.plan(written.text, "config.toml")
    (planned,) = plan.stores
    assert (planned.id, planned.type, dict(planned.entries)) == ("hosts", "static", dict(kept))
