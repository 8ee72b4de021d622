"""Who is limited now."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from stores.keyclasses import CLASSES
from stores.models import Store
from stores.registry import find_store, visible_stores
from stores.services import limited as service
from stores.services.limited import LimitedNow
from stores.services.relief import Target
from stores.views.common import page, show

TEMPLATE = "stores/limited.html"
SHOWN = 200
FIRST_SECONDS = 0.1
"""What the walk gets before the page is there."""


@require_safe
@page
def limited(request: HttpRequest) -> HttpResponse:
    """The running windows: of a short walk at first; the page asks for those of a whole second (`whole`) by itself.

    `cursor` goes on with what has not been looked at.
    """
    slug, store_id, cursor = (request.GET.get(name, "") for name in ("class", "store", "cursor"))
    stores = [find_store(store_id)] if store_id else None
    quick = not cursor and "whole" not in request.GET
    found = service.limited(stores, slug, cursor, min(service.BUDGET_SECONDS, FIRST_SECONDS) if quick else service.BUDGET_SECONDS)
    query = {name: value for name, value in (("class", slug), ("store", store_id)) if value}
    context: dict[str, Any] = {
        "found": found,
        "slug": slug,
        "store_id": store_id,
        "going_on": bool(cursor),
        "classes": [(name, CLASSES[name].title) for name in service.CLASSES],
        "stores": visible_stores().filter(enabled=True).exclude(type="static").values_list("pk", flat=True),
        "rows": rows_of(found),
        "full": sum(window.full for window in found.windows),
        "scanned": sum(counted.scanned for counted in found.stores),
        "hidden": found.running - min(len(found.windows), SHOWN),
        "whole_url": f"{reverse('stores:limited')}?{urlencode({**query, 'whole': 1})}" if quick and found.next else "",
        "more_url": f"{reverse('stores:limited')}?{urlencode({**query, 'cursor': found.next})}" if found.next else "",
    }
    return show(request, TEMPLATE, context, fragment="windows")


def rows_of(found: LimitedNow) -> list[dict[str, Any]]:
    """The fullest windows with their stores and what a form needs."""
    stores = Store.objects.in_bulk([counted.store_id for counted in found.stores])
    return [
        {"window": each, "row": each.row, "store": stores[each.store_id], "pick": Target.of_row(each.store_id, each.row).pick}
        for each in found.windows[:SHOWN]
    ]
