"""Drawing only what the reader may do, and saying in one line why the rest is missing."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from stores.models import Store
from stores.services import permissions
from stores.services.actor import rights_of
from stores.services.permissions import Permission, Rights

register = template.Library()

ALL = "all"
"""In the place of a store: the right for all stores is needed."""


@register.simple_block_tag(takes_context=True)
def may(context: template.Context, content: str, permission: str, store: Store | str | None = None) -> SafeString:
    """The content for those who may: in the given store, else in the one of the page, else in any; `"all"`: in all."""
    return mark_safe(content) if allowed(context, permission, store) else mark_safe("")  # noqa: S308  (rendered by the template)


@register.simple_tag(takes_context=True)
def is_allowed(context: template.Context, permission: str, store: Store | str | None = None) -> bool:
    """The same as a value, where a page has something else for those who may not."""
    return allowed(context, permission, store)


@register.simple_tag(takes_context=True)
def why_not(context: template.Context, permission: str, store: Store | str | None = None) -> SafeString:
    """One line for those who may not, nothing for the others."""
    if allowed(context, permission, store):
        return mark_safe("")
    return format_html('<p class="kv-xs kv-muted">{}</p>', permissions.words(Permission(permission)))


def allowed(context: template.Context, permission: str, store: Store | str | None = None) -> bool:
    """Whether the reader of the page may do it."""
    rights = _rights(context)
    wanted: Any = store or context.get("store")
    if wanted == ALL:
        return rights.has(Permission(permission))
    if isinstance(wanted, Store):
        return rights.has(Permission(permission), wanted.pk)
    return rights.has(Permission(permission), wanted) if isinstance(wanted, str) and wanted else rights.anywhere(Permission(permission))


def _rights(context: template.Context) -> Rights:
    request = context.get("request")
    user = getattr(request, "user", None)
    return permissions.NOTHING if user is None else rights_of(user)
