"""`census`: count a store."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, KvCommand, local
from stores.registry import find_store
from stores.services import census


class Command(KvCommand):
    help = "Count a store exactly, by class, and keep the result for the pages. Memory stays flat whatever the store's size."
    details = """\
With --json: {"store", "at", "seconds", "exact", "corrupt", "total": {...}, "classes": [{"class", "byte", "keys", "counters", "locks",
"key_bytes", "value_bytes", "never", "expired"}]}. "at" is Unix seconds. User keys have class null and byte null. "keys" counts
values; a row is counted once (a counter with its marker is one counter); kinds that Redis does not know count as values.
"value_bytes" are stored bytes, expiry header included; a number is 8. "total" has the same sums."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")

    def run(self, options: dict[str, Any]) -> int:
        counted = census.count(find_store(options["store"]), self.actor)
        if options["json"]:
            self.json(census.json_census(counted))
            return DONE
        names = ("keys", "counters", "locks", "key_bytes", "value_bytes", "never", "expired")
        rows = [(row["class"] or "user keys", *(str(row[name]) for name in names)) for row in counted.classes]
        rows.append(("total", *(str(counted.total[name]) for name in names)))
        self.table(("CLASS", *(name.upper().replace("_", " ") for name in names)), rows)
        self.line(f"Counted in {counted.seconds:.1f} s at {local(counted.at)}; {counted.corrupt} malformed rows.")
        return DONE
