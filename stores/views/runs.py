"""Background runs: the list, one run while it works and after, cancel, pause, resume."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from stores.errors import BadConfig
from stores.forms.keys import chips, class_titles
from stores.forms.lists import RunFilterForm
from stores.forms.purge import PACES
from stores.models import Run, RunAction, RunState
from stores.registry import find_store
from stores.services import bulk_undo, run_control
from stores.services import runs as service
from stores.services.aftercare import aftercare
from stores.services.bulk_record import Record
from stores.services.counting import AT_ONCE
from stores.services.filters import KeyFilter
from stores.services.permissions import Permission
from stores.services.purge_parts import part_lines
from stores.services.run_control import log_lines
from stores.services.trash_rows import kept_days
from stores.types import Pace
from stores.views.common import actor_of, go, page, show


@require_safe
@page
def runs(request: HttpRequest) -> HttpResponse:
    """Newest first; refreshed while one of them works."""
    form = RunFilterForm(request.GET)
    context = {"form": form, "background": service.background()}
    if not form.is_valid():
        return show(request, "stores/runs.html", context, fragment="runs", status=400)
    wanted = form.cleaned_data
    store = find_store(wanted["store"]) if wanted["store"] else None
    found = service.history(store, wanted["action"], wanted["cursor"])
    query = form.query()
    context |= {
        "page": found,
        "polls": not wanted["cursor"] and any(not RunState(run.state).finished for run in found.runs),
        "here": f"?{urlencode(query)}",
        "filtered": bool(query),
        "next_url": f"?{urlencode({**query, 'cursor': found.next})}" if found.next else "",
    }
    return show(request, "stores/runs.html", context, fragment="runs")


@require_safe
@page
def run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """One run. The page asks again every second until the run is over."""
    found = service.find(run_id)
    return show(request, "stores/run.html", run_context(found), fragment="run")


@require_POST
@page
def run_act(request: HttpRequest, run_id: UUID, act: str) -> HttpResponse:
    """Cancel, pause, resume, another pace, or go on with one that ended early. What was done stays done."""
    found = service.find(run_id)
    acts = {"cancel": service.request_cancel, "pause": service.request_pause, "resume": service.resume, "go-on": run_control.go_on}
    if act == "pace":
        found = run_control.change_pace(actor_of(request), found, _pace(request))
    elif act in acts:
        found = acts[act](actor_of(request), found)
    else:
        raise BadConfig(_("A run can be cancelled, paused, resumed, given another pace, or go on."))
    if request.headers.get("HX-Request"):
        return show(request, "stores/run.html", run_context(found), fragment="run")
    return go(request, reverse("stores:run", args=[found.pk]))


def _pace(request: HttpRequest) -> Pace:
    try:
        return Pace(request.POST.get("pace", ""))
    except ValueError:
        raise BadConfig(_("A pace is gentle, normal or fast."), field="pace") from None


@require_safe
@page
def run_log(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The log and the course of a run as a text file."""
    found = service.find(run_id)
    headers = {"Content-Disposition": f'attachment; filename="run-{found.pk}.log"'}
    return HttpResponse("\n".join(log_lines(found)) + "\n", content_type="text/plain; charset=utf-8", headers=headers)


def run_context(run: Run) -> dict[str, Any]:
    """What the page of a run shows; for a bulk change also its scope, what it left, and what of it can be undone."""
    context: dict[str, Any] = {"run": run, "store": run.store, "left": service.eta_seconds(run), "paces": PACES}
    over = RunState(run.state).finished
    context["goes_on"] = over and run_control.can_go_on(run)
    context["run_permission"] = Permission.BULK if run.action == RunAction.BULK else Permission.PURGE
    if run.action != RunAction.BULK:
        parts = part_lines(run) if run.action in (RunAction.PURGE, RunAction.CENSUS) else []
        return context | {"aftercare": aftercare(run) if over else "", "parts": parts if len(parts) > AT_ONCE else []}
    record = Record.of(run)
    query = run.params.get("filter")
    context |= {
        "record": record,
        "rate": round(record.done / run.seconds) if run.seconds >= 1 else None,
        "scope": chips(KeyFilter.from_query(query), class_titles()) if query else [],
        "restorable": bulk_undo.restorable(run) if over and record.undoable else 0,
        "again": over and Run.objects.filter(pk=run.params.get("of")).exists() if run.params.get("of") else False,
        "kept_days": kept_days(),
    }
    return context
