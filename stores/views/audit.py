"""Who did what."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from stores.errors import BadConfig
from stores.forms.lists import AuditFilterForm
from stores.models import AuditEntry
from stores.views.common import page, show

TEMPLATE = "stores/audit.html"
PAGE_SIZE = 100


@require_safe
@page
def audit(request: HttpRequest) -> HttpResponse:
    """Newest first, by keyset."""
    form = AuditFilterForm(request.GET)
    if not form.is_valid():
        return show(request, TEMPLATE, {"form": form}, fragment="audit", status=400)
    entries = list(found(form.cleaned_data)[: PAGE_SIZE + 1])
    query = form.query()
    last = str(entries[PAGE_SIZE - 1].pk) if len(entries) > PAGE_SIZE else ""
    next_url = f"?{urlencode({**query, 'cursor': last})}" if last else ""
    context = {"form": form, "entries": entries[:PAGE_SIZE], "filtered": bool(query), "next_url": next_url}
    return show(request, TEMPLATE, context, fragment="audit")


def found(wanted: Mapping[str, str]) -> QuerySet[AuditEntry]:
    """The entries of a filter after its cursor."""
    entries = AuditEntry.objects.select_related("run").order_by("-id")
    if wanted["store"]:
        entries = entries.filter(store_name=wanted["store"])
    if wanted["actor"]:
        entries = entries.filter(actor=wanted["actor"])
    if wanted["outcome"]:
        entries = entries.filter(outcome=wanted["outcome"])
    cursor = wanted["cursor"]
    if not cursor:
        return entries
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadConfig("This page link is not of the audit.", "Start again from the first page.", "cursor")
    return entries.filter(pk__lt=int(cursor))
