"""Importing from a running server on the page: asked in the background, previewed and applied like a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from stores.models import AuditEntry, Errand, MailServer, Store
from stores.services import errands
from tests.servers.configured import PASSWORD, USER, Configured, configured
from tests.views.pages import assert_sound, text_of

Post = Callable[[dict[str, str]], Any]

SETTINGS = {
    "storage.lookup": "m",
    "store.m.type": "sqlite",
    "store.m.path": "/nowhere/data.db",
    "lookup.vip.ana": "7",
    "queue.limiter.inbound.ip.rate": "5/1s",
    "queue.limiter.inbound.ip.key": "remote_ip",
    "queue.limiter.inbound.ip.enable": "true",
}


@pytest.fixture
def far() -> Iterator[Configured]:
    with configured() as found:
        found.settings = dict(SETTINGS)
        yield found


def given(far: Configured, **changes: str) -> dict[str, str]:
    return {"url": far.url, "user": USER, "secret": PASSWORD, "allow_private": "on"} | changes


@pytest.fixture
def post(client: Client, django_capture_on_commit_callbacks: Any) -> Post:
    """Sends the form; what is to be done after the transaction is done."""

    def send(form: dict[str, str]) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            return client.post("/import/server/", form)

    return send


def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "_wake", lambda errand_id: None)


def test_the_page_has_three_ways_to_begin(client: Client) -> None:
    page = client.get("/import/")
    assert_sound(page)
    text = text_of(page)
    assert "Choose the file" not in text, "nothing was sent yet"
    assert "A running server" in text and "sysStoreLookupGet" in text and "settings-list" in text
    assert "Define the server's data store here first" in text


def test_a_server_is_asked_previewed_and_applied_and_its_credential_forgotten(client: Client, post: Post, far: Configured) -> None:
    sent = post(given(far))
    assert sent.status_code == 303 and sent["Location"].startswith("/import/asked/")
    answered = client.get(sent["Location"])
    assert (answered.status_code, answered["Location"]) == (303, "/import/preview/") and not Errand.objects.exists()
    page = client.get("/import/preview/")
    assert_sound(page)
    assert "vip" in text_of(page) and "queue.limiter.inbound.ip.rate = 5/1s" in text_of(page) and PASSWORD not in page.content.decode()
    assert not Store.objects.exists()
    done = client.post("/import/preview/", {"store": ["m", "vip"]})
    assert_sound(done)
    assert set(Store.objects.values_list("pk", flat=True)) == {"m", "vip"} and not MailServer.objects.exists()
    assert client.get(sent["Location"]).status_code == 404
    assert AuditEntry.objects.filter(action="server-ask").exists()


def test_the_credential_is_kept_only_when_that_is_asked_for(client: Client, post: Post, far: Configured) -> None:
    sent = post(given(far, keep="on"))
    client.get(sent["Location"])
    at = MailServer.objects.get()
    assert (at.url, at.secret["token"]) == (far.url, f"{USER}:{PASSWORD}")
    again = post({"url": far.url, "allow_private": "on"})
    assert client.get(again["Location"])["Location"] == "/import/preview/"


def test_while_it_waits_nothing_is_readable_and_nobody_else_may_look(
    client: Client, post: Post, far: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_worker(monkeypatch)
    sent = post(given(far))
    page = client.get(sent["Location"])
    assert_sound(page)
    assert "Waiting for a worker" in text_of(page)
    part = client.get(sent["Location"], headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode() and "hx-get" in part.content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT params, result FROM stores_errand")
        assert PASSWORD not in repr(cursor.fetchall())
    Errand.objects.update(asked_by="somebody else")
    assert client.get(sent["Location"]).status_code == 404


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"secret": "wrong-secret"}, "secret", "does not accept the credential"),
        ({"allow_private": ""}, "allow_private", "an address of this machine"),
        ({"url": "http://127.0.0.1:1"}, "url", "refuses connections"),
    ],
)
def test_what_goes_wrong_is_said_at_its_field(
    client: Client, post: Post, far: Configured, changes: dict[str, str], field: str, words: str
) -> None:
    sent = post(given(far, **changes))
    part = client.get(sent["Location"], headers={"HX-Request": "true"})
    assert (part.status_code, part["HX-Redirect"]) == (204, sent["Location"])
    page = client.get(sent["Location"])
    assert page.status_code == 422
    reader = assert_sound(page)
    assert words in text_of(page) and "wrong-secret" not in page.content.decode() and PASSWORD not in page.content.decode()
    assert any(attrs.get("id") == f"id_{field}_error" for _, attrs in reader.elements)
    assert any(attrs.get("name") == "user" and attrs.get("value") == USER for _, attrs in reader.elements), "what was typed stays"
    assert not Store.objects.exists()


def test_bad_input_is_refused_before_anything_is_asked(client: Client, post: Post, far: Configured) -> None:
    for changes in ({"url": "ftp://x"}, {"user": "a:b"}, {"secret": ""}):
        page = post(given(far, **changes))
        assert page.status_code == 422
        assert_sound(page)
    assert not far.asked and not Errand.objects.exists()


def test_without_a_worker_the_page_says_so(client: Client, post: Post, far: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    no_worker(monkeypatch)
    sent = post(given(far))
    monkeypatch.setattr(errands, "UNTAKEN", errands.UNTAKEN * -1)
    page = client.get(sent["Location"])
    assert page.status_code == 422 and "No worker has taken this up" in text_of(page)
