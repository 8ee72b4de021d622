"""The lookups page: evaluates, traces, refuses, and never writes unless asked to."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from stores.models import Store
from tests.services.conftest import plant, stored


def _post(client: Client, source: str, **data: str) -> str:
    answer = client.post(
        reverse("stores:lookups"), {"language": "expression", "version": "0.11", "context": "rcpt", "source": source, **data}
    )
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_expression_is_evaluated_with_its_variables_and_traced(client: Client, memory: Store) -> None:
    plant(memory, b"example.org", b"known")
    html = _post(client, "key_get('', sender_domain)", **{"var.sender_domain": "example.org"})
    assert "&quot;known&quot;" in html
    assert "the default" in html
    assert "hit" in html


def test_writes_need_the_switch(client: Client, memory: Store) -> None:
    assert "switched off" in _post(client, "key_set('mem', 'a', 'b')")
    assert stored(memory, b"a") is None
    _post(client, "key_set('mem', 'a', 'b')", allow_writes="on")
    found = stored(memory, b"a")
    assert found is not None
    assert found.value == b"b"


def test_a_parse_error_names_the_place(client: Client, memory: Store) -> None:
    html = _post(client, "1 + nosuch")
    assert "does not parse" in html
    assert "at byte 4" in html


def test_a_setting_in_toml_and_a_script_run_too(client: Client, memory: Store) -> None:
    plant(memory, b"spam.example")
    toml = "session.rcpt.relay = [{if = \"key_exists('', sender_domain)\", then = \"'no'\"}, {else = \"'yes'\"}]"
    html = _post(client, toml, language="setting", **{"var.sender_domain": "spam.example"})
    assert "session.rcpt.relay" in html
    assert "&quot;no&quot;" in html
    assert "Line 1" in _post(client, "a = [", language="setting")
    script = "if eval \"key_exists('mem', env.helo_domain)\" { discard; }"
    assert "accepted and dropped" in _post(client, script, language="sieve", **{"var.helo_domain": "spam.example"})
    assert "fileinto is not run here" in _post(client, 'fileinto "x";', language="sieve")


@pytest.mark.parametrize(("name", "value"), [("source", ""), ("language", "perl"), ("version", "9"), ("more", "no equals sign")])
def test_bad_input_is_said_at_the_field(client: Client, memory: Store, name: str, value: str) -> None:
    data = {"language": "expression", "version": "0.11", "context": "rcpt", "source": "1", name: value}
    answer = client.post(reverse("stores:lookups"), data)
    assert answer.status_code == 422
    assert "kv-error" in answer.content.decode()


def test_a_fragment_is_only_the_console(client: Client, memory: Store) -> None:
    answer = client.get(reverse("stores:lookups"), headers={"HX-Request": "true"})
    html = answer.content.decode()
    assert html.strip().startswith('<div id="console"')
    assert "HX-Request" in answer["Vary"]
