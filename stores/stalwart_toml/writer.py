"""Definitions back to a configuration that Stalwart reads (store-formats f)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from stores.stalwart_toml.options import has_macro, options_of
from stores.stalwart_toml.plan import PlannedStore

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"})


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """The text, and what it cannot say. Not shown by repr: the text may hold passwords."""

    text: str
    left_out: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"Written({len(self.text)} characters, {len(self.left_out)} left out)"


def write(stores: Iterable[PlannedStore], default: str = "") -> Written:
    """Stores, lookups and the default as TOML. Secrets are written as given: mask them first where they must not show.

    What Stalwart's TOML has no words for is left out and named: options of other versions, backslashes in keys.
    """
    parts: list[str] = []
    left_out: list[str] = []
    if default:
        parts.append(f"[storage]\nlookup = {quoted(default)}\n")
    for store in stores:
        lines = _static(store, left_out) if store.type == "static" else _options(store, left_out)
        if lines:
            parts.append("\n".join(lines) + "\n")
    return Written("\n".join(parts), tuple(left_out))


def write_schedule(store_id: str, frequency: str) -> str:
    """The two lines that give a store this purge schedule."""
    return f"[store.{_key(store_id)}.purge]\nfrequency = {quoted(frequency)}\n"


def quoted(value: str) -> str:
    """A value in quotes on one line: exactly this text when Stalwart reads it."""
    return f'"{value.translate(_ESCAPES)}"'


def _options(store: PlannedStore, left_out: list[str]) -> list[str]:
    table = "http-lookup" if store.type == "http" else "store"
    known = options_of(store.type)
    lines = [f"[{table}.{_key(store.id)}]"]
    if store.type != "http":
        lines.append(f"type = {quoted(store.type)}")
    for name, value in store.settings.items():
        option = known.get(name)
        if option is None:
            left_out.append(f"{store.id}: {name} is no option of Stalwart's TOML.")
        elif option.many:
            lines.append(f"{name} = [{', '.join(quoted(line) for line in value.splitlines() if line)}]")
        else:
            lines.append(f"{name} = {quoted(value)}")
    if store.purge:
        lines.append(f"purge.frequency = {quoted(store.purge)}")
    return lines


def _static(store: PlannedStore, left_out: list[str]) -> list[str]:
    if "." in store.id:
        left_out.append(f"{store.id}: a static list cannot have a dot in its id.")
        return []
    lines = [f"[lookup.{_key(store.id)}]"]
    for key, value in store.entries:
        if "\\" in key or "\n" in key:
            left_out.append(f"{store.id}: the key {key!r} holds a backslash or a line break, which Stalwart's TOML loses.")
            continue
        if has_macro(value) or "%{cfg:" in value:
            left_out.append(f"{store.id}: Stalwart would replace the macro in the value of {key!r}.")
            continue
        lines.append(f"{_key(key)} = {quoted(value)}")
    return lines if len(lines) > 1 else []


def _key(name: str) -> str:
    return '"' + name.replace('"', '\\"') + '"'
