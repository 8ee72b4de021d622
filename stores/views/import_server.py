"""Importing from a running server, or from the settings in its data store: asked in the background, then previewed like a file."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from stores.errors import BadConfig, StoreError
from stores.forms.importer import ServerForm, SettingsForm
from stores.models import Errand, ErrandState
from stores.registry import find_store
from stores.services import errands, server_import
from stores.services.permissions import Permission
from stores.views.common import actor_of, go, needs, page, show, wants_fragment
from stores.views.importer import START, keep, start_context

ASKED = "import-server"
REMEMBERED = ("url", "user", "allow_private", "unchecked", "keep")


@sensitive_post_parameters("secret")
@require_POST
@page
@needs(Permission.CONFIGURE)
def ask(request: HttpRequest) -> HttpResponse:
    """Have a server asked; the page that follows waits for the answer."""
    form = ServerForm(request.POST)
    if form.is_valid():
        try:
            errand = errands.ask_server(actor_of(request), form.access(), keep=form.cleaned_data["keep"])
        except BadConfig as error:
            form.blame(error)
        else:
            request.session[ASKED] = {name: form.cleaned_data[name] for name in REMEMBERED}
            return go(request, reverse("stores:import-asked", args=[errand.pk]))
    return show(request, START, start_context(server_form=form), status=422)


@require_safe
@page
@needs(Permission.CONFIGURE)
def asked(request: HttpRequest, errand_id: UUID) -> HttpResponse:
    """Waits for a server's answer: then the preview, or the form with what is wrong at its field."""
    errand = errands.find(actor_of(request), errand_id)
    url = request.session.get(ASKED, {}).get("url", "")
    if errand.state == ErrandState.DONE:
        return _answered(request, errand)
    if errand.state != ErrandState.FAILED:
        return show(request, "stores/import_asked.html", {"errand": errand, "url": url}, fragment="waiting")
    if wants_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": request.path})
    form = ServerForm(request.session.get(ASKED, {}))
    form.is_valid()
    form.errors.clear()
    form.blame(BadConfig(errand.message, errand.fix, errand.field))
    return show(request, START, start_context(server_form=form), status=422)


def _answered(request: HttpRequest, errand: Errand) -> HttpResponse:
    """Take the answer over into the session, where it waits like an uploaded file."""
    found: dict[str, Any] = errand.result
    try:
        keep(request, found["text"], found["name"], found["remarks"])
        if found["keep"]:
            server_import.keep_answered(actor_of(request), errand)
            messages.info(request, _("Address and credential are kept under Settings, Mail server."))
    finally:
        errand.delete()
    return go(request, reverse("stores:import-preview"))


@require_POST
@page
@needs(Permission.CONFIGURE)
def settings(request: HttpRequest) -> HttpResponse:
    """Read the server's settings out of a data store that is defined here."""
    form = SettingsForm(request.POST)
    if form.is_valid():
        try:
            found = server_import.ask_store(actor_of(request), find_store(form.cleaned_data["store"]))
            keep(request, found.text, found.name, found.remarks)
        except StoreError as error:
            form.blame(BadConfig(error.message, error.fix, "store"))
        else:
            return go(request, reverse("stores:import-preview"))
    return show(request, START, start_context(settings_form=form), status=422)
