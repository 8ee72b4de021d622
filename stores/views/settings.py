"""Store definitions: list, add, change, test, default, delete."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from stores.errors import BadConfig, NotSupported
from stores.forms.stores import DeleteStoreForm, StoreForm, type_choices
from stores.models import Store
from stores.registry import HIDDEN
from stores.services import definitions, errands, pulse
from stores.services.http_lookups import HTTP
from stores.services.permissions import Permission
from stores.views.common import actor_of, go, needs, page, posted, show, store_page
from stores.views.errands import answer_of

FORM = "stores/store_form.html"


@require_safe
@page
def settings(request: HttpRequest) -> HttpResponse:
    """All definitions."""
    return show(request, "stores/settings.html", {"infos": definitions.list_stores()})


@require_safe
@page
@needs(Permission.CONFIGURE)
def store_add(request: HttpRequest) -> HttpResponse:
    """Choose what kind of store it is."""
    return show(request, "stores/store_add.html", {"types": type_choices()})


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@page
@needs(Permission.CONFIGURE)
def store_add_type(request: HttpRequest, type_name: str) -> HttpResponse:
    """Define a store of a type: test as often as needed, then create."""
    if type_name in HIDDEN:
        raise NotSupported(_("Stores of type %(type_name)s cannot be defined here.") % {"type_name": type_name})
    form = StoreForm(posted(request), type_name=type_name)
    context = {"form": form, "type": next(choice for choice in type_choices() if choice.name == type_name)}
    if request.method != "POST":
        return show(request, FORM, context)
    if form.is_valid():
        try:
            if request.POST.get("do") == "test":
                return show(request, FORM, context | tested(request, form), fragment="form")
            store = create(request, form)
        except BadConfig as error:
            form.blame(error)
        else:
            return go(
                request,
                reverse("stores:store", args=[store.pk]),
                _("%(store_id)s is defined. Nothing was written into it.") % {"store_id": store.pk},
            )
    return show(request, FORM, context, fragment="form", status=422)


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@store_page
@needs(Permission.CONFIGURE)
def store_settings(request: HttpRequest, store: Store) -> HttpResponse:
    """Change a definition. Secrets come masked and stay as they are when they are not touched."""
    info = definitions.info(store)
    if not info.supported:
        return show(request, "stores/store_unsupported.html", {"store": store, "info": info})
    form = StoreForm.of_store(store, info.settings, posted(request))
    context = {"store": store, "info": info, "form": form}
    if request.method != "POST":
        return show(request, FORM, context)
    if form.is_valid():
        try:
            if request.POST.get("do") == "test":
                return show(request, FORM, context | tested(request, form), fragment="form")
            save(request, store, form)
        except BadConfig as error:
            form.blame(error)
        else:
            pulse.forget(store.pk)
            return go(
                request,
                reverse("stores:store-settings", args=[store.pk]),
                _("The definition of %(store_id)s is saved.") % {"store_id": store.pk},
            )
    return show(request, FORM, context, fragment="form", status=422)


def create(request: HttpRequest, form: StoreForm) -> Store:
    """Hand a valid form to the service."""
    wanted = form.cleaned_data
    return definitions.create_store(
        actor_of(request),
        id=wanted["id"],
        type=form.type_name,
        settings=form.settings(),
        version=wanted["version"],
        read_only=wanted["read_only"],
        make_default=wanted["make_default"],
        entries=form.entries(),
    )


def save(request: HttpRequest, store: Store, form: StoreForm) -> None:
    """Hand the changes to the service."""
    wanted = form.cleaned_data
    entries = form.entries() if "entries" in form.fields else None
    definitions.update_store(
        actor_of(request),
        store,
        settings=form.settings(),
        version=wanted["version"],
        enabled=wanted["enabled"],
        read_only=wanted["read_only"],
        entries=entries,
    )


def tested(request: HttpRequest, form: StoreForm) -> dict[str, Any]:
    """The connection test of what was typed, nothing saved; of a list at an address an errand that a worker does."""
    settings = definitions.merge_secrets(form.store, form.settings()) if form.store else form.settings()
    if form.type_name == HTTP:
        return answer_of(errands.preview_list(actor_of(request), settings))
    return {"checks": definitions.test_connection(form.type_name, settings, form.cleaned_data["version"], form.entries())}


@require_POST
@store_page
@needs(Permission.CONFIGURE)
def store_default(request: HttpRequest, store: Store) -> HttpResponse:
    """Make it the default lookup store."""
    definitions.set_default(actor_of(request), store)
    return go(request, "stores:settings", _("%(store_id)s is the default lookup store now.") % {"store_id": store.pk})


@require_http_methods(["GET", "HEAD", "POST"])
@store_page
@needs(Permission.CONFIGURE)
def store_delete(request: HttpRequest, store: Store) -> HttpResponse:
    """Forget the definition; the store itself is not touched. The default asks for its follower."""
    is_default = definitions.default_id() == store.pk
    others = [info.id for info in definitions.list_stores() if info.id != store.pk]
    form = DeleteStoreForm(posted(request), others=others)
    context = {"store": store, "form": form, "is_default": is_default, "others": others}
    if request.method == "POST" and form.is_valid():
        name = store.pk
        try:
            definitions.delete_store(actor_of(request), store, form.cleaned_data["new_default"])
        except BadConfig as error:
            form.blame(error)
        else:
            pulse.forget(name)
            return go(
                request, "stores:settings", _("The definition of %(name)s is gone. The store itself was not touched.") % {"name": name}
            )
    return show(request, "stores/store_delete.html", context, status=422 if request.method == "POST" else 200)
