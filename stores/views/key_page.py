"""What the page of one key shows: which editors fit its value, its bytes, its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from stores import keyclasses
from stores.forms import edit as forms
from stores.models import AuditEntry, Store
from stores.models.audit import mark_of
from stores.services import audit, lock_owner
from stores.services.abilities import Abilities, abilities
from stores.services.permissions import Permission, allows
from stores.services.rows import Row
from stores.services.snippets import of_key, why_missing
from stores.templatetags import words
from stores.types import Kind
from stores.views.common import actor_of

TEMPLATE = "stores/key.html"
GONE = "stores/key_gone.html"
HISTORY = 10


@dataclass(frozen=True, slots=True)
class Editor:
    """One way to edit the value."""

    name: str
    label: str
    here: bool


def editors(row: Row, wanted: str, sent: str = "") -> list[Editor]:
    """The ways that give this value back unchanged, best first.

    `wanted` is the one asked for in the address, `sent` the one of a form that is shown again.
    """
    value = row.entry.value or b""
    small = len(value) <= forms.SHOWN_LIMIT
    parts = parts_of(row)
    fits = {
        "decoded": parts is not None and bool(parts) and all(forms.is_text(text.encode()) for text in parts.values()),
        "json": small and forms.is_text(value),
        "text": small and forms.is_text(value),
        "hex": small,
        "file": True,
    }
    labels = dict(forms.EDITORS)
    if row.entry.kind is Kind.COUNTER:
        names = ["decoded"] if fits["decoded"] else []
    elif parts is not None and not parts and not row.entry.value:
        names = []
    else:
        best = ("decoded", "json", "text") if forms.is_json(value) else ("decoded", "text", "json")
        names = [name for name in (*best, "hex", "file") if fits[name] or name == sent]
    chosen = wanted if wanted in names else names[0] if names else ""
    return [Editor(name, str(labels[name]), name == chosen) for name in names]


def parts_of(row: Row) -> dict[str, str] | None:
    """The parts of the value for the small form; empty for values that are always empty, None where only bytes are safe."""
    if not row.decoded.editable or row.decoded.editable == "counter" or row.decoded.problem:
        return None
    return keyclasses.editor_values(row.decoded, row.entry)


def value_form(request: HttpRequest, store: Store, row: Row | None) -> forms.DecodedForm | forms.ValueForm:
    """The form of a submitted value: decoded parts, or text, JSON, hex or a file."""
    if request.POST.get("edit_as") == "decoded" and row is not None and row.decoded.editable:
        return forms.DecodedForm(request.POST, editable=row.decoded.editable, version=store.effective_version)
    return forms.ValueForm(request.POST, request.FILES, auto_id="value-%s")


def blank_value_form(store: Store, row: Row, name: str) -> forms.DecodedForm | forms.ValueForm:
    """The form of a page that is just being opened."""
    seen = {"etag": row.entry.etag, "opened": row.decoded.value_label}
    if name == "decoded":
        parts = {f"part_{part}": text for part, text in (parts_of(row) or {}).items()}
        return forms.DecodedForm(editable=row.decoded.editable, version=store.effective_version, initial={**parts, **seen})
    value = row.entry.value or b""
    text = value.hex(" ") if name == "hex" else value.decode() if name in ("text", "json") else ""
    form = forms.ValueForm(initial={**seen, "edit_as": name, "value": text}, auto_id="value-%s")
    form.fields["value"].widget.attrs["rows"] = min(20, max(3, text.count("\n") + len(text) // 70 + 1))
    return form


def expiry_form(row: Row) -> forms.ExpiryForm:
    """The present expiry, to the second, so that saving it untouched changes nothing."""
    at = row.entry.expires_at
    initial: dict[str, Any] = {"etag": row.entry.etag, "opened": _expiry_words(row), "how": "never" if at is None else "at"}
    there = None if at is None else words.local(at)
    if there is not None:
        initial |= {"date": there.date(), "time": there.time()}
    return forms.ExpiryForm(initial=initial, auto_id="expiry-%s")


def _expiry_words(row: Row) -> str:
    return (
        _("never expires")
        if row.entry.expires_at is None
        else _("expires %(expires_at)s") % {"expires_at": words.absolute(row.entry.expires_at)}
    )


def history(store: Store, row: Row) -> list[AuditEntry]:
    """The last changes of this key from here; one query."""
    key = audit.key_text(row.entry.key, row.decoded.secret_key)
    return list(AuditEntry.objects.filter(store_name=store.pk, key_mark=mark_of(key), key_hex=key)[:HISTORY])


def key_context(request: HttpRequest, store: Store, row: Row, **bound: Any) -> dict[str, Any]:
    """Everything on the page; `bound` holds a form that was sent and refused."""
    can: Abilities = abilities(store, actor_of(request))
    sent = request.POST.get("edit_as", "") if "value_form" in bound else ""
    ways = editors(row, sent or request.GET.get("edit", ""), sent)
    here = next((way.name for way in ways if way.here), "")
    seen = {"etag": row.entry.etag, "opened": row.decoded.value_label}
    editable_value = row.entry.kind in (Kind.VALUE, Kind.UNKNOWN) and not row.decoded.secret_value and not row.entry.problem
    context: dict[str, Any] = {
        "store": store,
        "row": row,
        "can": can,
        "editors": ways,
        "editor": here,
        "class": keyclasses.CLASSES.get(row.decoded.slug or ""),
        "history": history(store, row),
        "snippets": (lines := of_key(store.pk, row)),
        "no_snippet": why_missing(row, lines),
        "edits_value": not can.writes and bool(here) and (editable_value or here == "decoded"),
        "edits_number": not can.writes and row.entry.kind is Kind.COUNTER,
        "edits_expiry": not can.writes and not can.expiry and not row.entry.problem,
        "value_form": blank_value_form(store, row, here) if here else None,
        "counter_form": forms.CounterForm(initial={**seen, "number": row.entry.counter}, auto_id="number-%s"),
        "expiry_form": expiry_form(row),
        "delete_form": forms.DeleteForm(initial=seen, auto_id="delete-%s"),
        "lowers_limit": row.entry.kind is Kind.COUNTER and bool(row.decoded.slug),
        "too_big": len(row.entry.value or b"") > forms.SHOWN_LIMIT,
        "now": timezone.now(),
        "object": lock_owner.reference_of(row),
        "asks_server": lock_owner.reference_of(row) is not None and lock_owner.server() is not None,
        "may_reveal": row.secret and allows(actor_of(request), Permission.REVEAL, store),
    }
    return context | bound
