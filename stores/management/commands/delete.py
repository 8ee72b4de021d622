"""`delete`: remove keys."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from stores.management import dryrun
from stores.management.base import DONE, REFUSED, USAGE, Error, KvCommand, add_hex, confirm, key_of
from stores.management.progress import progress
from stores.management.selection import add_filter, filter_of
from stores.models import Run, RunState, Store
from stores.registry import find_store
from stores.services import bulk, edit
from stores.services.browse import KeyFilter, read_key
from stores.services.bulk_change import Do, make_change
from stores.services.bulk_preview import Confirmed, preview
from stores.services.bulk_record import Record
from stores.types import ANYTHING, Pace


class Command(KvCommand):
    help = "Delete keys by name, or all keys of a filter. They go to the trash; `restore` brings them back."
    details = """\
Asks before it deletes; without a terminal it needs --yes.

  delete memstore vip/ana@example.org
  delete memstore --class rate-auth --text 203.0.113.0/24 --dry-run

With --json: {"store", "dry_run", "matched", "deleted", "kept", "bytes", "run"}. "kept" counts keys that changed in between or
could not be deleted; "run" is the id for `restore --run`, null for keys by name. Exit code 1 when keys were kept or missing."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        parser.add_argument("keys", metavar="KEY", nargs="*")
        add_hex(parser)
        add_filter(parser)
        parser.add_argument("--pace", choices=[pace.value for pace in Pace], default=Pace.NORMAL.value, help="how hard to press")
        parser.add_argument("--dry-run", action="store_true", help="count and show samples, change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def run(self, options: dict[str, Any]) -> int:
        store, wanted = find_store(options["store"]), filter_of(options)
        if bool(options["keys"]) is not wanted.empty:
            raise Error("Give either keys or a filter (--class, --prefix, --match, ...).", returncode=USAGE)
        if options["keys"]:
            return self._by_name(store, [key_of(key, options) for key in options["keys"]], options)
        return self._by_filter(store, wanted, options)

    def _by_name(self, store: Store, keys: list[bytes], options: dict[str, Any]) -> int:
        if options["dry_run"]:
            rows = [row for key in keys if (row := read_key(store, key))]
            self._report(options, store, matched=len(rows), size=sum(row.entry.size for row in rows))
            return DONE if len(rows) == len(keys) else REFUSED
        confirm(f"Delete {len(keys)} keys of store {store.id}?", options["yes"])
        outcomes = edit.delete_many(self.actor, store, [(key, ANYTHING) for key in keys])
        for outcome in outcomes:
            if outcome.state != "deleted":
                self.stderr.write(f"{outcome.key.hex() or '(empty key)'}: {outcome.message}")
        deleted = sum(outcome.state == "deleted" for outcome in outcomes)
        kept = sum(outcome.state in ("changed", "failed") for outcome in outcomes)
        self._report(options, store, matched=deleted + kept, deleted=deleted, kept=kept)
        return DONE if deleted == len(keys) else REFUSED

    def _by_filter(self, store: Store, wanted: KeyFilter, options: dict[str, Any]) -> int:
        change, pace = make_change(Do.DELETE, wanted, time.time()), Pace(options["pace"])
        shown = preview(store, change, None)
        found = shown.found
        if options["dry_run"] or not found.keys:
            if not options["json"] and found.keys:
                dryrun.show(self, shown, pace)
            self._report(options, store, matched=found.keys, size=found.bytes)
            return DONE
        size, promised = f"{found.bytes} bytes", dryrun.promises(shown, pace)
        confirm(f"Delete {found.keys} keys ({size}) of store {store.id}? {promised}", options["yes"], found.keys)
        wanted_as = Confirmed(change, found.keys, True, found.bytes)
        run = bulk.run_in_foreground(self.actor, store, wanted_as, pace, None if options["json"] else progress(self.stderr))
        record = Record.of(run)
        kept = record.kept + record.failed
        self._report(options, store, matched=record.done + record.same + kept, deleted=run.removed, kept=kept, size=run.bytes, run=run)
        if run.error:
            raise Error(run.error)
        return DONE if run.state == RunState.DONE and not kept else REFUSED

    def _report(
        self,
        options: dict[str, Any],
        store: Store,
        *,
        matched: int,
        deleted: int = 0,
        kept: int = 0,
        size: int | None = None,
        run: Run | None = None,
    ) -> None:
        if options["json"]:
            shown = {"store": store.id, "dry_run": options["dry_run"], "matched": matched, "deleted": deleted, "kept": kept}
            self.json({**shown, "bytes": size, "run": None if run is None else str(run.pk)})
        elif options["dry_run"]:
            self.line(f"{matched} keys would be deleted" + ("." if size is None else f", {size} bytes."))
        else:
            self.line(f"{deleted} keys deleted" + (f", {kept} kept." if kept else "."))
            if run is not None:
                self.line(f"Undo: restore {store.id} --run {run.pk}")
