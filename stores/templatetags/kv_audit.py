"""Audit entries as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from stores import keyclasses
from stores.models import AuditEntry
from stores.templatetags import words
from stores.templatetags.kv import dot

register = template.Library()

DID: Final[Mapping[str, str]] = {
    "edit": "wrote the value of",
    "expiry": "changed the expiry of",
    "counter": "set the number of",
    "increment": "added to the number of",
    "delete": "deleted",
    "restore": "restored",
    "store-add": "defined the store",
    "store-change": "changed the definition",
    "store-delete": "deleted the definition",
    "default-store": "made it the default lookup store",
    "import": "imported a configuration",
    "schedule": "changed the purge schedule",
    "purge-start": "started a purge",
    "purge-cancel": "cancelled a purge",
    "purge-pause": "paused a purge",
    "purge-resume": "resumed a purge",
    "census-start": "started a count",
    "census-cancel": "cancelled a count",
    "census-interval": "changed how often it is counted",
    "alert-rule": "saved an alert rule",
    "alert-mute": "silenced an alert rule or ended the silence",
    "alert-delete": "deleted an alert rule",
    "list-fetch": "fetched the list",
    "lift-ban": "had the mail server lift a ban",
    "server-maintenance": "had the mail server maintain a store",
    "mail-server": "set the mail server",
    "mail-server-forget": "forgot the mail server",
    "publish": "published the store",
    "unpublish": "revoked a published address",
}
"""Action -> what was done, between who and which key."""

OUTCOMES: Final[Mapping[str, str]] = {
    "started": "It is not known how it ended.",
    "refused": "It was refused.",
    "failed": "It failed.",
}
_KEY_CHARS: Final = 48


@register.simple_tag
def audit_dot(entry: AuditEntry) -> SafeString:
    """Neutral for what was done, warn for what was refused or is not known, bad for what failed."""
    return dot({"done": "off", "failed": "bad"}.get(entry.outcome, "warn"))


@register.simple_tag
def audit_words(entry: AuditEntry, brief: bool = False) -> SafeString:
    """`admin set the number of 05 cb0071… (Failed logins) from 41 to 0.`; brief on the key's own page."""
    did = DID.get(entry.action, entry.action.replace("-", " "))
    if brief:
        return format_html("{} {}{}{}", entry.actor, did.removesuffix(" of"), _change(entry), _outcome(entry.outcome))
    key = format_html(' <span class="kv-bytes">{}</span>', _key(entry.key_hex)) if _about_key(entry) else ""
    found = keyclasses.CLASSES.get(entry.class_slug)
    title = format_html(' <span class="kv-muted">{}</span>', found.title) if found else ""
    return format_html("{} {}{}{}{}{}", entry.actor, did, key, title, _change(entry), _outcome(entry.outcome))


def _about_key(entry: AuditEntry) -> bool:
    return entry.action in ("edit", "expiry", "counter", "increment", "delete", "restore")


def _key(text: str) -> str:
    if text.startswith("digest:"):
        return "hidden key"
    if not text:
        return "the empty key"
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
        return f": {int(after['add']):+,}"
    for name in ("counter", "expires_at", "frequency", "default"):
        if before.get(name) != after.get(name) and (name in before or name in after) and after:
            return f" from {_said(name, before.get(name))} to {_said(name, after.get(name))}"
    return ""


def _said(name: str, value: Any) -> str:
    if value is None or value == "":
        return "never" if name == "expires_at" else "nothing"
    if name == "expires_at":
        return words.absolute(value, "short")
    return words.count(value) if isinstance(value, int) else str(value)
