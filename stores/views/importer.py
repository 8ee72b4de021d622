"""Importing a Stalwart configuration: upload or paste, look at what would be created, create it.

Between the two steps the text waits in the session, encrypted: its passwords are in no page and in no clear text on disk.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.fernet import InvalidToken
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from stores.errors import BadConfig
from stores.forms.importer import ApplyForm, ServerForm, SettingsForm, UploadForm
from stores.models.fields import cipher
from stores.services import definitions, errands, mailserver, server_objects
from stores.services import importer as service
from stores.services.http_lookups import HTTP
from stores.services.permissions import Permission
from stores.services.store_settings import fields_of
from stores.stalwart_toml import ImportPlan, Mark, Severity, SourceLine
from stores.types import CheckState
from stores.views.common import actor_of, go, needs, page, show
from stores.views.errands import answer_of

START = "stores/import.html"
WAITING = "import"
KEPT_SECONDS = 3600
MOST_KEPT = 4 << 20
"""Bytes of packed text that wait in a session."""


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@page
@needs(Permission.CONFIGURE)
def upload(request: HttpRequest) -> HttpResponse:
    """Step 1: the file or its text. Read at once, so that what is no configuration is refused here."""
    if request.method != "POST":
        return show(request, START, start_context())
    form = UploadForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            service.plan(form.content, form.name)
        except BadConfig as error:
            form.blame(BadConfig(error.message, error.fix, "file" if request.FILES else "text"))
        else:
            keep(request, form.content, form.name)
            return go(request, "stores:import-preview")
    return show(request, START, start_context(form=form), status=422)


def start_context(
    form: UploadForm | None = None, server_form: ServerForm | None = None, settings_form: SettingsForm | None = None
) -> dict[str, Any]:
    """The three ways to begin."""
    at = mailserver.server()
    initial = {"url": at.url, "unchecked": at.allow_invalid_certs} if at else {}
    return {
        "form": form or UploadForm(),
        "server_form": server_form or ServerForm(initial=initial),
        "settings_form": settings_form or SettingsForm(),
        "server_permissions": server_objects.PERMISSIONS,
        "saved_server": at,
    }


@require_http_methods(["GET", "HEAD", "POST"])
@page
@needs(Permission.CONFIGURE)
def preview(request: HttpRequest) -> HttpResponse:
    """Steps 2 and 3: what it says line by line and what would be created; then creating what was chosen."""
    kept = waiting(request)
    if kept is None:
        return go(request, "stores:import", _("Give the configuration again; it is kept for an hour."), messages.INFO)
    form = ApplyForm(request.POST if request.method == "POST" else request.GET)
    form.is_valid()
    plan = plan_of(kept, repair=form.cleaned_data["repair"])
    if request.method != "POST":
        return show(request, "stores/import_preview.html", preview_context(kept, plan, form))
    result = service.apply(actor_of(request), plan, form.chosen)
    request.session.pop(WAITING, None)
    return show(request, "stores/import_done.html", {"result": result, "plan": plan})


@require_safe
@page
@needs(Permission.CONFIGURE)
def tried(request: HttpRequest, store_id: str) -> HttpResponse:
    """Whether a planned store answers; nothing is saved. One cell of the preview."""
    kept = waiting(request)
    plan = plan_of(kept, repair="repair" in request.GET) if kept else None
    store = plan.find(store_id) if plan else None
    if plan is None or store is None:
        raise BadConfig(_("This store is not in the configuration that waits."), _("Give the configuration again."))
    declared = fields_of(store.type)
    settings = {name: value for name, value in store.settings.items() if name in declared}
    if store.type == HTTP:
        asked = errands.of(actor_of(request), request.GET.get("errand", "")) or errands.preview_list(actor_of(request), settings)
        answer = answer_of(asked)
        if answer["checks"] is None:
            return show(request, "stores/import_preview.html", {"asked": asked, "store_id": store_id}, fragment="tried")
        checks = answer["checks"]
    else:
        checks = definitions.test_connection(store.type, settings, plan.version, store.entries)
    failed = next((check for check in checks if check.state is CheckState.FAILED), None)
    warned = next((check for check in checks if check.state is CheckState.WARN), None)
    context = {"check": failed or warned or (checks[-1] if checks else None), "steps": len(checks)}
    return show(request, "stores/import_preview.html", context, fragment="tried")


def preview_context(kept: Mapping[str, Any], plan: ImportPlan, form: ApplyForm) -> dict[str, Any]:
    """The page of a plan: the file on one side, what comes of it on the other."""
    rows = service.preview(plan)
    lines = service.source(kept["text"], plan, repair=form.cleaned_data["repair"])
    errors = [problem for problem in plan.problems if not problem.store or problem.severity is Severity.ERROR]
    return {
        "plan": plan,
        "rows": rows,
        "new": sum(row.state is service.State.NEW for row in rows),
        "problems": errors,
        "unread": sum(problem.severity is Severity.ERROR for problem in plan.problems),
        "repairable": any(problem.repairs for problem in plan.problems) and not form.cleaned_data["repair"],
        "repair": form.cleaned_data["repair"],
        "lines": [*lines] if "all" in form.data else folded(lines),
        "line_count": len(lines),
        "all_lines": "all" in form.data,
        "size": len(kept["text"].encode()),
        "default_changes": bool(plan.default) and plan.default in {row.id for row in rows if row.state is service.State.NEW},
    }


def folded(lines: Sequence[SourceLine]) -> list[SourceLine | None]:
    """The lines that matter with two of their neighbours; None where others are left out."""
    wanted = {Mark.USED, Mark.BAD}
    near = {place + step for place, line in enumerate(lines) if line.mark in wanted for step in (-1, 0, 1)}
    found: list[SourceLine | None] = []
    for place, line in enumerate(lines):
        if place in near:
            found.append(line)
        elif not found or found[-1] is not None:
            found.append(None)
    return found


def keep(request: HttpRequest, text: str, name: str, remarks: Sequence[str] = ()) -> None:
    """Put the text into the session, packed and encrypted, with what could not be read. Raises BadConfig when it is too large."""
    packed = zlib.compress(json.dumps({"text": text, "name": name, "remarks": list(remarks)}).encode())
    if len(packed) > MOST_KEPT:
        raise BadConfig(_("This configuration is too large for a page."), _("Use the command import-config."))
    request.session[WAITING] = cipher().encrypt(packed).decode()


def waiting(request: HttpRequest) -> dict[str, Any] | None:
    """The text that was given within the last hour."""
    token = request.session.get(WAITING)
    if not token:
        return None
    try:
        found: dict[str, Any] = json.loads(zlib.decompress(cipher().decrypt(token.encode(), ttl=KEPT_SECONDS)))
    except (InvalidToken, zlib.error):
        request.session.pop(WAITING, None)
        return None
    return found


def plan_of(kept: Mapping[str, Any], *, repair: bool = False) -> ImportPlan:
    """The plan of what waits."""
    return service.remarked(service.plan(kept["text"], kept["name"], repair=repair), kept["remarks"])
