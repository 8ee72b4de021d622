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
from stores.services.turns import others_wait, turn
from stores.views.common import page, show

TEMPLATE = "stores/limited.html"
SHOWN = 200
FIRST_SECONDS = 0.05
"""What the walk gets before the page is there; nothing while other pages are being made."""
LAST_TRY = "1" * 10
"""So often the page asks again by itself, while the walks of others have their turn."""


@require_safe
@page
def limited(request: HttpRequest) -> HttpResponse:
    """The running windows: of a short walk at first; the page asks for those of a whole second (`whole`) by itself.

    `cursor` goes on with what has not been looked at.
    """
    slug, store_id, cursor = (request.GET.get(name, "") for name in ("class", "store", "cursor"))
    stores = [find_store(store_id)] if store_id else None
    whole = request.GET.get("whole", "")
    with turn(service.BUDGET_SECONDS) as budget:
        first = not (cursor or whole)
        seconds = min(budget, FIRST_SECONDS) if first else budget
        found = service.limited(stores, slug, cursor, seconds, walks=not first or not others_wait())
    again = found.next and not cursor and (not whole or (not budget and whole != LAST_TRY))
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
        "whole_url": f"{reverse('stores:limited')}?{urlencode({**query, 'whole': f'{whole}1'})}" if again else "",
        "soon": not whole,
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
