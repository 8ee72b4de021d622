"""The search box: every trace of a subject, in all stores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from stores.errors import BadConfig
from stores.keyclasses import Meaning
from stores.models import Store
from stores.services import find as finding
from stores.services.find import Found
from stores.services.turns import others_wait, turn
from stores.views.common import page, show

TEMPLATE = "stores/find.html"
FIRST_SECONDS = 0.05
"""What walks get before the page is there; nothing while other pages are being made."""
STEPS_BY_ITSELF = 10
"""Then somebody has to ask for more: a page that is left open does not keep a store busy."""

SORTS = {
    "ip": gettext_lazy("the address"),
    "network": gettext_lazy("the network"),
    "address": gettext_lazy("the mail address"),
    "login": gettext_lazy("the login"),
    "domain": gettext_lazy("the domain"),
    "asn": gettext_lazy("the network"),
    "message-id": gettext_lazy("the Message-ID"),
    "queue-id": gettext_lazy("the queue id"),
    # Translators: before "account 42".
    "account": gettext_lazy("the"),
}
"""How a reading of a subject is announced."""


@require_safe
@page
def find(request: HttpRequest) -> HttpResponse:
    """Look-ups at once and a moment of the walks; the page goes on with them by itself, a second at a time (`cursor`)."""
    subject, cursor = request.GET.get("q", ""), request.GET.get("cursor", "")
    context: dict[str, Any] = {"q": subject, "going_on": bool(cursor)}
    if not subject.strip():
        return show(request, TEMPLATE, context)
    try:
        with turn(finding.BUDGET_SECONDS) as budget:
            seconds = budget if cursor else min(budget, FIRST_SECONDS)
            found = finding.search(subject, cursor=cursor, budget_seconds=seconds, walks=bool(cursor) or not others_wait())
    except BadConfig as error:
        return show(request, TEMPLATE, context | {"problem": error}, status=error.status)
    context |= answer(found)
    context["nothing_yet"] = not context["rows"] and (not cursor or "none" in request.GET)
    context |= {"continued": bool(cursor), "going_on": bool(cursor) and "none" not in request.GET}
    context["soon"] = bool(budget) or not cursor
    if context["more_url"] and (step := _step(request)) < STEPS_BY_ITSELF:
        context["auto_url"] = f"{context['more_url']}&step={step + 1}{'&none=1' if context['nothing_yet'] else ''}"
    return show(request, TEMPLATE, context, fragment="traces")


def _step(request: HttpRequest) -> int:
    """How often the page has gone on by itself."""
    text = request.GET.get("step", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else STEPS_BY_ITSELF


def readings(meanings: Iterable[Meaning]) -> list[tuple[str, str]]:
    """`the mail address, login or Message-ID` and the text that may be all of them."""
    by_text: dict[str, list[str]] = {}
    for meaning in meanings:
        by_text.setdefault(meaning.text, []).append(str(SORTS[meaning.sort]))
    return [(_either(sorts), text) for text, sorts in by_text.items()]


def _either(sorts: list[str]) -> str:
    rest = [sort.removeprefix("the ") for sort in sorts[1:]]
    return sorts[0] if not rest else _("%(names)s or %(rest)s") % {"names": ", ".join([sorts[0], *rest[:-1]]), "rest": rest[-1]}


def answer(found: Found) -> dict[str, Any]:
    """What both pages of a subject show of a search."""
    stores = Store.objects.in_bulk([searched.store_id for searched in found.stores])
    more = f"{reverse('stores:find')}?{urlencode({'q': found.subject, 'cursor': found.next})}" if found.next else ""
    return {
        "found": found,
        "readings": readings(found.meanings),
        "rows": [{"finding": finding, "row": finding.row, "store": stores[finding.store_id]} for finding in found.findings],
        "answered": sum(searched.error is None for searched in found.stores),
        "scanned": sum(searched.scanned for searched in found.stores),
        "more_url": more,
    }
