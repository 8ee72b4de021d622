"""Every link of every page is an address that answers: it opens in a new tab, and without scripts."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from stores.models import Store
from tests.views.pages import read
from tests.views.test_routes import PAGES, filled  # noqa: F401  (a fixture)

ANSWERS = (200, 302)
BEYOND = ("/export", "/raw", "/receipt", "/log/", "/metrics")
"""Downloads; tested by themselves."""


@pytest.mark.parametrize("name", [name for name in PAGES if name != "sign-in"])
def test_links_answer_a_plain_get(client: Client, filled: Store, name: str) -> None:  # noqa: F811
    address = reverse(f"stores:{name}", kwargs=PAGES[name])
    reader = read(client.get(address))
    ids = {attrs["id"] for _, attrs in reader.elements if attrs.get("id")}
    targets = {attrs.get("href") or "" for tag, attrs in reader.elements if tag == "a"}
    assert targets
    for target in sorted(targets):
        path, _, fragment = target.partition("#")
        assert path or fragment in ids, f"{target!r} leads nowhere"
        assert not path.startswith("javascript:")
        if path and not any(part in path for part in BEYOND):
            assert client.get(path if path.startswith("/") else f"{address}{path}").status_code in ANSWERS, target
