"""The spam filter's memory in a store, what an upgrade left behind, and removing a whole set of keys."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from stores.errors import BadConfig
from stores.keyclasses import CLASSES
from stores.models import Store
from stores.services import leftovers as left
from stores.services import scopes
from stores.services import spam as service
from stores.services.permissions import Permission
from stores.services.relief import Target
from stores.services.rows import Row
from stores.services.trash_rows import kept_days
from stores.views.common import actor_of, go, needs, show, store_page
from stores.views.confirm import freshly_confirmed

PARTS: Final = {
    "reputation": (gettext_lazy("Reputation"), "neutral", gettext_lazy("Make neutral")),
    "greylist": (gettext_lazy("Greylist"), "allow", gettext_lazy("Allow 30 d")),
    "bayes": (gettext_lazy("Bayes"), "", ""),
    "replies": (gettext_lazy("Trusted replies"), "forget", gettext_lazy("Forget")),
}
"""Part -> title, and what its button does."""
SORTS: Final = {
    "spam": gettext_lazy("Most spam"),
    "good": gettext_lazy("Best"),
    "messages": gettext_lazy("Most messages"),
    "soonest": gettext_lazy("Expires first"),
    "latest": gettext_lazy("Expires last"),
}


@require_safe
@store_page
def spam(request: HttpRequest, store: Store) -> HttpResponse:
    """One part of the spam filter's memory; `sort` orders it, `cursor` goes on with the walk."""
    part, sort, cursor = request.GET.get("part", "reputation"), request.GET.get("sort", ""), request.GET.get("cursor", "")
    if part not in PARTS:
        raise BadConfig(_("The spam filter has no such part."), _("Choose one of %(names)s.") % {"names": ", ".join(PARTS)}, "part")
    title, action, label = PARTS[part]
    context: dict[str, Any] = {
        "store": store,
        "part": part,
        "parts": [(name, shown[0]) for name, shown in PARTS.items()],
        "title": title,
        "action": action,
        "label": label,
        "going_on": bool(cursor),
        "left_over": all(CLASSES[slug].left_over(store.effective_version) for slug in service.PARTS[part]),
    }
    if part == "bayes":
        found: service.Bayes | service.Ranked = service.bayes(store, cursor, service.BUDGET_SECONDS)
    else:
        found = service.ranked(store, part, sort, cursor, service.BUDGET_SECONDS)
        sorts = service.SORTS[part]
        context |= {"sort": sort or next(iter(sorts)), "sorts": [(name, SORTS[name]) for name in sorts], "rows": picked(store, found.rows)}
    query = {"part": part, **({"sort": sort} if sort else {}), "cursor": found.next}
    context |= {"found": found, "more_url": f"{reverse('stores:spam', args=[store.pk])}?{urlencode(query)}" if found.next else ""}
    return show(request, "stores/spam.html", context)


@require_safe
@store_page
def leftovers(request: HttpRequest, store: Store) -> HttpResponse:
    """What the store's version no longer writes, by class: as counted last, and with samples from a walk of some seconds."""
    cursor = request.GET.get("cursor", "")
    found = left.look(store, cursor, left.BUDGET_SECONDS)
    more = f"{reverse('stores:leftovers', args=[store.pk])}?{urlencode({'cursor': found.next})}" if found.next else ""
    context = {
        "store": store,
        "found": found,
        "keys": sum(group.keys for group in found.groups),
        "groups": found.groups,
        "counted": left.counted(store),
        "going_on": bool(cursor),
        "more_url": more,
    }
    return show(request, "stores/leftovers.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@freshly_confirmed
@store_page
@needs(Permission.BULK)
def remove_set(request: HttpRequest, store: Store, kind: str, what: str) -> HttpResponse:
    """A set of keys that is removed as one run: counted and sampled first, then started by what the preview gave."""
    scope = scopes.scope_of(store, kind, what)
    if request.method == "POST":
        run = scopes.remove(actor_of(request), store, request.POST.get("token", ""), request.POST.get("count", ""))
        return go(request, reverse("stores:run", args=[run.pk]))
    found = scopes.preview(store, scope)
    context = {"store": store, "scope": scope, "preview": found, "found": found.found, "kept_days": kept_days()}
    return show(request, "stores/remove_set.html", context)


def picked(store: Store, rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Rows with what a form sends for them."""
    return [{"row": row, "store": store, "pick": Target.of_row(store.pk, row).pick} for row in rows]
