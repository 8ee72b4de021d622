"""Audit entries as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stores import keyclasses
from stores.models import AuditEntry
from stores.templatetags import words
from stores.templatetags.kv import dot

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

register = template.Library()

DID: Final[Mapping[str, StrOrPromise]] = {
    "edit": gettext_lazy("wrote the value of"),
    "expiry": gettext_lazy("changed the expiry of"),
    "counter": gettext_lazy("set the number of"),
    "increment": gettext_lazy("added to the number of"),
    "delete": gettext_lazy("deleted"),
    "restore": gettext_lazy("restored"),
    "store-add": gettext_lazy("defined the store"),
    "store-change": gettext_lazy("changed the definition"),
    "store-delete": gettext_lazy("deleted the definition"),
    "default-store": gettext_lazy("made it the default lookup store"),
    "import": gettext_lazy("imported a configuration"),
    "schedule": gettext_lazy("changed the purge schedule"),
    "purge-start": gettext_lazy("started a purge"),
    "purge-cancel": gettext_lazy("cancelled a purge"),
    "purge-pause": gettext_lazy("paused a purge"),
    "purge-resume": gettext_lazy("resumed a purge"),
    "purge-go-on": gettext_lazy("let a purge go on"),
    "purge-pace": gettext_lazy("changed the pace of a purge"),
    "tidy-start": gettext_lazy("began to give space back"),
    "tidy-cancel": gettext_lazy("stopped giving space back"),
    "census-start": gettext_lazy("started a count"),
    "census-cancel": gettext_lazy("cancelled a count"),
    "census-go-on": gettext_lazy("started a count again"),
    "census-interval": gettext_lazy("changed how often it is counted"),
    "alert-rule": gettext_lazy("saved an alert rule"),
    "alert-mute": gettext_lazy("silenced an alert rule or ended the silence"),
    "alert-delete": gettext_lazy("deleted an alert rule"),
    "list-fetch": gettext_lazy("fetched the list"),
    "lift-ban": gettext_lazy("had the mail server lift a ban"),
    "server-maintenance": gettext_lazy("had the mail server maintain a store"),
    "mail-server": gettext_lazy("set the mail server"),
    "mail-server-forget": gettext_lazy("forgot the mail server"),
    "publish": gettext_lazy("published the store"),
    "unpublish": gettext_lazy("revoked a published address"),
    "copy": gettext_lazy("copied"),
    "key_set": gettext_lazy("set, as a lookup, the value of"),
    "counter_incr": gettext_lazy("added, as a lookup, to the number of"),
    "key_delete": gettext_lazy("removed, as a lookup, the value of"),
    "counter_delete": gettext_lazy("removed, as a lookup, the number of"),
    "reveal": gettext_lazy("looked at the secret of"),
    "reveal-written": gettext_lazy("had secret keys written in clear"),
    "export": gettext_lazy("exported keys"),
    "bulk-delete": gettext_lazy("deleted many keys"),
    "bulk-expiry": gettext_lazy("changed the expiry of many keys"),
    "bulk-copy": gettext_lazy("copied many keys"),
    "bulk-move": gettext_lazy("moved many keys"),
    "bulk-restore": gettext_lazy("restored the keys of a run"),
    "sign-in": gettext_lazy("signed in"),
    "sign-out": gettext_lazy("signed out"),
    "token-add": gettext_lazy("made an API token"),
    "token-revoke": gettext_lazy("revoked an API token"),
    "audit-export": gettext_lazy("exported the audit"),
    "audit-prune": gettext_lazy("removed old entries of the audit"),
    "create-tables": gettext_lazy("created the missing tables"),
    "server-ask": gettext_lazy("asked a mail server for its settings"),
    "settings-read": gettext_lazy("read the settings in the store"),
    "import-keys": gettext_lazy("imported keys"),
    "user-add": gettext_lazy("added an account"),
    "user-role": gettext_lazy("changed the role of an account"),
    "user-grant": gettext_lazy("changed what an account may do in the store"),
    "user-on": gettext_lazy("switched an account on"),
    "user-off": gettext_lazy("switched an account off"),
    "user-password": gettext_lazy("set the password of an account"),
    "user-factors": gettext_lazy("removed the second factors of an account"),
    "user-sessions": gettext_lazy("ended the sessions of an account"),
    "session-end": gettext_lazy("ended a session"),
    "switches": gettext_lazy("changed a switch of the installation"),
    "password": gettext_lazy("changed the own password"),
    "factor-add": gettext_lazy("added a second factor"),
    "factor-remove": gettext_lazy("removed a second factor"),
    "factor-renew": gettext_lazy("made new recovery codes"),
    "factor": gettext_lazy("gave a wrong second factor"),
    "token": gettext_lazy("used a token that is not valid"),
    "held-up": gettext_lazy("tried too often and had to wait"),
    "refused": gettext_lazy("tried what the account may not do"),
}
"""Action -> what was done, between who and which key."""

OUTCOMES: Final[Mapping[str, StrOrPromise]] = {
    "started": gettext_lazy("It is not known how it ended."),
    "refused": gettext_lazy("It was refused."),
    "failed": gettext_lazy("It failed."),
}
_KEY_CHARS: Final = 48


@register.simple_tag
def audit_dot(entry: AuditEntry) -> SafeString:
    """Neutral for what was done, warn for what was refused or is not known, bad for what failed."""
    return dot({"done": "off", "failed": "bad"}.get(entry.outcome, "warn"))


@register.simple_tag
def audit_words(entry: AuditEntry, brief: bool = False) -> SafeString:
    """`admin set the number of 05 cb0071… (Failed logins) from 41 to 0.`; brief on the key's own page."""
    if entry.action == "sign-in" and entry.outcome == "refused":
        return format_html("{}", _attempt(entry))
    did = str(DID.get(entry.action, entry.action.replace("-", " ")))
    if brief:
        return format_html("{} {}{}{}", entry.actor, did.removesuffix(" of"), _change(entry), _outcome(entry.outcome))
    key = format_html(' <span class="kv-bytes">{}</span>', _key(entry.key_hex)) if _about_key(entry) else ""
    found = keyclasses.CLASSES.get(entry.class_slug)
    title = format_html(' <span class="kv-muted">{}</span>', found.title) if found else ""
    return format_html("{} {}{}{}{}{}", entry.actor, did, key, title, _change(entry), _outcome(entry.outcome))


def _about_key(entry: AuditEntry) -> bool:
    """Whether a key belongs to the sentence; the empty key has no hex."""
    return bool(entry.key_hex) or entry.action in ("edit", "expiry", "counter", "increment", "delete", "restore", "key_set", "reveal")


def _attempt(entry: AuditEntry) -> str:
    """A sign-in that failed: the account where there is one, never what was typed instead."""
    after = entry.after if isinstance(entry.after, dict) else {}
    if after.get("known"):
        return _("Somebody tried to sign in as %(account)s and was refused.") % {"account": after.get("account")}
    return _("Somebody tried to sign in under a name that is no account, and was refused.")


def _key(text: str) -> str:
    if text.startswith("digest:"):
        return _("hidden key")
    if not text:
        return _("the empty key")
    return text if len(text) <= _KEY_CHARS else f"{text[:_KEY_CHARS]}…"


def _outcome(outcome: str) -> str:
    found = OUTCOMES.get(outcome)
    return f". {found}" if found else ""


def _change(entry: AuditEntry) -> str:
    """From what to what, where that is short."""
    before, after = entry.before or {}, entry.after or {}
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ""
    if "add" in after:
        return f": {after['add']:+,}" if isinstance(after["add"], int) else ""
    if "permission" in after:
        return f" ({after['permission']})"
    for name in ("counter", "expires_at", "frequency", "default"):
        if before.get(name) != after.get(name) and (name in before or name in after) and after:
            return _(" from %(name)s to %(name_2)s") % {"name": _said(name, before.get(name)), "name_2": _said(name, after.get(name))}
    return ""


def _said(name: str, value: Any) -> str:
    if value is None or value == "":
        return _("never") if name == "expires_at" else _("nothing")
    if name == "expires_at":
        return words.absolute(value, "short")
    return words.count(value) if isinstance(value, int) else str(value)
