"""Texts of the pure modules: English for programs, the reader's language on pages, nothing lost on the way."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator

import pytest
from django.template import Context, Template
from django.utils.html import format_html

from stores.errors import StoreError
from stores.keyclasses import decode
from stores.texts import TRANSLATOR, Text, counted, joined, say, shown
from stores.types import Entry, Kind

GERMAN = {"Store %(id)s is slow.": "Speicher %(id)s ist <langsam>.", "%(count)s key": "%(count)s Schlüssel", "locked": "gesperrt"}
GERMAN["No expiry is stored: the period is unknown, and nothing removes the counter by itself."] = "Ohne Ablauf."
GERMAN["no longer held"] = "frei"


@pytest.fixture
def german() -> Iterator[None]:
    kept = TRANSLATOR.lookup
    TRANSLATOR.lookup = lambda one, many, number: GERMAN.get(one, many if many and number != 1 else one)
    yield
    TRANSLATOR.lookup = kept


def test_a_text_is_its_english_sentence() -> None:
    text = say("Store %(id)s is slow.", id="redis1")
    assert text == "Store redis1 is slow." and isinstance(text, str) and hash(text) == hash("Store redis1 is slow.")
    assert json.dumps(text) == '"Store redis1 is slow."'
    assert f"{text}!" == "Store redis1 is slow.!"
    assert say("100 % of it") == "100 % of it"
    assert counted(1, "key") == "1 key" and counted(1200, "key") == "1,200 keys" and counted(2, "entry", "entries") == "2 entries"


def test_a_text_survives_pickling() -> None:
    text = pickle.loads(pickle.dumps(counted(3, "key")))
    assert isinstance(text, Text) and text.template == "%(count)s key" and text.number == 3


@pytest.mark.usefixtures("german")
def test_pages_show_the_translation_escaped() -> None:
    text = say("Store %(id)s is slow.", id="<b>")
    page = Template("{{ text }} {{ text|length }}").render(Context({"text": text}))
    assert page.startswith("Speicher &lt;b&gt; ist &lt;langsam&gt;.") and page.endswith(str(len(text)))
    assert format_html("{}", text) == "Speicher &lt;b&gt; ist &lt;langsam&gt;."
    assert str(text) == "Store <b> is slow."
    assert shown(say("%(what)s", what=say("locked"))) == "gesperrt"
    assert shown(counted(3, "key")) == "3 Schlüssel" and shown("as it is") == "as it is"


@pytest.mark.usefixtures("german")
def test_joined_texts_keep_their_translations() -> None:
    both = joined("", say("Store %(id)s is slow.", id="50 %"), "", say("locked"))
    assert both == "Store 50 % is slow. locked" and shown(both) == "Speicher 50 % ist <langsam>. gesperrt"
    assert shown(joined("", say("locked"))) == "gesperrt" and joined("", "") == ""
    assert shown(joined(say("locked"), ", 2", between="")) == "gesperrt, 2"


@pytest.mark.usefixtures("german")
def test_notes_on_keys_keep_their_translations() -> None:
    window = Entry(b"\x03\xcb\x00\x71\x14" + bytes(8), Kind.COUNTER, counter=3)
    assert shown(decode(window, "0.16", "data", now=0).note) == "Ohne Ablauf."
    lock = Entry(b"\x15" + bytes(8), Kind.LOCK, b"", expires_at=5)
    assert shown(decode(lock, "0.16", "data", now=9).value_label) == "frei"


@pytest.mark.usefixtures("german")
def test_errors_are_english_for_logs_and_translated_for_pages() -> None:
    error = StoreError(say("Store %(id)s is slow.", id="x"), say("locked"))
    assert str(error) == "Store x is slow. locked"
    assert error.said == "Speicher x ist <langsam>. gesperrt"
