"""`import`: keys from a file into a store."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, USAGE, Error, KvCommand, confirm
from stores.management.commands.keys import words
from stores.management.dryrun import promises
from stores.management.progress import progress
from stores.models import RunState
from stores.registry import find_store
from stores.services import bulk, keyfile_import, keyfile_spool
from stores.services.bulk_change import Clash
from stores.services.bulk_receipt import receipt as receipt_of
from stores.services.keyfile_import import Options, Preview, WrongLines
from stores.services.keyfile_lines import FORMATS
from stores.types import Pace

_PIECE: Final = 1 << 20


class Command(KvCommand):
    help = "Write the keys of a file into a store: JSON Lines or CSV as `export` writes them, or written by hand."
    details = """\
Reads the whole file first and says what it would do; asks before it writes, and without a terminal needs --yes. Expired rows are
skipped. Every key is read again after it was written. `restore --run` takes an import back.

  import memstore memstore.jsonl --dry-run
  zcat backup.jsonl.gz | import memstore - --conflicts overwrite --yes

Fields of a row, by name in JSON or in the first line of a CSV: key_hex or key; value_hex or value, or counter; kind (value, counter,
lock); expires_at (Unix seconds, nothing for never) or expires ("2 days", "2030-01-31 18:00", "never").

With --json: the receipt of the run, as of `copy`, with "left_out"; with --dry-run {"store", "dry_run", "format", "rows", "new",
"clashes", "same", "expired", "left_out", "impossible", "wrong", "bytes", "seconds", "problems": [{"line", "field", "message"}]}. Exit
code 1 when lines are wrong or keys could not be written."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store to write; '' is the default lookup store")
        parser.add_argument("file", metavar="FILE", help="the file; - is standard input")
        parser.add_argument("--format", choices=FORMATS, help="as the first bytes tell, unless given")
        parser.add_argument(
            "--conflicts",
            choices=[clash.value for clash in Clash],
            default=Clash.SKIP.value,
            help="what to do with a key that the store holds with another content; skip by default",
        )
        parser.add_argument("--skip-wrong-lines", action="store_true", help="leave out and name lines that are wrong, instead of refusing")
        parser.add_argument("--no-undo", action="store_true", help="keep nothing in the trash")
        parser.add_argument("--pace", choices=[pace.value for pace in Pace], default=Pace.NORMAL.value, help="how hard to press")
        parser.add_argument("--dry-run", action="store_true", help="read and compare, change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def run(self, options: dict[str, Any]) -> int:
        store = find_store(options["store"])
        wrong = WrongLines.SKIP if options["skip_wrong_lines"] else WrongLines.STOP
        chosen = Options(Clash(options["conflicts"]), wrong, not options["no_undo"], options["format"], time.time())
        with ExitStack() as stack:
            upload = keyfile_import.accept(_pieces(options["file"]))
            stack.callback(keyfile_spool.remove, upload)
            shown = keyfile_import.preview(self.actor, store, upload, chosen, None)
            if options["dry_run"] or shown.blocked:
                return self._told(store.id, shown, options)
            found = shown.found
            confirm(f"Write {found.rows} keys into store {store.id}? {promises(shown, Pace(options['pace']))}", options["yes"], found.rows)
            wanted = keyfile_import.confirmed(store, shown.token, str(found.rows))
            stack.pop_all()
        shown_as = None if options["json"] else progress(self.stderr)
        run = bulk.import_in_foreground(self.actor, store, wanted, Pace(options["pace"]), shown_as)
        receipt = receipt_of(run)
        if options["json"]:
            self.json(receipt)
        else:
            self.line(f"{receipt['done']} keys imported, {receipt['same']} were there already.")
            self.line(f"{receipt['skipped']} skipped, {receipt['kept']} changed meanwhile, {receipt['failed']} failed.")
            for failure in receipt["failures"]:
                self.stderr.write(f"{failure['key']}: {failure['reason']}")
            self.line(f"Undo: restore {store.id} --run {run.pk}")
            if run.state != RunState.DONE:
                self.line(f"Go on: run {run.pk} --go-on")
        if run.error:
            raise Error(run.error)
        return DONE if run.state == RunState.DONE and not receipt["kept"] + receipt["failed"] else REFUSED

    def _told(self, store_id: str, shown: Preview, options: dict[str, Any]) -> int:
        found, pace = shown.found, Pace(options["pace"])
        problems = [{"line": each.line, "field": each.field, "message": each.message} for each in found.problems]
        names = ("rows", "new", "clashes", "same", "expired", "left_out", "impossible", "wrong", "bytes")
        if options["json"]:
            counts = {name: getattr(found, name) for name in names}
            seconds = round(shown.seconds[pace], 3)
            self.json({"store": store_id, "dry_run": True, "format": shown.format, **counts, "seconds": seconds, "problems": problems})
        else:
            for row in found.samples:
                self.line(words(row))
            self.line(promises(shown, pace))
            self.line(f"{found.rows} keys would be written, {found.new} of them new; {found.same} are there already.")
            self.line(f"{found.clashes} are there with another content, {found.expired} have expired, {found.left_out} are left out.")
        for each in found.problems:
            self.stderr.write(str(each))
        if shown.blocked and not options["dry_run"]:
            raise Error(shown.blocked, returncode=REFUSED if found.wrong else DONE)
        return REFUSED if found.wrong or found.impossible else DONE


def _pieces(name: str) -> Iterator[bytes]:
    try:
        with ExitStack() as stack:
            file = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise Error(f"{name}: {error.strerror}.", returncode=USAGE) from None
