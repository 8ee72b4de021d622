"""`ttl`: when a key expires."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from stores.errors import KeyNotFound
from stores.management.base import DONE, KvCommand, add_hex, expiry_words, key_of, usage
from stores.management.selection import SHAPE
from stores.registry import find_store
from stores.services import edit
from stores.services.browse import json_row, read_key
from stores.services.durations import parse_expiry
from stores.types import KEEP, Keep


class Command(KvCommand):
    help = "Show when a key expires, or change it; value and number stay as they are."
    details = f"""\
WHEN is a duration from now ("90", "1h30m", "2 days"), a time ("2030-01-31 18:00" in the server's zone, or with an offset),
@UNIXSECONDS, or "never".

With --json, the row as it is stored now:
{SHAPE}"""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        parser.add_argument("key", metavar="KEY")
        parser.add_argument("when", metavar="WHEN", nargs="?", default="")
        add_hex(parser)

    def run(self, options: dict[str, Any]) -> int:
        store, key = find_store(options["store"]), key_of(options["key"], options)
        with usage():
            expires = parse_expiry(options["when"], time.time())
        if expires is KEEP or isinstance(expires, Keep):
            row = read_key(store, key)
            if row is None:
                raise KeyNotFound("There is no such key.")
        else:
            row = edit.set_expiry(self.actor, store, key, expires)
        if options["json"]:
            self.json(json_row(row))
        else:
            self.line(expiry_words(row.entry.expires_at))
        return DONE
