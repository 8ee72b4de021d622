"""Doing something to keys of several stores at once: what they are now, doing it, what became of each, taking it back."""

from __future__ import annotations

import time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from stores.errors import BadConfig
from stores.services import relief
from stores.services.permissions import Permission
from stores.services.relief import Target
from stores.services.trash_rows import kept_days
from stores.views.common import actor_of, needs, page, show

PAGES = {"limited": gettext_lazy("Who is limited now"), "spam": gettext_lazy("Spam filter")}
"""Pages that send keys here, and what they are called on the way back."""


@require_POST
@page
@needs(Permission.EDIT, anywhere=True)
def act(request: HttpRequest) -> HttpResponse:
    """A page of its own for an act that began in a list."""
    back = request.POST.get("back", "")
    name, _, store_id = back.partition(" ")
    if name not in PAGES or bool(store_id) is (name == "limited") or "/" in store_id:
        back, name, store_id = "limited", "limited", ""
    title = gettext("%(pages)s of %(store_id)s") % {"pages": PAGES[name], "store_id": store_id} if store_id else PAGES[name]
    url = reverse(f"stores:{name}", args=[store_id] if store_id else [])
    context = {"act": act_of(request), "back": back, "back_url": url, "back_title": title}
    return show(request, "stores/act.html", context)


def act_of(request: HttpRequest) -> dict[str, Any]:
    """What a form with `action` and `pick` (or `only`, a row's own button), `confirmed` or `undo` asks for, and what came of it.

    Raises BadConfig for what no form of ours sends.
    """
    shared: dict[str, Any] = {"kept_days": kept_days(), "now": time.time()}
    if token := request.POST.get("undo"):
        return shared | {"state": "undone", "steps": relief.undo(actor_of(request), token)}
    action = relief.action_of(request.POST.get("action", ""))
    targets = [Target.of_pick(text) for text in dict.fromkeys(request.POST.getlist("only") or request.POST.getlist("pick"))]
    if not targets:
        raise BadConfig(gettext("No key is selected."), gettext("Select the keys in the list."), "pick")
    if request.POST.get("confirmed"):
        outcome = relief.carry_out(actor_of(request), action, targets)
        return shared | {"state": "done", "action": action, "outcome": outcome, "all_done": outcome.done == len(outcome.results)}
    planned = relief.plan(action, targets)
    ready = [each for each in planned if not each.refused and (each.row is not None or not action.deletes)]
    return shared | {
        "state": "ready",
        "action": action,
        "planned": planned,
        "ready": ready,
        "picks": [_now(each).pick for each in ready],
        "stores": sorted({each.target.store_id for each in ready}),
        "changed": sum(each.changed for each in ready),
    }


def _now(each: relief.PlannedKey) -> Target:
    """The target as it is shown in the preview: what is confirmed is what was read last."""
    return each.target if each.row is None else Target.of_row(each.target.store_id, each.row)
