"""Published stores: the address is shown once, read without an account, and leaves no trace in logs."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from kvadmin.logs import mask
from stores.backends.httpfetch import fetch
from stores.codecs.httplists import HttpOptions
from stores.models import Publication, Store
from stores.services import definitions, publishing
from tests.views.conftest import ACTOR
from tests.views.pages import assert_sound, text_of


@pytest.fixture
def hosts(db: None) -> Store:
    entries = [("a.example", "true"), ("*.example", "0"), ("b.example", "")]
    return definitions.create_store(ACTOR, id="hosts", type="static", settings={}, version="0.11", entries=entries)


def test_an_address_is_made_read_and_revoked(client: Client, hosts: Store) -> None:
    page = reverse("stores:publish", args=["hosts"])
    said = text_of(client.get(page))
    assert "Not published" in said and "1 pattern cannot be published" in said
    made = client.post(page, {"form": "csv"})
    assert_sound(made)
    address = re.search(r"http://testserver(/publish/[\w-]+/)", made.content.decode())
    assert address is not None
    assert "no-store" in made["Cache-Control"]
    assert address[1] not in client.get(page).content.decode()
    visitor = Client()
    answer = visitor.get(address[1])
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (200, b'"a.example","1"\n', "text/csv; charset=utf-8")
    assert visitor.get(address[1], headers={"If-None-Match": answer["ETag"]}).status_code == 304
    assert visitor.get(address[1], headers={"If-None-Match": f"W/{answer['ETag']}"}).status_code == 304
    definitions.update_store(ACTOR, hosts, entries=[("c.example", "2")])
    changed = visitor.get(address[1], headers={"If-None-Match": answer["ETag"]})
    assert (changed.status_code, changed.content) == (200, b'"c.example","2"\n')
    assert visitor.post(address[1]).status_code == 405
    revoked = client.post(reverse("stores:unpublish", args=["hosts", Publication.objects.get().pk]))
    assert revoked.status_code == 303
    assert visitor.get(address[1]).status_code == 404


def test_too_many_requests_and_unknown_addresses_show_no_token_in_logs(hosts: Store, caplog: pytest.LogCaptureFixture) -> None:
    _, token = publishing.add(ACTOR, hosts, "list")
    address = reverse("stores:published", args=[token])
    answers = [Client().get(address) for _ in range(publishing.PER_MINUTE + 2)]
    assert {answer.status_code for answer in answers[: publishing.PER_MINUTE - 1]} == {200}
    assert answers[0].content == b"a.example\nb.example\n"
    if answers[-1].status_code != 200:  # the minute may have turned
        assert (answers[-1].status_code, answers[-1]["Retry-After"]) == (429, "60")
    assert Client().get("/publish/nothing/").status_code == 404
    assert all(token not in mask(record.getMessage()) for record in caplog.records)
    assert mask(f"Not Found: /publish/{token}/x") == "Not Found: /publish/********/x"


def test_the_form_says_what_is_wrong_and_other_stores_why_not(client: Client, hosts: Store, memory: Store) -> None:
    refused = client.post(reverse("stores:publish", args=["hosts"]), {"form": "xml"})
    assert_sound(refused)
    assert refused.status_code == 422 and "list or csv" in text_of(refused)
    assert "Only static stores can be published" in text_of(client.get(reverse("stores:publish", args=["mem"])))
    assert client.post(reverse("stores:publish", args=["mem"]), {"form": "csv"}).status_code >= 400
    assert not Publication.objects.exists()


def test_toml_is_a_file(client: Client, hosts: Store) -> None:
    answer = client.get(reverse("stores:static-toml", args=["hosts"]))
    assert answer["Content-Disposition"] == "attachment; filename*=UTF-8''hosts.toml"
    assert answer.content.decode().startswith('[lookup."hosts"]\n"a.example" = "true"\n')


def test_the_address_is_read_by_an_http_lookup(hosts: Store, live_server: object) -> None:
    _, token = publishing.add(ACTOR, hosts, "csv")
    url = f"{live_server}{reverse('stores:published', args=[token])}"
    options = HttpOptions(url, csv=True, key_index=0, value_index=1, allow_private=True)
    first = fetch(options)
    assert first.entries == (("a.example", "1"),)
    assert fetch(options, first.etag).entries is None
