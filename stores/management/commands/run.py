"""`run`: one run, and what can be done about it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, Error, KvCommand
from stores.management.commands.runs import described, done
from stores.management.progress import progress
from stores.models import Run, RunAction, RunState
from stores.services import bulk, bulk_undo, census, purge, run_control, runs
from stores.services.bulk_receipt import receipt
from stores.types import Pace


class Command(KvCommand):
    help = "Show one run; pause, resume or cancel it, give it another pace, or go on with one that ended early."
    details = """\
  run 0b0e6f0c-1f2a-4d55-9d0a-3f0c6a1f0b11 --log
  run 0b0e6f0c-1f2a-4d55-9d0a-3f0c6a1f0b11 --go-on

--go-on takes a purge, bulk change or import that failed, was stopped or cancelled from its recorded position, a count from its start,
in this process; what it does twice because of that changes nothing. The file of an import is kept for a day after it ended early.

With --json the shape of `runs`; with --receipt always the receipt of a bulk change as on its page. Exit code 1 when a run that went on
did not come to its end."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run_id", metavar="RUN", help="id of the run, as `runs` lists it")
        acts = parser.add_mutually_exclusive_group()
        acts.add_argument("--pause", action="store_true", help="stop after the present step and keep the place")
        acts.add_argument("--resume", action="store_true", help="hand a paused run to the workers again")
        acts.add_argument("--cancel", action="store_true", help="end it; what was done stays done")
        acts.add_argument("--go-on", action="store_true", help="go on with a run that ended early")
        acts.add_argument("--undo", action="store_true", help="put back what a bulk change removed or overwrote, by the workers")
        acts.add_argument("--pace", choices=[pace.value for pace in Pace], help="another pace, taken within a second")
        acts.add_argument("--log", action="store_true", help="what it said, and its course")
        acts.add_argument("--receipt", action="store_true", help="what a bulk change did, as JSON")

    def run(self, options: dict[str, Any]) -> int:
        found = runs.find(options["run_id"])
        if options["log"]:
            for line in run_control.log_lines(found):
                self.line(line)
            return DONE
        if options["receipt"]:
            if found.action != RunAction.BULK:
                raise Error("Only bulk changes have a receipt.")
            self.stdout.write(json.dumps(receipt(found), indent=2))
            return DONE
        if options["go_on"]:
            return self._go_on(found, options)
        return self._shown(self._acted(found, options), options)

    def _acted(self, found: Run, options: dict[str, Any]) -> Run:
        if options["pause"]:
            return runs.request_pause(self.actor, found)
        if options["resume"]:
            return runs.resume(self.actor, found)
        if options["cancel"]:
            return runs.request_cancel(self.actor, found)
        if options["undo"]:
            return bulk_undo.start(self.actor, found)
        return run_control.change_pace(self.actor, found, Pace(options["pace"])) if options["pace"] else found

    def _go_on(self, found: Run, options: dict[str, Any]) -> int:
        queued = run_control.go_on(self.actor, found, send=False)
        if queued.action == RunAction.CENSUS:
            ended = census.execute(queued.pk)
        else:
            execute = purge.execute if queued.action == RunAction.PURGE else bulk.execute
            ended = execute(queued.pk, None if options["json"] else progress(self.stderr))
        if ended is None:
            raise Error("A worker has taken the run; look at it with `runs --active`.")
        self._shown(ended, options)
        return DONE if ended.state == RunState.DONE else REFUSED

    def _shown(self, found: Run, options: dict[str, Any]) -> int:
        if options["json"]:
            self.json(described(found))
        else:
            share = "" if found.progress is None else f", {found.progress:.0%}"
            what = found.params.get("do") or found.action
            self.line(
                f"{what} of {found.store_name}: {found.state}{share}, {done(found)} done, {found.scanned} read, {found.seconds:.1f} s."
            )
            if found.error:
                self.line(found.error)
        return DONE
