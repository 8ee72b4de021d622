"""Who did what."""

from __future__ import annotations

import time
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from stores.errors import BadConfig
from stores.forms.lists import AuditFilterForm
from stores.services import audit_search, audit_verify
from stores.services.audit_export import export
from stores.services.permissions import Permission
from stores.views.common import actor_of, go, needs, page, show

TEMPLATE = "stores/audit.html"


@require_safe
@page
@needs(Permission.AUDIT)
def audit(request: HttpRequest) -> HttpResponse:
    """Newest first, by keyset."""
    form = AuditFilterForm(request.GET)
    context: dict[str, Any] = {"form": form, "check": audit_verify.last_check()}
    if not form.is_valid():
        return show(request, TEMPLATE, context, fragment="audit", status=400)
    found = audit_search.find(form.wanted, form.cleaned_data["cursor"])
    query = urlencode(form.query())
    next_url = f"?{urlencode({**form.query(), 'cursor': found.next})}" if found.next else ""
    context |= {"found": found, "entries": found.entries, "filtered": bool(query), "next_url": next_url, "query": query}
    return show(request, TEMPLATE, context, fragment="audit")


@require_POST
@page
@needs(Permission.AUDIT)
def audit_export(request: HttpRequest) -> HttpResponse:
    """The entries of the filter in the address as a file."""
    form = AuditFilterForm(request.GET)
    wanted = request.POST.get("format", "csv")
    if wanted not in ("jsonl", "csv") or not form.is_valid():
        raise BadConfig(_("Choose JSON Lines or CSV."), field="format")
    pieces = export(actor_of(request), form.wanted, "csv" if wanted == "csv" else "jsonl")
    kind = "text/csv; charset=utf-8" if wanted == "csv" else "application/jsonl; charset=utf-8"
    headers = {"Content-Disposition": f'attachment; filename="audit-{time.strftime("%Y%m%d-%H%M%S")}.{wanted}"'}
    return cast(HttpResponse, StreamingHttpResponse(pieces, content_type=kind, headers=headers))


@require_POST
@page
@needs(Permission.AUDIT)
def audit_check(request: HttpRequest) -> HttpResponse:
    """Have a worker verify the whole chain."""
    audit_verify.request_check()
    return go(request, reverse("stores:audit"), _("The audit is being verified; the result appears here."))
