"""Every word of every page goes through the catalogs: read in letters that only they write, nothing else is in Latin ones but data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from stores.models import Store
from stores.services import audit, census
from stores.services.keytokens import token_of
from stores.templatetags.kv_audit import DID
from tests.fixtures_path import needs_fixtures
from tests.services.conftest import everything
from tests.views.conftest import ACTOR
from tests.views.every_word import leftovers, speak
from tests.views.test_routes import PAGES, filled  # noqa: F401  (a fixture)

NAMES = "kvadmin|mem|ana|gone|memstore|UTC|greeting|old|hello|nobody|john|jane|alice|eve|nowhere|mymaster"
CLIENTS = "mua-ünicode|tv-app\\d*|webadmin|L{9,}|V{9,}"
FORMATS = "TOML|JSON|CSV|SQLite|PostgreSQL|RocksDB|FoundationDB|Redis|MySQL|HTTP|LMTP|TLS|AS\\d+|ACME|OAuth|DMARC|BLAKE3|TTL|PEM"
OPTIONS = "urls|path|host|url|timeout|name|default|single|cluster|sentinel|resp[23]|latin1|list|csv"
WORDS = "Authorized|TokenIssued|Pending|account \\d+|fallback administrator"
EXAMPLES = "https?://\\S*|user@\\*|7 days|2 days|2 h 30 min|CN=[^·]*|bincode [12]|http-01|tls-alpn-01"
DATA = re.compile(
    rf"\b(?:{NAMES}|{CLIENTS}|{FORMATS}|{OPTIONS})\b|{WORDS}|{EXAMPLES}|[\w.+<>-]*@[\w.-]+|\b[\w-]+\.[\w.-]+\b|\b[0-9a-f:]{{4,}}…?|[“\"][^”\"]*[”\"]|<id>"
)
"""What the stores of these tests hold, names of formats, options and programs, and examples that are typed as they stand."""
VARIABLES = (  # noqa: SIM905
    "listener remote_ip remote_port local_ip local_port protocol is_tls asn country sender sender_domain authenticated_as rcpt rcpt_domain "
    "recipients priority helo_domain"
).split()
"""Names of Stalwart's own, which the page of lookups shows as they are."""


def assert_translated(client: Client, address: str, data: re.Pattern[str] = DATA) -> None:
    found = [text for text in leftovers(client.get(address), data) if text not in VARIABLES]
    assert not found, address


@pytest.mark.parametrize("name", PAGES)
def test_every_page(client: Client, filled: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:  # noqa: F811
    speak(monkeypatch)
    assert_translated(client, reverse(f"stores:{name}", kwargs=PAGES[name]))


DOWN = (
    "/", "/stores/gone/", "/stores/gone/keys/", "/stores/gone/keys/?q=x", "/stores/gone/key/AAAA/", "/stores/gone/purge/",
    "/stores/gone/checks/", "/stores/gone/growth/", "/stores/gone/spam/", "/stores/gone/leftovers/", "/stores/gone/settings/",
    "/stores/gone/bulk/?class=rate-auth&do=delete", "/limited/", "/find/?q=203.0.113.20", "/3am/?q=203.0.113.20", "/nowhere/",
    "/stores/nowhere/",
)  # fmt: skip


@pytest.mark.parametrize("address", DOWN)
def test_pages_of_a_store_that_does_not_answer(client: Client, down: Store, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    speak(monkeypatch)
    assert_translated(client, address)


COUNTED = (
    "/", "/stores/memstore/", "/stores/memstore/purge/", "/stores/memstore/checks/", "/stores/memstore/growth/",
    "/stores/memstore/compare/",
    "/stores/memstore/leftovers/", "/stores/memstore/bulk/?class=rate-auth&do=delete", "/limited/", "/3am/?q=203.0.113.20",
    "/stores/memstore/keys/?class=rate-auth", "/stores/memstore/keys/?class=oauth", "/stores/memstore/keys/?regex=((",
    "/stores/memstore/spam/",
)  # fmt: skip


@needs_fixtures
@pytest.mark.parametrize("address", COUNTED)
def test_pages_of_a_counted_store(client: Client, captured: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    store = captured()
    census.count(store, ACTOR)
    speak(monkeypatch)
    assert_translated(client, address, _with_keys(store))


@needs_fixtures
def test_the_page_of_one_key_of_every_class(client: Client, captured: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    store = captured()
    keys = everything(store)
    first = {key[:1] if key[:1] < b" " else key[:4]: key for key in sorted(keys, reverse=True) if len(key) < 200 and b"\t" not in key}
    data = _with_keys(store)
    speak(monkeypatch)
    for key in first.values():
        assert_translated(client, f"/stores/memstore/key/{token_of(key)}/", data)


def _with_keys(store: Store) -> re.Pattern[str]:
    """The data, and every word that is in a key of the store."""
    words = {word for key in everything(store) for word in re.findall(r"[A-Za-zÀ-ÿ]{2,}", key.decode("utf-8", "replace"))}
    longest = sorted(words, key=len, reverse=True)
    return re.compile(f"{DATA.pattern}|{'|'.join(map(re.escape, longest))}")


def test_every_kind_of_entry_in_the_audit(client: Client, memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for action in DID:
        audit.record(ACTOR, action, "mem", key="6162", class_slug="rate-auth", before={"counter": 1}, after={"counter": 2})
    speak(monkeypatch)
    assert_translated(client, "/audit/")


KEY = f"/stores/mem/key/{token_of(b'greeting')}/"
WRONG: tuple[tuple[str, dict[str, Any]], ...] = (
    (f"{KEY}expiry/", {"how": "at"}), ("/stores/mem/keys/new/", {}), ("/stores/add/redis/", {}), ("/stores/add/sqlite/", {"id": "A B"}),
    ("/alerts/add/", {}), ("/settings/tokens/", {}), ("/settings/users/", {}), ("/stores/mem/schedule/", {"frequency": "*/5 1 8 1"}),
    ("/stores/mem/schedule/", {"frequency": "0 25 *"}), ("/stores/mem/bulk/start/", {}), ("/account/password/", {}),
)  # fmt: skip


@pytest.mark.parametrize(("address", "sent"), WRONG)
def test_what_is_said_of_a_form_that_is_wrong(
    client: Client,
    filled: Store,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    sent: dict[str, Any],
) -> None:
    speak(monkeypatch)
    found = list(leftovers(client.post(address, sent, follow=True), DATA))
    assert not found


def test_a_word_that_is_in_no_catalog_stands_out(client: Client, memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.origin = "made by hand"
    memory.save()
    speak(monkeypatch)
    assert any("made by hand" in text for text in leftovers(client.get("/stores/mem/"), DATA))
