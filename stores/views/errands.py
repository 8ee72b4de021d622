"""Answers of errands: a part of the page that asked, which polls until the worker has the answer."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from stores.errors import KeyNotFound
from stores.models import Errand, ErrandState
from stores.services import errands, previews
from stores.types import Check, CheckState
from stores.views.common import actor_of, page, show, wants_fragment

SHOWN: Final = (errands.PREVIEW, errands.TEST)


@require_safe
@page
def errand(request: HttpRequest, errand_id: UUID) -> HttpResponse:
    """The answer, or a part that asks again in half a second."""
    found = errands.find(actor_of(request), errand_id)
    if found.kind not in SHOWN:
        raise KeyNotFound(_("There is no such question any more."))
    template = "stores/shared/errand.html" if wants_fragment(request) else "stores/errand.html"
    return show(request, template, answer_of(found))


def answer_of(found: Errand) -> dict[str, Any]:
    """What the template of an errand needs. `checks` None: there is no answer yet."""
    context: dict[str, Any] = {"errand": found, "checks": None, "sample": found.result.get("sample", ())}
    if found.state == ErrandState.FAILED:
        context["checks"] = [Check(_("Answer"), CheckState.FAILED, found.message, found.fix)]
    elif found.state == ErrandState.DONE:
        context["checks"] = previews.from_json(found.result["checks"])
        context["more"] = max(0, found.result.get("entries", 0) - len(context["sample"]))
    return context
