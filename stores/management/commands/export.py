"""`export`: the keys of a filter as a file."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, KvCommand, usage
from stores.management.selection import SHAPE, add_filter, filter_of
from stores.registry import find_store
from stores.services.bulk_export import export
from stores.services.filters import parse_hex


class Command(KvCommand):
    help = (
        "Write the keys of a filter to standard output as JSON Lines or CSV. Codes and keys that give access are left out unless --secrets."
    )
    details = f"""\
  export memstore > memstore.jsonl
  export memstore --class greylist --csv > greylist.csv
  export memstore --after 7573657261 >> memstore.jsonl

The lines are those of `keys --json`, streamed, with the expiry as an absolute time:
{SHAPE}
Columns of the CSV: key_hex, key, class, kind, value_hex, counter, expires_at, expires, label, value. Text that a spreadsheet would
run as a formula begins with a quote. An outage in the middle ends with exit code 1: the file is not complete then."""
    json_help = "JSON Lines, which is what comes without --csv too"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        add_filter(parser)
        parser.add_argument("--secrets", action="store_true", help="also codes and keys that give access; keep the file safe")
        parser.add_argument("--after", metavar="HEX", default="", help="go on after this key, the last of a file that was interrupted")
        parser.add_argument("--csv", action="store_true", help="comma separated values instead of JSON Lines")

    def run(self, options: dict[str, Any]) -> int:
        store, wanted = find_store(options["store"]), filter_of(options)
        with usage():
            after = parse_hex(options["after"], "after") if options["after"] else None
        for piece in export(self.actor, store, wanted, "csv" if options["csv"] else "jsonl", secrets=options["secrets"], after=after):
            self.stdout.write(piece.decode(), ending="")
        return DONE
