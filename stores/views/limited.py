"""Who is limited now."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from stores.errors import BadConfig
from stores.keyclasses import CLASSES
from stores.models import Store
from stores.registry import find_store
from stores.services import bulk
from stores.services import limited as service
from stores.services.browse import KeyFilter, list_keys
from stores.services.limited import LimitedNow
from stores.services.relief import Target
from stores.services.trash_rows import kept_days
from stores.templatetags.words import plural
from stores.views.common import actor_of, go, page, show, store_page

TEMPLATE = "stores/limited.html"
SHOWN = 200
MOST_AT_ONCE = 2000
"""Counters of a class that a page resets while the reader waits; more are for the command line."""


@require_safe
@page
def limited(request: HttpRequest) -> HttpResponse:
    """The running windows, walked for a second; `cursor` goes on with what has not been looked at."""
    slug, store_id, cursor = (request.GET.get(name, "") for name in ("class", "store", "cursor"))
    stores = [find_store(store_id)] if store_id else None
    found = service.limited(stores, slug, cursor, service.BUDGET_SECONDS)
    query = {name: value for name, value in (("class", slug), ("store", store_id)) if value}
    context: dict[str, Any] = {
        "found": found,
        "slug": slug,
        "store_id": store_id,
        "going_on": bool(cursor),
        "classes": [(name, CLASSES[name].title) for name in service.CLASSES],
        "stores": Store.objects.filter(enabled=True).exclude(type="static").values_list("pk", flat=True),
        "rows": rows_of(found),
        "full": sum(window.full for window in found.windows),
        "scanned": sum(counted.scanned for counted in found.stores),
        "hidden": found.running - min(len(found.windows), SHOWN),
        "more_url": f"{reverse('stores:limited')}?{urlencode({**query, 'cursor': found.next})}" if found.next else "",
    }
    return show(request, TEMPLATE, context)


@require_http_methods(["GET", "HEAD", "POST"])
@store_page
def limited_class(request: HttpRequest, store: Store, slug: str) -> HttpResponse:
    """All counters of one class in one store, running or over: what they are, then resetting them as one run."""
    if slug not in service.CLASSES:
        raise BadConfig(f"{slug} is no class of rate windows.", "Choose one from the list.", "class")
    wanted = KeyFilter(class_slug=slug)
    found = list_keys(store, wanted, limit=MOST_AT_ONCE, budget_seconds=2.0)
    if request.method == "POST" and found.complete:
        run = bulk.delete_matching(actor_of(request), store, wanted)
        return go(
            request, reverse("stores:run", args=[run.pk]), f"{plural(run.removed, 'counter')} reset, in the trash for {kept_days()} days."
        )
    context = {"store": store, "page": found, "cls": CLASSES[slug], "slug": slug, "samples": found.rows[:20], "kept_days": kept_days()}
    return show(request, "stores/limited_class.html", context)


def rows_of(found: LimitedNow) -> list[dict[str, Any]]:
    """The fullest windows with their stores and what a form needs."""
    stores = Store.objects.in_bulk([counted.store_id for counted in found.stores])
    return [
        {"window": each, "row": each.row, "store": stores[each.store_id], "pick": Target.of_row(each.store_id, each.row).pick}
        for each in found.windows[:SHOWN]
    ]
