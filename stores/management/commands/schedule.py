"""`schedule`: when a store is purged."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import CommandParser
from django.utils import timezone

from stores.management.base import DONE, USAGE, Error, KvCommand, usage
from stores.models import Store
from stores.registry import find_store
from stores.services import schedules
from stores.services.schedules import Schedule


class Command(KvCommand):
    help = "Show a store's purge schedule in words with its next 6 runs, or change it."
    details = """\
The frequency is Stalwart's: "minute hour weekday" with single blanks; hour * is hourly, weekday * daily, 1 is Monday.

  schedule memstore --set "0 3 *"
  schedule memstore --from 2027-03-27T12:00 --zone Europe/Berlin
  schedule memstore --set ""          (never purged from here)

With --json: {"store", "frequency", "words", "paused", "pace", "zone", "next": ["2026-11-25T03:00:00+01:00", ...], "notes": [...]}.
"frequency" is null without a schedule. --from and --zone only change what is shown; the schedule itself always runs in the
server's zone."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", help="the store; '' is the default lookup store")
        parser.add_argument("--set", metavar="FREQUENCY", help='such as "0 3 *"; empty: no schedule')
        switch = parser.add_mutually_exclusive_group()
        switch.add_argument("--pause", action="store_true", help="keep the schedule, do not run it")
        switch.add_argument("--resume", action="store_true", help="run it again")
        parser.add_argument("--pace", default="", choices=("gentle", "normal", "fast"), help="how hard scheduled purges press")
        parser.add_argument("--from", dest="start", metavar="ISO", help="show the runs after this time")
        parser.add_argument("--zone", metavar="ZONE", help="show the runs in this zone, such as Europe/Berlin")

    def run(self, options: dict[str, Any]) -> int:
        store = find_store(options["id"])
        zone = _zone(options["zone"])
        start = _start(options["start"], zone)
        if options["set"] is not None or options["pause"] or options["resume"] or options["pace"]:
            self._change(store, options)
        shown = schedules.describe(store.purge_frequency, start, zone, store=store) if store.purge_frequency else Schedule("")
        self._show(store, shown, options)
        return DONE

    def _change(self, store: Store, options: dict[str, Any]) -> None:
        frequency = store.purge_frequency if options["set"] is None else options["set"]
        if not frequency.strip() and (options["pause"] or options["resume"]):
            raise Error(f"Store {store.id} has no schedule to pause or resume.")
        paused = options["pause"] or (store.purge_paused and not options["resume"])
        with usage():
            schedules.set_schedule(self.actor, store, frequency, paused, options["pace"])

    def _show(self, store: Store, shown: Schedule, options: dict[str, Any]) -> None:
        if options["json"]:
            self.json(
                {
                    "store": store.id,
                    "frequency": shown.frequency or None,
                    "words": shown.words,
                    "paused": store.purge_paused,
                    "pace": store.purge_pace,
                    "zone": shown.zone,
                    "next": [run.at.isoformat() for run in shown.next_runs],
                    "notes": [note.text for note in shown.notes],
                }
            )
        elif not shown.frequency:
            self.line(f"Store {store.id} has no schedule.")
        else:
            self.line(f"{shown.frequency}  {shown.words}" + (", paused" if store.purge_paused else "") + f", pace {store.purge_pace}")
            for run in shown.next_runs:
                remarks = [run.change, f"together with {', '.join(run.together)}" if run.together else ""]
                self.line("  ".join([f"{run.at:%a %Y-%m-%d %H:%M %Z}", *filter(None, remarks)]))
            for note in shown.notes:
                self.line(f"{'warning' if note.warning else 'note'}: {note.text}")


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Error(f"There is no time zone {name!r}.", returncode=USAGE) from None


def _start(text: str | None, zone: ZoneInfo | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Error(f"{text!r} is no time; write 2026-11-24T12:00.", returncode=USAGE) from None
    return at if at.tzinfo else at.replace(tzinfo=zone or timezone.get_default_timezone())
