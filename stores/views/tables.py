"""What the page of a static store or an HTTP lookup has besides: which entry answers, and how old the list is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from stores.codecs.staticlookup import StaticAnswer, consulted_for
from stores.errors import StoreError
from stores.models import Store
from stores.services import http_lookups, static_tests
from stores.services.permissions import Permission
from stores.views.common import actor_of, go, needs, store_page

MOST_SHADOWED = 20


@dataclass(frozen=True, slots=True)
class Tester:
    """The question of the form and what came of it. `key` None: nothing was asked."""

    key: str | None
    answer: StaticAnswer | None = None
    kind: str = ""
    error: StoreError | None = None

    @property
    def shadows(self) -> tuple[tuple[str, str], ...]:
        return self.answer.shadows[:MOST_SHADOWED] if self.answer else ()

    @property
    def more(self) -> int:
        return len(self.answer.shadows) - len(self.shadows) if self.answer else 0


def cards(request: HttpRequest, store: Store) -> dict[str, Any]:
    """Empty for stores that are no tables."""
    if store.type not in static_tests.TYPES:
        return {}
    return {
        "tester": _asked(request, store),
        "copy": http_lookups.state(store),
        "fetches": store.type == http_lookups.HTTP,
        "consulted": consulted_for(store.pk, store.effective_version),
        "overwritten": store.pk.lower().startswith("stwt_"),
    }


def _asked(request: HttpRequest, store: Store) -> Tester:
    key = request.GET.get("ask")
    if not key:
        return Tester(None)
    try:
        answer = static_tests.which(store, key)
    except StoreError as error:
        return Tester(key, error=error)
    return Tester(key, answer, static_tests.kind(answer) if answer else "")


@require_POST
@store_page
@needs(Permission.EDIT)
def fetch(request: HttpRequest, store: Store) -> HttpResponse:
    """Have the list fetched by a worker; the page never waits for it."""
    http_lookups.request_fetch(actor_of(request), store)
    return go(
        request,
        reverse("stores:store", args=[store.pk]),
        _("The list of %(store_id)s is fetched in the background.") % {"store_id": store.pk},
    )
