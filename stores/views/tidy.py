"""What can be done about the space that removed rows leave: said with its costs, then done as a run."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from stores.errors import BadConfig
from stores.models import RunAction, Store
from stores.services import runs
from stores.services import tidy as service
from stores.services.permissions import Permission
from stores.views.common import actor_of, go, needs, show, store_page
from stores.views.confirm import freshly_confirmed

TEMPLATE = "stores/tidy.html"


@require_safe
@store_page
def tidy(request: HttpRequest, store: Store) -> HttpResponse:
    """The ways this store offers, the run that is under way, and the last one."""
    return show(request, TEMPLATE, _context(store))


@require_POST
@freshly_confirmed
@store_page
@needs(Permission.PURGE)
def tidy_start(request: HttpRequest, store: Store) -> HttpResponse:
    """Start one of the ways; what it asks for has to be ticked."""
    way = request.POST.get("way", "")
    try:
        run = service.start(actor_of(request), store, way, sure=request.POST.get("sure") == "on")
    except BadConfig as error:
        return show(request, TEMPLATE, _context(store) | {"problem": error.said, "problem_way": way}, status=error.status)
    return go(request, reverse("stores:run", args=[run.pk]), _("Tidying of %(store_id)s has started.") % {"store_id": store.pk})


def _context(store: Store) -> dict[str, object]:
    run = next(iter(runs.active(store, RunAction.TIDY)), None)
    return {"store": store, "offer": service.offer(store), "run": run, "last": runs.latest(store, RunAction.TIDY)}
