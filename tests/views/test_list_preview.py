"""Lists of HTTP lookups are looked at before they are defined, by a worker: no page ever waits for another machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from stores.models import Errand, HttpLookup, Store
from stores.services import errands
from tests.servers.listserver import ListServer, ok
from tests.views.pages import assert_sound, text_of

Sent = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def sent(django_capture_on_commit_callbacks: Any) -> Sent:
    """Makes a request; what is to be done after its transaction is done."""

    def send(request: Callable[[], Any]) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            return request()

    return send


def fields(url: str, **more: str) -> dict[str, str]:
    return {"id": "web", "set_url": url, "set_format": "list", "set_allow-private": "true", "enabled": "on", "do": "test"} | more


def errand_of() -> Errand:
    return Errand.objects.order_by("-created_at")[0]


def test_a_list_is_seen_before_it_is_defined(client: Client, hx: Client, sent: Sent) -> None:
    with ListServer(ok(b"one.example\ntwo.example\n" + b"\n".join(b"n%d" % n for n in range(1500)))) as server:
        page = sent(lambda: client.post("/stores/add/http/", fields(server.url)))
        assert page.status_code == 200 and "hx-get" in page.content.decode()
        assert_sound(page)
        part = hx.get(f"/errands/{errand_of().pk}/")
    assert "two.example" in text_of(part) and "more than 1,000 entries" in text_of(part) and "hx-get" not in part.content.decode()
    whole = client.get(f"/errands/{errand_of().pk}/")
    assert_sound(whole)
    assert not Store.objects.exists()


def test_a_list_that_never_comes_blocks_no_page(client: Client, hx: Client, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.services.previews.TEST_SECONDS", 0.2)

    def never(path: str, headers: dict[str, str], send: Any) -> None:
        server.wait(10)

    with ListServer(never) as server:
        began = time.monotonic()
        monkeypatch.setattr(errands, "_wake", lambda errand_id: None)
        page = sent(lambda: client.post("/stores/add/http/", fields(server.url)))
        assert page.status_code == 200 and not server.requests and time.monotonic() - began < 2
        part = hx.get(f"/errands/{errand_of().pk}/")
        assert "Waiting for a worker" in text_of(part) and "every 500ms" in part.content.decode()
        errands.execute(str(errand_of().pk))
        part = hx.get(f"/errands/{errand_of().pk}/")
        assert "was not read within" in text_of(part)


@pytest.mark.parametrize(
    ("changes", "words"), [({"set_url": "ftp://x"}, "not one of http or https"), ({"set_format": "csv"}, "needs the column of the key")]
)
def test_wrong_settings_are_said_at_once(client: Client, changes: dict[str, str], words: str) -> None:
    page = client.post("/stores/add/http/", fields("https://lists.example.org/x", **changes))
    assert page.status_code == 422 and words in text_of(page) and not Errand.objects.exists()


def test_the_test_of_a_saved_lookup_and_of_one_in_a_file(client: Client, hx: Client, sent: Sent) -> None:
    with ListServer(ok(b"one.example\n")) as server:
        text = f'[http-lookup."web"]\nurl = "{server.url}/list"\nformat = "list"\n'
        client.post("/import/", {"text": text})
        cell = sent(lambda: hx.get("/import/preview/web/"))
        assert "asked in the background" in text_of(cell) and not server.requests[1:]
        cell = hx.get(f"/import/preview/web/?errand={errand_of().pk}")
        assert "an address of this machine" in text_of(cell)
        assert "asked in the background" in text_of(sent(lambda: hx.get("/import/preview/web/?errand=nonsense")))
        client.post("/import/preview/", {"store": ["web"]})
        assert Store.objects.get().pk == "web"
        checks = sent(lambda: hx.get("/stores/web/checks/"))
        assert 'id="errand"' in checks.content.decode()
        assert "an address of this machine" in text_of(hx.get(f"/errands/{errand_of().pk}/"))
        assert_sound(client.get("/stores/web/?checks=1"))
        assert not HttpLookup.objects.exists()


def test_answers_of_others_and_of_other_kinds_are_not_shown(client: Client, sent: Sent) -> None:
    page = sent(lambda: client.post("/stores/add/http/", fields("https://lists.invalid/x")))
    assert page.status_code == 200
    errand = errand_of()
    assert "not known" in text_of(client.get(f"/errands/{errand.pk}/"))
    Errand.objects.update(kind=errands.ASK_SERVER)
    assert client.get(f"/errands/{errand.pk}/").status_code == 404
    Errand.objects.update(kind=errands.PREVIEW, asked_by="somebody else")
    assert client.get(f"/errands/{errand.pk}/").status_code == 404
