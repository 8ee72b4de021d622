"""The frame around every page: store switcher, pages, search, appearance, user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import template
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from stores.models import Store
from stores.services import switches, tour
from stores.services.actor import rights_of
from stores.services.definitions import StoreInfo, list_stores
from stores.services.permissions import Permission
from stores.services.pulse import Pulse, last_seen
from stores.templatetags import words

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

register = template.Library()

SECTIONS: Mapping[str, str] = {
    "store": "store", "count": "store", "checks": "store", "growth": "store", "compare": "store",
    "keys": "keys", "key": "keys", "key-new": "keys", "keys-delete": "keys", "key-value": "keys", "key-expiry": "keys",
    "key-counter": "keys", "key-delete": "keys", "key-raw": "keys", "key-reveal": "keys", "key-owner": "keys",
    "bulk": "keys", "bulk-start": "keys", "keys-import": "keys", "keys-import-start": "keys",
    "purge": "purge", "schedule": "purge", "tidy": "purge", "tidy-start": "purge",
    "spam": "store", "leftovers": "store", "remove-set": "store", "create-tables": "store", "publish": "store",
    "find": "help", "help": "help", "limited": "help", "act": "help",
    "overview": "overview", "trash": "trash", "trash-restore": "trash", "runs": "runs", "run": "runs",
    "lookups": "lookups", "audit": "audit",
    "settings": "settings", "mail-server": "settings", "tokens": "settings", "token-revoke": "settings",
    "store-add": "settings", "store-add-type": "settings", "store-settings": "settings",
    "store-delete": "settings", "import": "settings", "import-preview": "settings",
    "import-server": "settings", "import-asked": "settings", "import-settings": "settings",
    "users": "settings", "user": "settings", "user-act": "settings",
    "alerts": "settings", "alert": "settings", "alert-add": "settings",
}  # fmt: skip
"""Which page of the bar a route belongs to."""

STATES: Mapping[str, tuple[StrOrPromise, str]] = {
    "ok": (pgettext_lazy("state of a store", "answers"), "ok"),
    "slow": (pgettext_lazy("state of a store", "slow"), "warn"),
    "down": (pgettext_lazy("state of a store", "does not answer"), "bad"),
    "refused": (pgettext_lazy("state of a store", "cannot be used"), "bad"),
    "off": (pgettext_lazy("state of a store", "switched off"), "off"),
    "unsupported": (pgettext_lazy("state of a store", "not supported yet"), "off"),
}
"""Health state -> word and mark."""

LETTERS: Mapping[str, str] = {
    "overview": "o",
    "store": "s",
    "keys": "k",
    "purge": "p",
    "trash": "t",
    "runs": "r",
    "lookups": "l",
    "audit": "a",
    "help": "h",
    "settings": "e",
}
"""Page of the bar -> the letter that goes there after a g."""

THEMES = (
    ("auto", gettext_lazy("As the system"), "device-desktop"),
    ("light", gettext_lazy("Light"), "sun"),
    ("dark", gettext_lazy("Dark"), "moon"),
)


@dataclass(frozen=True, slots=True)
class SwitchEntry:
    """One store of the switcher. `dot` and `state` are what was last known, nothing is asked for a menu."""

    id: str
    label: str
    url: str
    dot: str
    state: str
    default: bool
    here: bool


def theme_of(request: HttpRequest | None) -> str:
    """light, dark or auto, from the reader's cookie."""
    chosen = request.COOKIES.get("kv_theme", "") if request else ""
    return chosen if chosen in ("light", "dark") else "auto"


@register.simple_tag(takes_context=True)
def theme_attribute(context: template.Context) -> SafeString:
    """`data-bs-theme` for a chosen appearance; none leaves it to the system, without any script."""
    theme = theme_of(context.get("request"))
    return mark_safe("") if theme == "auto" else format_html(' data-bs-theme="{}"', theme)


def languages_of(request: HttpRequest | None) -> list[dict[str, Any]]:
    """The choice of languages, each in its own words."""
    chosen = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "") if request else ""
    named = [("auto", _("As the browser")), *settings.LANGUAGES]
    here = chosen if chosen in dict(settings.LANGUAGES) else "auto"
    return [{"value": code, "label": label, "here": code == here} for code, label in named]


@register.simple_tag(takes_context=True)
def tour_card(context: template.Context) -> dict[str, Any]:
    """The step of the tour that the reader is at, and the page that it is about; step 0 when there is none."""
    user = getattr(context.get("request"), "user", None)
    step = tour.step_of(user.pk) if user is not None and user.is_authenticated else 0
    if not step:
        return {"step": 0}
    main = next((line.info.id for line in context.get("lines") or () if line.info.default), "")
    pages = {1: ("keys", True), 2: ("help", False), 3: ("purge", True)}
    name, of_store = pages[step]
    url = "" if of_store and not main else reverse(f"stores:{name}", args=[main] if of_store else [])
    after = step + 1 if step < tour.STEPS else 0
    return {"step": step, "before": step - 1, "after": after, "url": url, "numbers": range(1, tour.STEPS + 1)}


@register.simple_tag
def script_words() -> SafeString:
    """What the script writes by itself, as attributes of the body: there is no catalog for scripts."""
    marks = " ".join(sign for length, sign in words.units() if length)
    return format_html(
        'data-kv-units="{}" data-kv-in="{}" data-kv-past="{}" data-kv-lost="{}" data-kv-done="{}"',
        marks,
        _("in %(span)s") % {"span": "#"},
        _("%(span)s ago") % {"span": "#"},
        _("kvadmin itself does not answer. What you see is as old as this page; nothing was changed."),
        _("Copied"),
    )


@register.inclusion_tag("stores/shared/shell.html", takes_context=True)
def shell(context: template.Context) -> dict[str, Any]:
    """The bar. Costs two queries for a signed-in user, and asks no store."""
    request: HttpRequest | None = context.get("request")
    route = request.resolver_match.url_name if request and request.resolver_match else ""
    theme = theme_of(request)
    user = getattr(request, "user", None)
    shared = {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "signed_in": bool(user and user.is_authenticated),
        "signing_in": route in ("sign-in", "account_login", "mfa_authenticate"),
        "user_name": user.get_username() if user else "",
        "here": request.get_full_path() if request and request.method == "GET" else reverse("stores:overview"),
        "theme_icon": next(icon for value, _label, icon in THEMES if value == theme),
        "languages": languages_of(request),
        "read_only_all": bool(user and user.is_authenticated) and switches.shown_read_only(),
        "themes": [{"value": value, "label": label, "icon": icon, "here": value == theme} for value, label, icon in THEMES],
    }
    if user is None or not shared["signed_in"]:
        return shared
    return shared | _stores(context.get("store"), SECTIONS.get(route or "", ""), rights_of(user).has(Permission.AUDIT))


def _stores(current: Store | None, section: str, may_audit: bool) -> dict[str, Any]:
    infos = list_stores()
    main = next((info for info in infos if info.id == current.id), None) if current else None
    target = main or next((info for info in infos if info.default), None)
    there = section if section in ("store", "keys", "purge") else "store"
    seen = last_seen(info.id for info in infos)
    entries = [_entry(info, there, main, seen.get(info.id)) for info in infos]
    return {
        "switch": entries,
        "current": next((entry for entry in entries if entry.here), None),
        "pages": _pages(target, section, may_audit),
        "find_url": reverse("stores:find") if target else "",
    }


def _entry(info: StoreInfo, there: str, main: StoreInfo | None, pulse: Pulse | None) -> SwitchEntry:
    state, dot = state_of(info, pulse)
    return SwitchEntry(info.id, info.label, reverse(f"stores:{there}", args=[info.id]), dot, state, info.default, info is main)


def state_of(info: StoreInfo, pulse: Pulse | None) -> tuple[str, str]:
    """A store's state in one word or two, and its mark."""
    if not info.enabled:
        return str(STATES["off"][0]), "off"
    if not info.supported:
        return str(STATES["unsupported"][0]), "off"
    if pulse is None:
        return _("not asked yet"), "off"
    word, mark = STATES.get(pulse.health.state, (pulse.health.state, "off"))
    return str(word), mark


def _pages(target: StoreInfo | None, section: str, may_audit: bool) -> list[dict[str, Any]]:
    named: list[tuple[str, str, list[str]]] = [(_("Overview"), "overview", [])]
    if target:
        named += [(_("Store"), "store", [target.id]), (_("Keys"), "keys", [target.id]), (_("Purge"), "purge", [target.id])]
    rest = (
        (_("Trash"), "trash"),
        (_("Runs"), "runs"),
        (_("Lookups"), "lookups"),
        (_("Audit"), "audit"),
        (_("3 a.m."), "help"),
        (_("Settings"), "settings"),
    )
    named += [(label, name, []) for label, name in rest if name != "audit" or may_audit]
    return [
        {"label": label, "url": reverse(f"stores:{name}", args=args), "here": name == section, "letter": LETTERS[name]}
        for label, name, args in named
    ]
