"""`incr`: add to a counter."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, KvCommand, add_hex, key_of, usage
from stores.management.selection import SHAPE
from stores.registry import find_store
from stores.services import edit
from stores.services.browse import json_row
from stores.services.durations import parse_expiry


class Command(KvCommand):
    help = "Add to a counter in one atomic step and print the new number. A counter that does not exist begins at 0."
    details = f"""\
The expiry stays as it is unless --ttl is given. An expired counter goes on from its old number until a purge removes it, as
with Stalwart.

With --json, the row as it is stored now:
{SHAPE}"""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        parser.add_argument("key", metavar="KEY")
        parser.add_argument("delta", metavar="N", nargs="?", type=int, default=1, help="how much, 1 by default; may be negative")
        add_hex(parser)
        parser.add_argument("--ttl", metavar="WHEN", default="", help="also set the expiry; forms as in `ttl`")

    def run(self, options: dict[str, Any]) -> int:
        store, key = find_store(options["store"]), key_of(options["key"], options)
        with usage():
            expires = parse_expiry(options["ttl"], time.time())
        row = edit.increment(self.actor, store, key, options["delta"], expires)
        if options["json"]:
            self.json(json_row(row))
        else:
            self.line(str(row.entry.counter))
        return DONE
