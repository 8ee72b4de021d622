"""The rows of the key list, drawn without a template each: a hundred of them are most of what the page costs."""

from __future__ import annotations

import time

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from stores.models import Store
from stores.services.keytokens import EMPTY, token_of
from stores.services.rows import Row
from stores.templatetags import words
from stores.templatetags.kv_bytes import chip, key_title, keyline, link_key, value_line
from stores.templatetags.kv_may import allowed
from stores.texts import shown

register = template.Library()

NOTHING = mark_safe("")
# Roles in words: browsers forget what a table is whose rows are laid out as a grid.
_ROW = (
    '<tr role="row"{}><td role="cell" class="c-pick">{}</td>'
    '<td role="cell" class="c-subject">{}<span class="kv-l2 kv-bytes">{}</span></td>'
    '<td role="cell" class="c-class">{}</td>'
    '<td role="cell" class="c-value"><span class="kv-l1 is-cut{}">{}</span><span class="kv-l2">{}</span></td>'
    "{}</tr>\n"
)
_SUBJECT = '<a class="kv-subject kv-l1 is-cut" href="{}{}/">{}</a>'
_UNVERIFIED = '<span class="kv-l1"><a class="kv-subject" href="{}{}/">{}</a><span class="kv-tag">{}</span></span>'
_PICK = '<input class="form-check-input" type="checkbox" name="pick" value="{}:{}" data-kv-pick aria-label="{}">'
_LATER = (
    '<td role="cell" class="num c-exp" title="{}"><time class="kv-l1 is-cut" datetime="{}" data-kv-ago="{}">{}</time>'
    '<span class="kv-l2">{}</span></td>'
)
_EXPIRED = (
    '<td role="cell" class="num c-exp" title="{}">'
    '<span class="kv-l1 is-cut kv-is-warn">{} <time datetime="{}" data-kv-ago="{}">{}</time></span>'
    '<span class="kv-l2">{}</span></td>'
)
_NO_TIME = '<td role="cell" class="num c-exp"><span class="kv-l1 is-cut{}">{}</span><span class="kv-l2">{}</span></td>'


class Rows:
    """What all rows of one page share: where their links lead, whether they can be picked, and the words in them."""

    def __init__(self, store: Store, picking: bool) -> None:
        self.base = reverse("stores:key", args=[store.pk, b""]).removesuffix(f"{EMPTY}/")
        self.picking = picking
        self.now = time.time()
        self.select, self.expired, self.unverified = _("Select %(row)s, %(title)s"), _("expired"), _("unverified")
        self.never = format_html(_NO_TIME, "", _("never"), _("kept until deleted"))
        self.unknown = format_html(_NO_TIME, " kv-muted", _("not known"), _("malformed row"))

    def drawn(self, row: Row) -> SafeString:
        """One row; every text in it is escaped."""
        entry, decoded = row.entry, row.decoded
        token, title = token_of(link_key(row)), key_title(row)
        return format_html(
            _ROW,
            mark_safe(' class="is-broken"') if entry.problem else NOTHING,
            self._pick(row, token, title) if self.picking else NOTHING,
            self._subject(row, token, title),
            keyline(row),
            chip(row),
            " kv-is-warn" if entry.problem else NOTHING,
            entry.problem or decoded.value_label,
            value_line(row),
            self._expiry(row),
        )

    def _subject(self, row: Row, token: str, title: str) -> SafeString:
        if row.decoded.unverified:
            return format_html(_UNVERIFIED, self.base, token, title, self.unverified)
        return format_html(_SUBJECT, self.base, token, title)

    def _pick(self, row: Row, token: str, title: str) -> SafeString:
        label = self.select % {"row": shown(title), "title": shown(row.decoded.title)}
        return format_html(_PICK, token, row.entry.etag, label)

    def _expiry(self, row: Row) -> SafeString:
        """How long it is kept, over the moment; to the second on hover."""
        at = row.entry.expires_at
        if at is None:
            return self.unknown if row.entry.problem else self.never
        long, iso, left = words.absolute(at), words.iso(at), words.relative(at, self.now)
        short = words.absolute(at, "short", self.now)
        if row.expired:
            return format_html(_EXPIRED, long, self.expired, iso, at, left, short)
        return format_html(_LATER, long, iso, at, left, short)


@register.simple_tag(takes_context=True)
def key_rows(context: template.Context, store: Store, rows: tuple[Row, ...]) -> SafeString:
    """All rows of a page; about 0.1 ms each."""
    drawing = Rows(store, not store.read_only and allowed(context, "edit"))
    return mark_safe("".join(drawing.drawn(row) for row in rows))  # noqa: S308  (each by format_html)
