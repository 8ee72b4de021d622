"""The mail server's management API: where it is, and what it shall do."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from stores.errors import BadConfig, StoreError
from stores.forms.mailserver import MailServerForm, MaintainForm
from stores.models import MailServer
from stores.services import mailserver
from stores.services.permissions import Permission
from stores.views.common import actor_of, go, needs, page, show

TEMPLATE = "stores/mailserver.html"


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@page
@needs(Permission.CONFIGURE)
def mail_server(request: HttpRequest) -> HttpResponse:
    """Shows and saves the definition; `do` tests it, forgets it, or has the server maintain a store."""
    at = mailserver.server()
    wanted = request.POST.get("do", "")
    if request.method == "POST" and wanted == "forget":
        mailserver.forget(actor_of(request))
        return go(request, reverse("stores:mail-server"), _("Address and credential are forgotten."))
    if request.method == "POST" and wanted == "save":
        return _save(request)
    context = _context()
    if request.method == "POST" and at is not None:
        try:
            context["steps"] = _maintain(request, at) if wanted == "maintain" else _test(at)
        except StoreError as error:
            context["steps"] = [mailserver.Step(False, str(error))]
    return show(request, TEMPLATE, context)


def _save(request: HttpRequest) -> HttpResponse:
    form = MailServerForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        try:
            mailserver.save(actor_of(request), given["url"], given["version"], given["token"], given["allow_invalid_certs"])
        except BadConfig as error:
            form.blame(error)
        else:
            return go(request, reverse("stores:mail-server"), _("Saved. Nothing was sent to the server yet."), messages.SUCCESS)
    return show(request, TEMPLATE, _context() | {"form": form}, status=422)


def _context() -> dict[str, Any]:
    at = mailserver.server()
    initial = {"url": at.url, "version": at.version, "allow_invalid_certs": at.allow_invalid_certs} if at else {"version": "0.11"}
    return {"server": at, "form": MailServerForm(initial=initial), "maintain": MaintainForm(at) if at else None}


def _test(at: MailServer) -> list[mailserver.Step]:
    found = mailserver.bans(at)
    return [mailserver.Step(True, _("The server answers and names its bans: %(count)s") % {"count": len(found)})]


def _maintain(request: HttpRequest, at: MailServer) -> list[mailserver.Step]:
    form = MaintainForm(at, request.POST)
    if not form.is_valid():
        said = " ".join(str(error) for errors in form.errors.values() for error in errors)
        raise BadConfig(_("The server was not asked."), said, "slug")
    return mailserver.maintain(actor_of(request), at, form.cleaned_data["store"], form.cleaned_data["slug"])
