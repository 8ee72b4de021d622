"""3 a.m.: one box, what holds the subject back, and what can be done about it."""

from __future__ import annotations

import shlex
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from stores.errors import BadConfig, StoreError
from stores.models import DefaultLookupStore, MailServer, Store
from stores.services import find as finding
from stores.services import mailserver, unban
from stores.services.relief import Target
from stores.services.trash_rows import kept_days
from stores.services.verdict import Verdict, judge
from stores.views.act import act_of
from stores.views.common import actor_of, page, show
from stores.views.find import answer

TEMPLATE = "stores/help.html"


@require_http_methods(["GET", "HEAD", "POST"])
@page
def help_page(request: HttpRequest) -> HttpResponse:
    """GET looks. POST previews, does or undoes what its form names, and then looks again."""
    subject = (request.POST if request.method == "POST" else request.GET).get("q", "")
    context: dict[str, Any] = {"q": subject, "act_url": reverse("stores:help"), "kept_days": kept_days()}
    context["back_url"] = f"{context['act_url']}?{urlencode({'q': subject})}"
    if not subject.strip():
        return show(request, TEMPLATE, context)
    try:
        finding.checked(subject)
    except BadConfig as error:
        return show(request, TEMPLATE, context | {"problem": error}, status=error.status)
    at = mailserver.server()
    address = request.POST.get("lift", "")
    if request.method == "POST" and address:
        context["lifted"] = lifted(request, at, address)
    elif request.method == "POST":
        context["act"] = act_of(request)
    found = finding.search(subject, budget_seconds=finding.BUDGET_SECONDS)
    stores = Store.objects.select_related("default_row").in_bulk([searched.store_id for searched in found.stores])
    verdict = judge(found, stores)
    default = DefaultLookupStore.objects.first()
    context |= {"server": at, "addresses": [meaning.text for meaning in found.meanings if meaning.sort in ("ip", "network")]}
    context |= answer(found) | {"verdict": verdict, "default_id": default.store_id if default else ""}
    return show(request, TEMPLATE, context | parts(verdict, stores))


def lifted(request: HttpRequest, at: MailServer | None, address: str) -> dict[str, Any]:
    """First what bans the server holds of an address and what counts against it; with `confirmed` bans are lifted, counters reset."""
    if at is None:
        raise BadConfig(_("No mail server is set."), _("Give its address and credential under Settings, Mail server."), "lift")
    shown: dict[str, Any] = {"address": address}
    try:
        if request.POST.get("confirmed"):
            return shown | {"done": unban.lift(actor_of(request), at, address)}
        return shown | {"plan": unban.plan(at, address)}
    except ValueError:
        raise BadConfig(_("This is no address."), _("Look for an IP or a network."), "lift") from None
    except StoreError as error:
        return shown | {"done": unban.Lifted((mailserver.Step(False, str(error)),), "")}


def parts(verdict: Verdict, stores: dict[str, Store]) -> dict[str, Any]:
    """The evidence as rows of the page, each with what its button sends."""

    def rows(findings: tuple[finding.Finding, ...]) -> list[dict[str, Any]]:
        return [
            {"row": each.row, "store": stores[each.store_id], "pick": Target.of_row(each.store_id, each.row).pick, "why": each.why}
            for each in findings
        ]

    windows = [
        {"window": each, "row": each.row, "store": stores[each.store_id], "pick": Target.of_row(each.store_id, each.row).pick}
        for each in verdict.windows
    ]
    return {
        "windows": windows,
        "greylist": rows(verdict.greylist),
        "reputation": rows(verdict.reputation),
        "locks": rows(verdict.locks),
        "codes": rows(verdict.codes),
        "replies": rows(verdict.replies),
        "others": rows(verdict.others),
        "unban": [unban_steps(ban.setting) for ban in verdict.bans],
    }


def unban_steps(setting: str) -> list[str]:
    """The commands that lift a ban on a Stalwart of 0.11 to 0.15; the address and the login are the reader's."""
    return [
        f"stalwart-cli -u https://MAIL-SERVER -c ADMIN:PASSWORD server delete-config {shlex.quote(setting)}",
        "stalwart-cli -u https://MAIL-SERVER -c ADMIN:PASSWORD server reload-config",
    ]
