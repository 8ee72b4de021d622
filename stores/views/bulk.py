"""Deleting several keys of a list: what they are, then doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_POST

from stores.errors import BadConfig
from stores.forms.keys import PickForm
from stores.models import Store
from stores.services import edit
from stores.services.permissions import Permission
from stores.services.picked import read_keys
from stores.services.trash_rows import kept_days
from stores.templatetags.words import plural
from stores.views.common import actor_of, go, needs, show, store_page
from stores.views.confirm import freshly_confirmed

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

TEMPLATE = "stores/keys_delete.html"
LEFT: Mapping[str, StrOrPromise] = {
    "gone": gettext_lazy("gone already"),
    "changed": gettext_lazy("changed since you saw them"),
    "failed": gettext_lazy("could not be deleted"),
}


@require_POST
@freshly_confirmed
@store_page
@needs(Permission.EDIT)
def keys_delete(request: HttpRequest, store: Store) -> HttpResponse:
    """First shows the keys as they are now and what changed since they were listed; with `confirmed` deletes exactly those."""
    form = PickForm(request.POST)
    if not form.is_valid():
        raise BadConfig(" ".join(map(str, form.non_field_errors())), gettext("Select the keys in the list."))
    if not request.POST.get("confirmed"):
        found = read_keys(store, [key for key, _ in form.picks])
        seen = {bytes(key): etag for key, etag in form.picks}
        rows = [{"row": row, "changed": row.entry.etag != seen[row.entry.key]} for row in found]
        context = {"store": store, "rows": rows, "gone": len(form.picks) - len(rows), "kept_days": kept_days()}
        return show(request, TEMPLATE, context)
    tell(request, edit.delete_many(actor_of(request), store, form.picks))
    return go(request, reverse("stores:keys", args=[store.pk]))


def tell(request: HttpRequest, outcomes: Sequence[edit.DeleteOutcome]) -> None:
    """How many went to the trash, and why the others did not."""
    states: Counter[str] = Counter(outcome.state for outcome in outcomes)
    if states["deleted"]:
        messages.success(
            request,
            gettext("%(keys)s moved to the trash, for %(kept_days)s days.")
            % {"keys": plural(states["deleted"], "key"), "kept_days": kept_days()},
        )
    left = len(outcomes) - states["deleted"]
    if left:
        told = ", ".join(f"{states[state]} {word}" for state, word in LEFT.items() if states[state])
        failed = next((outcome.message for outcome in outcomes if outcome.message), "")
        messages.warning(request, f"{plural(left, 'key')} not deleted: {told}. {failed}".strip())
