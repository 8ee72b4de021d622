"""Importing keys into a store: upload, dry run, confirmation by the count."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from stores.errors import BadConfig, Busy
from stores.forms.bulk import ConfirmForm
from stores.forms.keyfile import UploadForm
from stores.forms.purge import PACES
from stores.models import Store
from stores.services import access, keyfile_import, keyfile_spool
from stores.services.keyfile_lines import FIELDS
from stores.services.permissions import Permission
from stores.services.trash_rows import kept_days
from stores.views.common import actor_of, go, needs, show, store_page
from stores.views.confirm import freshly_confirmed

TEMPLATE = "stores/keys_import.html"


@freshly_confirmed
@store_page
@needs(Permission.BULK)
def keys_import(request: HttpRequest, store: Store) -> HttpResponse:
    """Choose a file; what comes back is its dry run. Changes nothing."""
    access.require_writable(store)
    if request.method != "POST":
        return _page(request, store, UploadForm(initial={"keep": True}, auto_id="import-%s"))
    form = UploadForm(request.POST, request.FILES, auto_id="import-%s")
    if not form.is_valid():
        return _page(request, store, form, status=422)
    upload = ""
    try:
        upload = keyfile_import.accept(form.cleaned_data["file"].chunks())
        shown = keyfile_import.preview(actor_of(request), store, upload, form.options)
    except BadConfig as error:
        if upload:
            keyfile_spool.remove(upload)
        form.blame(error)
        return _page(request, store, form, status=422)
    if shown.blocked:
        keyfile_spool.remove(upload)
    return _page(request, store, form, preview=shown, name=form.cleaned_data["file"].name)


@require_POST
@freshly_confirmed
@store_page
@needs(Permission.BULK)
def keys_import_start(request: HttpRequest, store: Store) -> HttpResponse:
    """Start the import whose dry run was confirmed: exactly that file with those choices."""
    form = ConfirmForm(request.POST)
    if form.is_valid():
        try:
            wanted = keyfile_import.confirmed(store, form.cleaned_data["token"], form.cleaned_data["count"])
            run = keyfile_import.start(actor_of(request), store, wanted, form.chosen)
        except BadConfig as error:
            form.blame(error)
        except Busy as error:
            form.add_error(None, str(error))
        else:
            return go(request, reverse("stores:run", args=[run.pk]))
    return _page(request, store, UploadForm(initial={"keep": True}, auto_id="import-%s"), confirm=form, status=422)


def _page(request: HttpRequest, store: Store, form: UploadForm, *, status: int = 200, **more: Any) -> HttpResponse:
    """The page; after a refused confirmation with the same dry run again, so that only the count has to be typed once more."""
    confirm = more.get("confirm")
    if confirm is not None and (token := confirm.data.get("token")):
        more["again"] = token
    context = {"store": store, "form": form, "kept_days": kept_days(), "paces": PACES, "fields": FIELDS, **more}
    return show(request, TEMPLATE, context, status=status)
