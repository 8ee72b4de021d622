"""The cards of static stores and HTTP lookups: which entry answers, how old the list is, fetch now."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from stores.models import Store
from stores.services import definitions, http_lookups
from tests.servers.listserver import ListServer, ok
from tests.views.conftest import ACTOR
from tests.views.pages import assert_sound, text_of

STATIC = [("*", "0"), ("*.example.org", "<b>"), ("mail.example.org", "true"), ("empty", "")]


@pytest.fixture
def hosts(db: None) -> Store:
    return definitions.create_store(ACTOR, id="hosts", type="static", settings={}, version="0.11", entries=STATIC)


def page(client: Client, store: Store, **query: str) -> Any:
    response = client.get(reverse("stores:store", args=[store.pk]), query)
    assert response.status_code == 200
    assert_sound(response)
    return response


def test_the_answer_with_what_it_shadows(client: Client, hosts: Store) -> None:
    assert "and what that one shadows" in text_of(page(client, hosts))
    said = text_of(page(client, hosts, ask="mail.example.org"))
    assert "Answer 1 integer Entry mail.example.org Configured true Match too, but are shadowed * 0 *.example.org <b>" in said
    assert "Answer 0 integer Pattern *" in text_of(page(client, hosts, ask="<i>"))


def test_no_answer_and_no_table(client: Client, hosts: Store, memory: Store) -> None:
    few = definitions.create_store(ACTOR, id="few", type="static", settings={}, entries=[("a", "1")])
    assert "No entry answers for b ." in text_of(page(client, few, ask="b"))
    assert "Which entry answers" not in text_of(page(client, memory, ask="b"))


def test_the_list_its_age_and_a_failure(client: Client, db: None, django_capture_on_commit_callbacks: Any) -> None:
    settings = {"format": "list", "allow-private": "true"}
    with ListServer(ok(b"a.example\n")) as server:
        store = definitions.create_store(ACTOR, id="spam", type="http", settings={"url": server.url, **settings})
        said = text_of(page(client, store, ask="a.example"))
        assert "not fetched yet" in said and "The list has not been fetched yet." in said
        assert server.requests == []
        with django_capture_on_commit_callbacks(execute=True):
            response = client.post(reverse("stores:fetch", args=["spam"]))
        assert (response.status_code, len(server.requests)) == (303, 1)
        assert "Copy 1 entry" in text_of(page(client, store))
    http_lookups.fetch_now(ACTOR, store)
    said = text_of(page(client, store, ask="a.example"))
    assert "failed." in said and "The copy of" in said and "stays." in said and "1 try failed" in said
    assert "Answer 1 integer Entry a.example Configured without a value" in said


def test_only_lists_are_fetched(client: Client, hosts: Store) -> None:
    response = client.post(reverse("stores:fetch", args=["hosts"]))
    assert response.status_code >= 400
    assert "there is no list to fetch" in text_of(response)


def test_a_store_that_the_server_asks_by_itself_says_so(client: Client) -> None:
    definitions.create_store(ACTOR, id="trusted-domains", type="static", settings={}, entries=[("a.example", "1")])
    assert "The server itself asks trusted-domains: domains it trusts in the spam filter." in text_of(
        client.get("/stores/trusted-domains/")
    )
    assert "blocked-domains" in text_of(client.get("/stores/add/static/"))
