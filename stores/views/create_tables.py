"""Creating the two tables of an SQL lookup store that nobody has created yet."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from stores.errors import StoreError
from stores.models import Store
from stores.services import pulse, table_setup
from stores.services.permissions import Permission
from stores.views.common import actor_of, go, needs, show, store_page

TEMPLATE = "stores/create_tables.html"


@require_http_methods(["GET", "HEAD", "POST"])
@store_page
@needs(Permission.CONFIGURE)
def create_tables(request: HttpRequest, store: Store) -> HttpResponse:
    """What is missing and the statements; then, confirmed, creating it."""
    context: dict[str, object] = {"store": store, "setup": table_setup.look(store)}
    if request.method != "POST":
        return show(request, TEMPLATE, context)
    if request.POST.get("sure") != "on":
        return show(request, TEMPLATE, context | {"problem": _("Tick the box to have the tables created.")}, status=422)
    try:
        created = table_setup.create(actor_of(request), store)
    except StoreError as error:
        return show(request, TEMPLATE, context | {"problem": error.said}, status=error.status)
    pulse.forget(store.pk)
    message = _("Created: %(tables)s.") % {"tables": ", ".join(created)} if created else _("The tables are there; nothing was done.")
    return go(request, f"{reverse('stores:store', args=[store.pk])}?checks=1#checks", message)
