"""The trash: what was deleted or overwritten from here, and putting it back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from stores.errors import BadConfig
from stores.forms.lists import RestoreForm, TrashFilterForm
from stores.services import runs
from stores.services import trash as service
from stores.services.permissions import Permission
from stores.services.trash_rows import kept_days
from stores.templatetags.words import plural
from stores.views.common import actor_of, go, needs, page, show

TEMPLATE = "stores/trash.html"


@require_safe
@page
def trash(request: HttpRequest) -> HttpResponse:
    """Newest first."""
    form = TrashFilterForm(request.GET)
    context = {"form": form, "kept_days": kept_days()}
    if not form.is_valid():
        return show(request, TEMPLATE, context, fragment="trash", status=400)
    wanted = form.cleaned_data
    run_id = str(wanted["run"] or "")
    asked = service.TrashFilter(store_id=wanted["store"], class_slug=wanted["slug"], run_id=run_id, restored=form.restored)
    context["run"] = runs.find(run_id) if run_id else None
    found = service.list_trash(asked, wanted["cursor"])
    query = form.query()
    next_url = f"?{urlencode({**query, 'cursor': found.next})}" if found.next else ""
    return show(request, TEMPLATE, context | {"page": found, "filtered": bool(query), "next_url": next_url}, fragment="trash")


@require_POST
@page
@needs(Permission.EDIT, anywhere=True)
def trash_restore(request: HttpRequest) -> HttpResponse:
    """Put rows back exactly, with their absolute expiry. Those that would overwrite something newer are listed and asked about."""
    form = RestoreForm(request.POST)
    if not form.is_valid():
        raise BadConfig(" ".join(map(str, form.non_field_errors())) or _("Select what to restore."))
    outcomes = service.restore_many(actor_of(request), form.ids, form.cleaned_data["overwrite"])
    done = sum(outcome.state == "restored" for outcome in outcomes)
    clashes = [service.find(outcome.trash_id) for outcome in outcomes if outcome.state == "conflict"]
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if not clashes and not failed:
        return go(request, "stores:trash", _("%(keys)s restored, with the expiry of then.") % {"keys": plural(done, "key")})
    if done:
        messages.success(request, _("%(keys)s restored.") % {"keys": plural(done, "key")})
    return show(request, "stores/trash_restore.html", {"done": done, "clashes": clashes, "failed": failed}, status=409)
