"""The key list of a store: filter, page, pick."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from stores import keyclasses
from stores.errors import NotSupported, StoreRefused, StoreUnavailable
from stores.forms.keys import KeyFilterForm, chips, class_titles
from stores.models import Census, Store
from stores.services import census as censuses
from stores.services.browse import KeyPage, list_keys
from stores.services.filters import CUSTOM, KeyFilter
from stores.views.common import show, store_page

PAGE_SIZE = 100
BUDGET_SECONDS = 1.0
TEMPLATE = "stores/keys.html"


@dataclass(frozen=True, slots=True)
class RailLine:
    """One class of the rail, with what the last census counted; None: not counted yet."""

    slug: str
    byte: str
    title: str
    keys: int | None
    query: str
    here: bool


@require_safe
@store_page
def keys(request: HttpRequest, store: Store) -> HttpResponse:
    """One page of the filtered list. A filter that cannot be read lists nothing and says which part is wrong."""
    form = KeyFilterForm(request.GET)
    census = censuses.latest(store)
    wanted = form.key_filter if form.is_valid() else KeyFilter()
    context: dict[str, Any] = {"store": store, "form": form, "census": census, "filter": wanted, "now": time.time()}
    context |= {"rail": rail(store, wanted, census), "chips": chips(wanted, class_titles())}
    if form.errors:
        return show(request, TEMPLATE, context, fragment="list", status=400)
    try:
        found = list_keys(store, wanted, form.cleaned_data["cursor"], PAGE_SIZE, BUDGET_SECONDS, census=census)
    except (StoreUnavailable, StoreRefused, NotSupported) as error:
        return show(request, TEMPLATE, context | {"error": error}, fragment="list", status=error.status)
    return show(request, TEMPLATE, context | paging(request, store, form, found), fragment="list")


def paging(request: HttpRequest, store: Store, form: KeyFilterForm, found: KeyPage) -> dict[str, Any]:
    """What the list and its footer need: the rows, where they stand, the link to what follows."""
    seen = (form.cleaned_data["seen"] or 0) if form.cleaned_data["cursor"] else 0
    here = reverse("stores:keys", args=[store.pk])
    query = form.key_filter.to_query()
    last = seen + len(found.rows)
    return {
        "page": found,
        "first": seen + 1,
        "last": last,
        "first_url": f"{here}?{urlencode(query)}" if form.cleaned_data["cursor"] else "",
        "next_url": f"{here}?{urlencode({**query, 'cursor': found.next, 'seen': last})}" if found.next else "",
    }


def rail(store: Store, wanted: KeyFilter, census: Census | None) -> list[RailLine]:
    """Every class that the version writes or the census met, in the order of their bytes."""
    counted = _counts(census.classes) if census else {}
    written = [found for found in keyclasses.classes_of(store.effective_version) if found.slug]
    slugs = [found.slug for found in written if found.slug]
    slugs += sorted(slug for slug in counted if slug not in slugs and slug != CUSTOM)
    titles = class_titles()
    slugs.sort(key=lambda slug: keyclasses.CLASSES[slug].order if slug in keyclasses.CLASSES else 999)
    lines = [_line("", _("All keys"), wanted, sum(counted.values()) if census else None)]
    for slug in [*slugs, CUSTOM]:
        keys = counted.get(slug, 0) if census else None
        if keys or not census or slug in (wanted.class_slug, CUSTOM):
            lines.append(_line(slug, titles.get(slug, slug), wanted, keys))
    return lines


def _line(slug: str, title: str, wanted: KeyFilter, keys: int | None) -> RailLine:
    found = keyclasses.CLASSES.get(slug)
    byte = f"{found.byte:02x}" if found and found.byte is not None else ""
    query = {**wanted.to_query(), "class": slug}
    return RailLine(slug, byte, title, keys, urlencode({name: value for name, value in query.items() if value}), slug == wanted.class_slug)


def _counts(classes: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return {row["class"] or CUSTOM: row["keys"] + row["counters"] + row["locks"] for row in classes}
