"""`purge`: remove what has expired."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, Error, KvCommand, usage
from stores.management.progress import progress
from stores.models import RunState, Store
from stores.registry import find_store
from stores.services import purge
from stores.services.durations import next_time
from stores.types import Pace


class Command(KvCommand):
    help = "Remove expired rows in short transactions, in the foreground. Ctrl-C stops after the present one."
    details = """\
With --json: {"id", "store", "state", "pace", "seconds", "scanned", "values", "counters", "locks", "corrupt", "bytes", "longest_ms",
"error"}. "values", "counters" and "locks" count keys removed, "corrupt" malformed rows that were met and left, "bytes" keys and
rows removed, "longest_ms" the longest transaction, "error" null or words. "state" is done, failed,
cancelled or stopped (at the time of --until); a purge that is not done ends with exit code 1.
With --dry-run the same without "longest_ms", "id" null and "state" "dry-run", and "classes": what would be removed by class,
[{"class", "values", "counters", "locks", "bytes"}]."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        parser.add_argument("--dry-run", action="store_true", help="count what a purge would remove, by class; change nothing")
        parser.add_argument(
            "--pace", choices=[pace.value for pace in Pace], default=Pace.NORMAL.value, help="how hard to press; normal by default"
        )

        parser.add_argument("--until", metavar="HH:MM", default="", help="stop at this time of the server's clock; the rest waits")

    def run(self, options: dict[str, Any]) -> int:
        store = find_store(options["store"])
        with usage():
            until = next_time(options["until"]) if options["until"] else None
        if options["dry_run"]:
            return self._preview(store, options)
        run = purge.run_in_foreground(self.actor, store, Pace(options["pace"]), None if options["json"] else progress(self.stderr), until)
        if options["json"]:
            self.json(purge.json_run(run))
        else:
            self.line(f"{run.state}: {run.removed} of {run.scanned} keys removed, {run.bytes} bytes, in {run.seconds:.1f} s.")
            self.line(f"{run.values} values, {run.counters} counters, {run.locks} locks; {run.corrupt} malformed rows left.")
            self.line(f"The longest transaction took {run.longest_ms:.0f} ms.")
        if run.error:
            raise Error(run.error)
        return DONE if run.state == RunState.DONE else REFUSED

    def _preview(self, store: Store, options: dict[str, Any]) -> int:
        shown = purge.preview(store, self.actor)
        if options["json"]:
            counts = {"seconds": round(shown.seconds, 3), "scanned": shown.scanned, "values": shown.values, "counters": shown.counters}
            more = {"locks": shown.locks, "corrupt": shown.corrupt, "bytes": shown.bytes, "error": None, "classes": list(shown.classes)}
            self.json({"id": None, "store": store.id, "state": "dry-run", "pace": options["pace"], **counts, **more})
            return DONE
        names = ("values", "counters", "locks", "bytes")
        self.table(
            ("CLASS", *(name.upper() for name in names)),
            [(row["class"] or "user keys", *(str(row[name]) for name in names)) for row in shown.classes],
        )
        expired = shown.values + shown.counters + shown.locks
        self.line(f"{expired} of {shown.scanned} keys have expired; {shown.corrupt} malformed rows stay.")
        return DONE
