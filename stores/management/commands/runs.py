"""`runs`: what the background is doing, and has done."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, USAGE, Error, KvCommand, local
from stores.models import Run, RunAction
from stores.registry import find_store
from stores.services import runs

MOST = 1000


class Command(KvCommand):
    help = (
        "List runs, newest first: purges, counts, bulk changes, imports, work on space. The first line says whether the workers are alive."
    )
    details = """\
With --json JSON Lines: {"id", "action", "do", "store", "state", "progress", "scanned", "done", "seconds", "started_by", "created_at",
"finished_at", "error"}, times in Unix seconds. "do" is what a bulk change does, null for others. Exit code 1 when workers or scheduler
are silent."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--store", metavar="ID", help="of this store only")
        parser.add_argument("--action", choices=[action.value for action in RunAction], default="", help="of this kind only")
        parser.add_argument("--active", action="store_true", help="only those that are queued, running or paused")
        parser.add_argument("--limit", type=int, default=20, metavar="N", help=f"at most so many, {MOST} at most; 20 by default")

    def run(self, options: dict[str, Any]) -> int:
        if not 1 <= options["limit"] <= MOST:
            raise Error(f"--limit takes 1 to {MOST}.", returncode=USAGE)
        store = find_store(options["store"]) if options["store"] is not None else None
        if options["active"]:
            found = runs.active(store, options["action"])[: options["limit"]]
        else:
            found = list(runs.history(store, options["action"], limit=options["limit"]).runs)
        background = runs.background()
        if options["json"]:
            for run in found:
                self.json(described(run))
        else:
            seen = "never seen" if background.last_seen is None else f"last seen {local(background.last_seen)}"
            self.line(f"Workers and scheduler: {'alive' if background.alive else 'silent'}, {seen}; {background.queued} runs wait.")
            self.table(("RUN", "WHAT", "STORE", "STATE", "DONE", "CREATED", "STARTED BY"), [_cells(run) for run in found])
        return DONE if background.alive else REFUSED


def described(run: Run) -> dict[str, Any]:
    """A run in JSON; a public interface."""
    return {
        "id": str(run.pk),
        "action": run.action,
        "do": run.params.get("do"),
        "store": run.store_name,
        "state": run.state,
        "progress": run.progress,
        "scanned": run.scanned,
        "done": done(run),
        "seconds": round(run.seconds, 3),
        "started_by": run.started_by,
        "created_at": int(run.created_at.timestamp()),
        "finished_at": None if run.finished_at is None else int(run.finished_at.timestamp()),
        "error": run.error or None,
    }


def done(run: Run) -> int:
    """Keys that a run has changed; for a count those that it has read."""
    if run.action == RunAction.BULK:
        return int(run.params.get("record", {}).get("done", 0))
    return run.scanned if run.action == RunAction.CENSUS else run.removed


def _cells(run: Run) -> tuple[str, ...]:
    share = "" if run.progress is None else f" {run.progress:.0%}"
    what = str(run.params.get("do") or run.action)
    return str(run.pk), what, run.store_name, f"{run.state}{share}", str(done(run)), local(run.created_at), run.started_by
