"""What an HTTP lookup's address gives, before anything is saved; and connection tests that ask other machines for seconds.

Both are errands: JSON in, JSON out, done by a worker while the page polls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from django.utils.translation import gettext as _

from stores.backends.http import TEST_ENTRIES, TEST_SECONDS
from stores.backends.httpfetch import Fetched, fetch
from stores.codecs.httplists import HttpOptions, parse_options
from stores.errors import StoreError
from stores.registry import find_store, resolve_macros
from stores.services import definitions, store_settings
from stores.services.http_lookups import HTTP
from stores.types import Check, CheckState

SHOWN: Final = 20
"""Entries of a preview."""
SHOWN_CHARACTERS: Final = 120


def checked(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings of an HTTP lookup as they are stored. Raises BadConfig that names the one that is wrong."""
    found = store_settings.checked_settings(HTTP, settings)
    parse_options(found)
    return found


def preview(params: Mapping[str, Any]) -> dict[str, Any]:
    """Fetch the beginning of a list, for at most five seconds. `params`: `settings` by Stalwart's names.

    Answers `checks`, `sample` (pairs of key and value), `entries` and `cut`. Raises BadConfig that names the setting.
    """
    options = parse_options(resolve_macros(checked(params["settings"])))
    try:
        found = fetch(replace(options, timeout=min(TEST_SECONDS, options.timeout), max_entries=min(TEST_ENTRIES, options.max_entries)))
    except StoreError as error:
        return {"checks": as_json([Check(_("Fetch"), CheckState.FAILED, error.message, error.fix)]), "sample": [], "entries": 0}
    sample = [[_short(key), _short(value) or "1"] for key, value in (found.entries or ())[:SHOWN]]
    return {"checks": as_json(_checks(found, options)), "sample": sample, "entries": len(found.entries or ()), "cut": found.cut}


def test(params: Mapping[str, Any]) -> dict[str, Any]:
    """The connection test of a saved store. `params`: `store`. Answers `checks`."""
    return {"checks": as_json(definitions.test_store(find_store(params["store"])))}


def as_json(checks: Iterable[Check]) -> list[dict[str, str]]:
    """Steps as they travel."""
    return [{**asdict(check), "state": check.state.value} for check in checks]


def from_json(checks: Iterable[Mapping[str, str]]) -> list[Check]:
    """The steps of `as_json`."""
    return [Check(check["name"], CheckState(check["state"]), check["detail"], check["fix"]) for check in checks]


def _checks(found: Fetched, options: HttpOptions) -> list[Check]:
    number = len(found.entries or ())
    milliseconds = f"{found.seconds * 1000:.0f}"
    if not number:
        words = _("The address answers in %(ms)s ms, and nothing in it is an entry.") % {"ms": milliseconds}
        return [Check(_("Fetch"), CheckState.WARN, words, _("Check the format and the column of the key."))]
    many = _("more than %(number)s entries") if found.cut else _("%(number)s entries")
    size = {"what": many % {"number": f"{number:,}"}, "bytes": f"{found.bytes:,}", "ms": milliseconds}
    checks = [Check(_("Fetch"), CheckState.OK, _("%(what)s, %(bytes)s bytes in %(ms)s ms") % size)]
    cut_cells = sum(len(part.encode()) >= options.max_entry_size for pair in found.entries or () for part in pair)
    if cut_cells and options.csv:
        words = _("%(number)s cells are as long as limits.entry-size allows, and may be cut") % {"number": cut_cells}
        checks.append(Check(_("Cells"), CheckState.WARN, words, _("Raise limits.entry-size if they are.")))
    if options.csv and any("\t" in key or ";" in key for key, _value in (found.entries or ())[:SHOWN]) and options.separator == ",":
        words = _("keys hold tabs or semicolons")
        checks.append(Check(_("Separator"), CheckState.WARN, words, _("Is the separator a comma?")))
    return checks


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
