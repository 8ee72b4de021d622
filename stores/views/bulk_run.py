"""One thing done to all keys of a filter: choose it, see the dry run, confirm by the count; export; undo and receipt of the run."""

from __future__ import annotations

import json
import time
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from stores.errors import BadConfig, Busy, NotSupported, StoreError
from stores.forms.bulk import DOS, EXPORT, BulkForm, ConfirmForm
from stores.forms.keys import chips, class_titles
from stores.forms.purge import PACES
from stores.models import RunAction, Store
from stores.services import bulk, bulk_undo
from stores.services import runs as run_service
from stores.services.bulk_change import Change, Do, require_possible
from stores.services.bulk_export import export
from stores.services.bulk_preview import Found, confirmed, look, preview
from stores.services.bulk_receipt import receipt
from stores.services.bulk_words import consequence
from stores.services.filters import KeyFilter, parse_hex
from stores.services.permissions import Permission
from stores.services.trash_rows import kept_days
from stores.types import Pace
from stores.views.common import actor_of, error_page, go, needs, page, show, store_page
from stores.views.confirm import freshly_confirmed

TEMPLATE = "stores/bulk.html"


@require_safe
@freshly_confirmed
@store_page
@needs(Permission.BULK)
def bulk_page(request: HttpRequest, store: Store) -> HttpResponse:
    """Choose what to do; with a choice in the address, the dry run of it. Changes nothing."""
    return _page(request, store)


@require_POST
@freshly_confirmed
@store_page
@needs(Permission.BULK)
def bulk_start(request: HttpRequest, store: Store) -> HttpResponse:
    """Start the change whose dry run was confirmed: exactly the one that is sealed in the form."""
    form = ConfirmForm(request.POST)
    if form.is_valid():
        try:
            wanted = confirmed(store, form.cleaned_data["token"], form.cleaned_data["count"])
            run = bulk.start(actor_of(request), store, wanted, form.chosen)
        except BadConfig as error:
            form.blame(error)
        except Busy as error:
            form.add_error(None, error.said)
        else:
            return go(request, reverse("stores:run", args=[run.pk]))
    return _page(request, store, form)


@require_POST
@freshly_confirmed
@store_page
@needs(Permission.BULK)
def bulk_export(request: HttpRequest, store: Store) -> HttpResponse:
    """The keys of the filter in the address as a file; with `after` what follows a key, for a download that broke off."""
    wanted = request.POST.get("format", "jsonl")
    if wanted not in ("jsonl", "csv"):
        raise BadConfig(_("Choose JSON Lines or CSV."), field="format")
    filter, secrets = KeyFilter.from_query(request.GET.dict()), bool(request.POST.get("secrets"))
    after = parse_hex(text, "after") if (text := request.POST.get("after", "").strip()) else None
    pieces = export(actor_of(request), store, filter, "csv" if wanted == "csv" else "jsonl", secrets=secrets, after=after)
    kind = "text/csv; charset=utf-8" if wanted == "csv" else "application/jsonl; charset=utf-8"
    name = quote(f"{store.pk}-{time.strftime('%Y%m%d-%H%M%S')}.{wanted}")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return cast(HttpResponse, StreamingHttpResponse(pieces, content_type=kind, headers=headers))


@require_safe
@page
def run_receipt(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """What a bulk run did, as a file."""
    run = run_service.find(run_id)
    if run.action != RunAction.BULK:
        raise NotSupported(_("Only bulk changes have a receipt."))
    text = json.dumps(receipt(run), indent=2, ensure_ascii=False)
    headers = {"Content-Disposition": f'attachment; filename="receipt-{run.pk}.json"'}
    return HttpResponse(text, content_type="application/json", headers=headers)


@require_POST
@freshly_confirmed
@page
def run_undo(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Put back everything that a run removed or overwrote; a run of its own."""
    undo = bulk_undo.start(actor_of(request), run_service.find(run_id), overwrite=bool(request.POST.get("overwrite")))
    return go(request, reverse("stores:run", args=[undo.pk]))


def _page(request: HttpRequest, store: Store, confirm: ConfirmForm | None = None) -> HttpResponse:
    query = request.GET
    filter = KeyFilter.from_query(query.dict())
    form = BulkForm(query, store)
    now = time.time()
    change = form.change(filter, now)
    context: dict[str, Any] = {"store": store, "form": form, "filter": filter, "kept_days": kept_days()}
    context["chips"] = chips(filter, class_titles())
    context |= {"query": filter.query_string, "hidden": filter.to_query().items(), "confirm": confirm, "verb": _("Change")}
    status = 422 if confirm is not None or form.errors else 200
    try:
        if form.is_valid() and form.cleaned_data["do"] == EXPORT:
            context |= {"exporting": True, "found": _look(store, filter, now), "verb": _("Export")}
        elif change is not None:
            require_possible(store, change)
            shown = preview(store, change)
            paces = [{"value": value, "label": label, "seconds": shown.seconds[Pace(value)]} for value, label in PACES]
            context |= {"preview": shown, "found": shown.found, "paces": paces}
            context |= {"verb": dict(DOS)[change.do.value], "warning": consequence(change)}
    except BadConfig as error:
        form.add_error(error.field if error.field in form.fields else None, error.said)
        status = 422
    except StoreError as error:
        return error_page(request, error, store)
    return show(request, TEMPLATE, context, status=status)


def _look(store: Store, filter: KeyFilter, now: float) -> Found:
    return look(store, Change(Do.COPY, filter, now))
