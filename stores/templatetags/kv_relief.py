"""What was done to a key, line by line."""

from __future__ import annotations

from dataclasses import dataclass

from django import template
from django.utils.translation import gettext as _

from stores.services.keytokens import SealedKey
from stores.services.relief import KeyResult, PlannedKey
from stores.templatetags.kv_bytes import DOTS, key_title
from stores.texts import shown

register = template.Library()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a result, and whether it is as it should be."""

    ok: bool
    text: str


@register.filter
def target_bytes(each: PlannedKey) -> str:
    """The key of a target that is not there; a secret one as dots."""
    key = each.target.key
    return DOTS if isinstance(key, SealedKey) else bytes(key).hex()


@register.filter
def result_lines(result: KeyResult) -> list[Line]:
    """`Read memstore: 12 in this window`, `Moved to the trash, it was unchanged`, `Read again: the key is gone`."""
    store = result.target.store_id
    name = f"{key_title(result.before)}, " if result.before else ""
    lines = [
        Line(
            True,
            _("Read %(store)s: %(name)s%(value)s")
            % {
                "store": store,
                "name": name,
                "value": shown(result.before.decoded.value_label) if result.before else _("no such key"),
            },
        )
    ]
    if result.state != "done":
        said = {"gone": _("It was gone already"), "changed": _("Left alone, it has changed since you saw it")}.get(
            result.state, result.message
        )
        return [*lines, Line(result.state == "gone", said)]
    if result.before is None or result.before.decoded.slug == "greylist":
        now = _("it is gone") if result.after is None else shown(result.after.decoded.value_label) or _("it is there")
        return [
            *lines,
            Line(True, _("Written with 30 days to live")),
            Line(result.after is not None, _("Read again: %(shown)s") % {"shown": now}),
        ]
    lines.append(Line(True, _("Moved to the trash, it was unchanged")))
    if result.after is None:
        return [*lines, Line(True, _("Read again: the key is gone"))]
    return [*lines, Line(False, _("Read again: counted anew, %(value_label)s") % {"value_label": shown(result.after.decoded.value_label)})]
