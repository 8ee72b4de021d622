"""`copy`: keys of a filter into another store."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from stores.management import dryrun
from stores.management.base import DONE, REFUSED, Error, KvCommand, confirm
from stores.management.progress import progress
from stores.management.selection import add_filter, filter_of
from stores.models import RunState, Store
from stores.registry import find_store
from stores.services import bulk
from stores.services.bulk_change import Clash, Do, make_change, require_possible
from stores.services.bulk_preview import Confirmed, Preview, preview
from stores.services.bulk_receipt import receipt as receipt_of
from stores.types import Pace


class Command(KvCommand):
    help = "Copy, or move, the keys of a filter into another store of any type. Expiry and kind are kept, every copy is read again."
    details = """\
Asks before it writes; without a terminal it needs --yes. Keys that have expired stay where they are. Running it again copies
only what is missing.

  copy memstore cache --class rate-auth --dry-run
  copy memstore cache --yes

With --json: the receipt of the run: {"run", "store", "state", "error", "seconds", "change", "done", "same", "skipped", "kept",
"failed", "undoable", "bytes", "checksum", "failures", ...}; with --dry-run {"store", "to", "dry_run", "matched", "bytes",
"seconds", "undoable"}. Exit code 1
when a key was left for any reason but being there already."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store to read; '' is the default lookup store")
        parser.add_argument("to", metavar="TO", help="the store to write")
        add_filter(parser)
        parser.add_argument("--move", action="store_true", help="delete each key from STORE once its copy was read again")
        parser.add_argument(
            "--conflicts",
            choices=[clash.value for clash in Clash],
            default=Clash.SKIP.value,
            help="what to do with a key that TO holds with another content; skip by default",
        )
        parser.add_argument("--pace", choices=[pace.value for pace in Pace], default=Pace.NORMAL.value, help="how hard to press")
        parser.add_argument("--dry-run", action="store_true", help="count, change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def run(self, options: dict[str, Any]) -> int:
        store, target, wanted = find_store(options["store"]), find_store(options["to"]), filter_of(options)
        do = Do.MOVE if options["move"] else Do.COPY
        change = make_change(do, wanted, time.time(), to=target.id, clash=Clash(options["conflicts"]))
        require_possible(store, change)
        pace, shown = Pace(options["pace"]), preview(store, change, None)
        if options["dry_run"]:
            return self._counted(store, target, shown, pace, options["json"])
        verb, found = "Move" if options["move"] else "Copy", shown.found
        promised = dryrun.promises(shown, pace)
        confirm(f"{verb} {found.keys} keys of store {store.id} to {target.id}? {promised}", options["yes"], found.keys)
        wanted_as = Confirmed(change, found.keys, True, found.bytes)
        run = bulk.run_in_foreground(self.actor, store, wanted_as, pace, None if options["json"] else progress(self.stderr))
        receipt = receipt_of(run)
        if options["json"]:
            self.json(receipt)
        else:
            self.line(f"{receipt['done']} keys {'moved' if options['move'] else 'copied'}, {receipt['same']} were there already.")
            self.line(f"{receipt['skipped']} skipped, {receipt['kept']} changed meanwhile, {receipt['failed']} failed.")
            for failure in receipt["failures"]:
                self.stderr.write(f"{failure['key']}: {failure['reason']}")
            if run.state != RunState.DONE:
                self.line(f"Go on: run {run.pk} --go-on")
        if run.error:
            raise Error(run.error)
        left = receipt["kept"] + receipt["failed"]
        return DONE if run.state == RunState.DONE and not left else REFUSED

    def _counted(self, store: Store, target: Store, shown: Preview, pace: Pace, as_json: bool) -> int:
        found = shown.found
        if as_json:
            counts = {"matched": found.keys, "bytes": found.bytes}
            self.json({"store": store.id, "to": target.id, "dry_run": True, **counts, **dryrun.described(shown, pace)})
        else:
            dryrun.show(self, shown, pace)
            self.line(f"{found.keys} keys, {found.bytes} bytes; {found.expired} of them have expired and would stay.")
        return DONE
