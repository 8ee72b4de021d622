"""One key: what it says, its bytes, changing it only if it is still what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from stores.errors import BadConfig, Conflict, CorruptRow, KeyNotFound
from stores.forms import edit as forms
from stores.models import Store
from stores.services import edit, lock_owner, trash
from stores.services.browse import read_key
from stores.services.permissions import Permission
from stores.services.reveal import reveal
from stores.services.rows import Row
from stores.services.trash_rows import kept_days
from stores.templatetags.kv_bytes import key_title, link_key
from stores.texts import shown
from stores.types import ABSENT, ANYTHING, KEEP, Expected, Kind
from stores.views.common import actor_of, go, needs, posted, show, store_page
from stores.views.confirm import freshly_confirmed
from stores.views.key_page import GONE, TEMPLATE, key_context, value_form

Act = Callable[[Expected], Row]


@require_safe
@store_page
def key(request: HttpRequest, store: Store, key: bytes) -> HttpResponse:
    """The key's page. A key that is gone is a 404 that offers what the trash still has."""
    row = read_key(store, key)
    if row is None:
        return show(request, GONE, gone_context(store, key), status=404)
    return show(request, TEMPLATE, key_context(request, store, row), fragment="key")


@require_safe
@store_page
def key_raw(request: HttpRequest, store: Store, key: bytes) -> HttpResponse:
    """The value's bytes as a file. Hidden values are not given out."""
    row = read_key(store, key)
    if row is None or row.entry.value is None:
        raise KeyNotFound(_("There is no value under this key."), _("Look at the list again."))
    if row.decoded.secret_value:
        raise BadConfig(_("This value is hidden."), _("It gives access to something; it is not given out here."))
    name = quote(f"{store.pk}-{key[:24].hex() or 'empty'}.bin")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return HttpResponse(row.entry.value, content_type="application/octet-stream", headers=headers)


@require_POST
@freshly_confirmed
@store_page
@needs(Permission.REVEAL)
def key_reveal(request: HttpRequest, store: Store, key: bytes) -> HttpResponse:
    """The page with what is hidden in clear, for whoever may see it. It is on record, and no cache keeps the answer."""
    try:
        row = reveal(actor_of(request), store, key)
    except KeyNotFound:
        return show(request, GONE, gone_context(store, key), status=404)
    response = show(request, TEMPLATE, key_context(request, store, row, revealed=True))
    response["Cache-Control"] = "no-store"
    return response


@require_safe
@store_page
def key_owner(request: HttpRequest, store: Store, key: bytes) -> HttpResponse:
    """What the mail server says of the task or message that a lock of 0.16 is held for."""
    row = read_key(store, key)
    if row is None:
        return show(request, GONE, gone_context(store, key), status=404)
    return show(request, "stores/lock_owner.html", {"store": store, "row": row, "owner": lock_owner.ask(actor_of(request), store, row)})


@require_POST
@store_page
@needs(Permission.EDIT)
def key_value(request: HttpRequest, store: Store, key: bytes) -> HttpResponse:
    """Replace the value, or the number of a counter that is edited in decoded form; the expiry stays."""
    row = read_key(store, key)
    form = value_form(request, store, row)
    if not form.is_valid():
        return refused(request, store, key, row, {"value_form": form})
    written = form.encoded if isinstance(form, forms.DecodedForm) else form.written
    actor = actor_of(request)
    if isinstance(written, int):
        return changed(request, store, key, form, "value_form", lambda seen: edit.set_counter(actor, store, key, written, KEEP, seen))
    return changed(request, store, key, form, "value_form", lambda seen: edit.set_value(actor, store, key, written, KEEP, seen))


@require_POST
@store_page
@needs(Permission.EDIT)
def key_counter(request: HttpRequest, store: Store, key: bytes) -> HttpResponse:
    """Set the number, or add to it. Setting needs the row that was seen; adding counts beside the mail server."""
    form = forms.CounterForm(request.POST, auto_id="number-%s")
    if not form.is_valid():
        return refused(request, store, key, read_key(store, key), {"counter_form": form})
    actor, number = actor_of(request), form.cleaned_data["number"]

    def act(seen: Expected) -> Row:
        if form.adds:
            return edit.increment(actor, store, key, number)
        return edit.set_counter(actor, store, key, number, KEEP, seen)

    return changed(request, store, key, form, "counter_form", act, blind=form.adds)


@require_POST
@store_page
@needs(Permission.EDIT)
def key_expiry(request: HttpRequest, store: Store, key: bytes) -> HttpResponse:
    """Change only the expiry."""
    form = forms.ExpiryForm(request.POST, auto_id="expiry-%s")
    if not form.is_valid():
        return refused(request, store, key, read_key(store, key), {"expiry_form": form})
    actor = actor_of(request)
    return changed(request, store, key, form, "expiry_form", lambda seen: edit.set_expiry(actor, store, key, form.moment, seen))


@require_POST
@store_page
@needs(Permission.EDIT)
def key_delete(request: HttpRequest, store: Store, key: bytes) -> HttpResponse:
    """Move the key to the trash and go back to the list."""
    form = forms.DeleteForm(request.POST)
    if not form.is_valid():
        raise BadConfig(_("The request does not say which row was on screen."), _("Open the key again and delete it from its page."))
    try:
        row = edit.delete_key(actor_of(request), store, key, edit.expected_from_etag(store, key, form.cleaned_data["etag"]))
    except Conflict as error:
        return conflict(request, store, key, form, error)
    said = _("%(row)s is in the trash for %(kept_days)s days.") % {"row": key_title(row), "kept_days": kept_days()}
    return go(request, reverse("stores:keys", args=[store.pk]), said)


@require_http_methods(["GET", "HEAD", "POST"])
@store_page
@needs(Permission.EDIT)
def key_new(request: HttpRequest, store: Store) -> HttpResponse:
    """Write a key that does not exist yet."""
    form = forms.NewKeyForm(posted(request), initial={"how": "never", "key": request.GET.get("key", "")})
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                row = _create(request, store, form)
            except (BadConfig, Conflict) as error:
                form.blame(_taken(error))
            else:
                return go(
                    request, reverse("stores:key", args=[store.pk, link_key(row)]), _("%(row)s was written.") % {"row": key_title(row)}
                )
    return show(request, "stores/key_new.html", {"store": store, "form": form}, fragment="form", status=status)


def _create(request: HttpRequest, store: Store, form: forms.NewKeyForm) -> Row:
    wanted, actor = form.cleaned_data, actor_of(request)
    if wanted["kind"] == Kind.COUNTER.value:
        number = wanted["number"]
        return edit.create_key(actor, store, wanted["key"], kind=Kind.COUNTER, number=number, expires=form.moment)
    return edit.create_key(actor, store, wanted["key"], value=wanted["value"], expires=form.moment)


def _taken(error: BadConfig | Conflict) -> BadConfig:
    """A key that exists already is a problem of the field that names it."""
    if isinstance(error, BadConfig):
        return BadConfig(error.message, error.fix, {"expires": "span", "expiry": "span"}.get(error.field, error.field))
    return BadConfig(_("This key exists already."), _("Open it to change it; nothing was written."), "key")


def changed(
    request: HttpRequest, store: Store, key: bytes, form: forms.SeenForm, name: str, act: Act, *, blind: bool = False
) -> HttpResponse:
    """Do it if the row is still the one that was seen; else show both versions and ask."""
    etag = form.cleaned_data["etag"]
    try:
        expect = ANYTHING if blind else _expected(store, key, etag)
        row = act(expect)
    except Conflict as error:
        return conflict(request, store, key, form, error)
    except (BadConfig, CorruptRow) as error:
        form.blame(error if isinstance(error, BadConfig) else BadConfig(error.message, error.fix))
        return refused(request, store, key, read_key(store, key), {name: form})
    if row.entry.etag == etag:
        messages.info(request, _("Nothing changed: the store already holds that."))
    else:
        messages.success(
            request,
            _("Saved. %(row)s now: %(value_label)s.")
            % {"row": key_title(row), "value_label": shown(row.decoded.value_label) or _("written")},
        )
    if request.headers.get("HX-Request"):
        return show(request, TEMPLATE, key_context(request, store, row), fragment="key")
    return go(request, reverse("stores:key", args=[store.pk, link_key(row)]))


def _expected(store: Store, key: bytes, etag: str) -> Expected:
    return ABSENT if etag == forms.ABSENT_ETAG else edit.expected_from_etag(store, key, etag)


def refused(request: HttpRequest, store: Store, key: bytes, row: Row | None, bound: Mapping[str, Any]) -> HttpResponse:
    """The page with the form that was sent and what is wrong in it. Nothing was changed."""
    if row is None:
        return show(request, GONE, gone_context(store, key), status=404)
    return show(request, TEMPLATE, key_context(request, store, row, **bound), fragment="key", status=422)


def conflict(request: HttpRequest, store: Store, key: bytes, form: forms.SeenForm, error: Conflict) -> HttpResponse:
    """Opened, now, wanted, and the two ways out."""
    row = read_key(store, key)
    again = {name: value for name, value in request.POST.items() if name not in ("csrfmiddlewaretoken", "etag")}
    if isinstance(form, forms.ValueForm) and form.cleaned_data.get("edit_as") == "file":
        again = {"edit_as": "hex", "value": form.written.hex() if len(form.written) <= forms.SHOWN_LIMIT else ""}
    panel = {
        "opened": form.cleaned_data["opened"],
        "wanted": form.wanted(),
        "now": row,
        "fields": again,
        "etag": row.entry.etag if row else forms.ABSENT_ETAG,
        "action": request.path,
        "here": reverse("stores:key", args=[store.pk, link_key(row)]) if row else reverse("stores:keys", args=[store.pk]),
        "possible": not (row is None and isinstance(form, forms.ExpiryForm | forms.DeleteForm)) and again.get("value") != "",
        "deletes": isinstance(form, forms.DeleteForm),
        "message": error.message,
    } | ways_out(form, row)
    if row is None:
        return show(request, GONE, gone_context(store, key) | {"conflict": panel}, fragment="gone", status=409)
    return show(request, TEMPLATE, key_context(request, store, row) | {"conflict": panel}, fragment="key", status=409)


def ways_out(form: forms.SeenForm, row: Row | None) -> dict[str, str]:
    """What the two buttons of a conflict do, by name."""
    if row is None:
        return {"do": _("Create it again"), "leave": _("Leave it gone")}
    number = row.entry.counter
    if isinstance(form, forms.CounterForm) and number is not None:
        return {
            "do": _("Set %(number)s to %(wanted)s") % {"number": f"{number:,}", "wanted": form.wanted()},
            "leave": _("Keep %(number)s") % {"number": f"{number:,}"},
        }
    if isinstance(form, forms.DeleteForm):
        return {"do": _("Delete what is there now"), "leave": _("Keep it")}
    if isinstance(form, forms.ExpiryForm):
        return {"do": _("Change the expiry of what is there now"), "leave": _("Leave it as it is")}
    return {"do": _("Write over what is there now"), "leave": _("Keep what is there now")}


def gone_context(store: Store, key: bytes) -> dict[str, Any]:
    """What is known of a key that does not exist."""
    return {"store": store, "key": key, "key_hex": key.hex(), "trashed": trash.latest(store, key), "now": time.time()}
