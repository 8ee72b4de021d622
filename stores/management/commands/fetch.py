"""`fetch`: the list of an HTTP lookup, now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, KvCommand, local
from stores.registry import find_store
from stores.services import http_lookups


class Command(KvCommand):
    help = "Fetch the list of an HTTP lookup now. When that fails the copy of before stays, and the exit code is 1."
    details = """\
With --json: {"store", "ok", "error", "entries", "left_out", "cut", "bytes", "fetched_at", "next_at"}. Times are Unix seconds;
"fetched_at" is null while there is no copy. "cut" says that limits.entries ended the reading, "left_out" counts entries that cannot
be kept (keys of more than 512 characters, texts with NUL)."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="an HTTP lookup")

    def run(self, options: dict[str, Any]) -> int:
        store = find_store(options["store"])
        row = http_lookups.fetch_now(self.actor, store)
        if options["json"]:
            times = {name: int(at.timestamp()) if at else None for name, at in (("fetched_at", row.fetched_at), ("next_at", row.next_at))}
            found = {"store": store.id, "ok": not row.error, "error": row.error or None, "entries": row.entries, "left_out": row.left_out}
            self.json(found | {"cut": row.cut, "bytes": row.bytes} | times)
        elif row.error:
            kept = f"The copy of {local(row.fetched_at)} stays." if row.fetched_at else "There is no copy yet."
            self.stderr.write(f"{row.error} {kept}")
        else:
            more = f", {row.left_out} left out" * bool(row.left_out) + ", cut by limits.entries" * row.cut
            self.line(f"{row.entries} entr{'y' if row.entries == 1 else 'ies'}{more}.")
        return REFUSED if row.error else DONE
