"""Any configuration of any version as text -> a plan: tells the forms apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stores.errors import BadConfig
from stores.stalwart_toml.document import Document, Setting
from stores.stalwart_toml.merge import LOCAL_KEYS, is_local, merge_settings
from stores.stalwart_toml.objects import plan_from_config_json, plan_from_objects, registry_objects
from stores.stalwart_toml.parser import parse
from stores.stalwart_toml.plan import ImportPlan
from stores.stalwart_toml.settings import plan_from_settings
from stores.stalwart_toml.source import SourceLine, annotate
from stores.stalwart_toml.variants import load
from stores.texts import say


def read(text: str, source: str, *, table: Mapping[str, str] | None = None, repair: bool = False) -> ImportPlan:
    """The plan of a `config.toml` (0.10 to 0.15), a `config.json`, exported objects (0.16), or the settings of a data store.

    `table`: settings in the data store that go with a config.toml. Raises BadConfig(field="file") when it is none of these.
    """
    if text.lstrip("\ufeff \t\r\n").startswith("{") or _is_json_list(text):
        return _read_json(load(text.lstrip("\ufeff")), source)
    document = parse(text, repair=repair)
    if not document.settings and not text.strip():
        raise BadConfig(say("The file is empty."), say("Give Stalwart's config.toml, or config.json from 0.16 on."), "file")
    if table:
        document = merge_settings(document, table)
    return plan_from_settings(document, source)


def read_table(data: Any) -> dict[str, str] | None:
    """The settings of a data store as an object of names to texts; None when the JSON is something else."""
    if isinstance(data, Mapping) and data and "@type" not in data and all(isinstance(value, str) for value in data.values()):
        return {str(name): value for name, value in data.items()}
    return None


def source_lines(text: str, plan: ImportPlan, *, repair: bool = False) -> tuple[SourceLine, ...]:
    """The lines of a config.toml for the preview, without secrets; empty for the other forms."""
    return annotate(text, parse(text, repair=repair), plan) if plan.dialect == "toml" else ()


def _is_json_list(text: str) -> bool:
    """A JSON array of objects; a TOML file begins with `[` too, but never with `[{`."""
    return "".join(text[:200].split()).startswith("[{")


def _read_json(data: Any, source: str) -> ImportPlan:
    objects = registry_objects(data)
    if objects is not None:
        return plan_from_objects(objects, source)
    if isinstance(data, Mapping) and isinstance(data.get("@type"), str):
        return plan_from_config_json(data, source)
    whole = read_table(data.get("settings")) if isinstance(data, Mapping) else None
    if whole is not None:
        # together as a running server has them: what belongs to its file holds macros, what comes from its data store does not
        mixed = {name: Setting(value, from_database=not is_local(name, LOCAL_KEYS)) for name, value in sorted(whole.items())}
        return plan_from_settings(Document(mixed), source, "settings")
    table = read_table(data)
    if table is not None:
        settings = {name: Setting(value, from_database=True) for name, value in sorted(table.items())}
        return plan_from_settings(Document(settings), source, "settings")
    raise BadConfig(
        say("This JSON is no configuration of Stalwart."),
        say('Give a config.json with its "@type", exported objects, or the settings of a data store as names and texts.'),
        "file",
    )
