"""What was done to a key, line by line."""

from __future__ import annotations

from dataclasses import dataclass

from django import template

from stores.services.keytokens import SealedKey
from stores.services.relief import KeyResult, PlannedKey
from stores.templatetags.kv_bytes import DOTS, key_title

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
    lines = [Line(True, f"Read {store}: {name}{result.before.decoded.value_label if result.before else 'no such key'}")]
    if result.state != "done":
        said = {"gone": "It was gone already", "changed": "Left alone, it has changed since you saw it"}.get(result.state, result.message)
        return [*lines, Line(result.state == "gone", said)]
    if result.before is None or result.before.decoded.slug == "greylist":
        shown = "it is gone" if result.after is None else result.after.decoded.value_label or "it is there"
        return [*lines, Line(True, "Written with 30 days to live"), Line(result.after is not None, f"Read again: {shown}")]
    lines.append(Line(True, "Moved to the trash, it was unchanged"))
    if result.after is None:
        return [*lines, Line(True, "Read again: the key is gone")]
    return [*lines, Line(False, f"Read again: counted anew, {result.after.decoded.value_label}")]
