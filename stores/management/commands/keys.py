"""`keys`: the keys of a store."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, KvCommand, expiry_words
from stores.management.selection import SHAPE, add_filter, filter_of
from stores.registry import find_store
from stores.services import reveal
from stores.services.browse import Row, json_row, stream_keys


class Command(KvCommand):
    help = "List keys, expired and malformed ones included. Memory stays flat whatever the store's size."
    json_help = "JSON Lines, one an entry"
    details = f"""\
With --json, one line an entry:
{SHAPE}
Data stores are listed in key order, Redis in its own. The bytes are exact, those of codes and tokens too: how many of them were
written is in the audit. Without --json secrets stay hidden."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        add_filter(parser)
        parser.add_argument("--limit", type=int, metavar="N", help="stop after N keys")

    def run(self, options: dict[str, Any]) -> int:
        store, wanted, secrets = find_store(options["store"]), filter_of(options), 0
        try:
            for row in stream_keys(store, wanted, options["limit"], whole=options["json"]):
                if options["json"]:
                    secrets += row.secret
                    self.json(json_row(row))
                else:
                    self.line(words(row))
        finally:
            reveal.printed(self.actor, store, secrets)
        return DONE


def key_words(row: Row) -> str:
    """Hex of a key for people: of one that gives access only the first byte."""
    key = row.entry.key
    return f"{key[:1].hex()}.. (hidden)" if row.decoded.secret_key else key.hex() or "(empty key)"


def words(row: Row) -> str:
    """A row on one line for people: hex of the key, class, what it is, when it expires."""
    entry, decoded = row.entry, row.decoded
    value = decoded.value_label or decoded.problem or entry.problem
    parts = (key_words(row), decoded.slug or "-", entry.kind.value, decoded.label, value, expiry_words(entry.expires_at))
    return "  ".join(part for part in parts if part)
