"""`tidy`: give the space of removed rows back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, Error, KvCommand, confirm
from stores.models import RunState, Store
from stores.registry import find_store
from stores.services import tidy
from stores.templatetags.words import size
from stores.types import TidyOffer


class Command(KvCommand):
    help = "Give the space of removed rows back, the way the engine does it; without --way show what could be done and what it costs."
    details = """\
  tidy other                         what could be done, who waits for it, the disk it needs
  tidy other --way vacuum            do it, in the foreground; Ctrl-C stops it where the engine can

A way that other programs feel asks first, or wants --yes.

With --json, without --way: {"store", "size", "free", "why", "ways": [{"name", "does", "statements", "locks", "seconds", "room", "disk",
"asks", "refused"}]}; "why" says why nothing is offered, "disk" is null where it is another machine's. With --way: {"id", "store",
"state", "way", "seconds", "before", "after", "bytes", "error"}; "bytes" is what the disk got back."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        parser.add_argument("--way", metavar="WAY", default="", help="do this one of the ways that are offered")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def run(self, options: dict[str, Any]) -> int:
        store = find_store(options["store"])
        found = tidy.offer(store)
        if not options["way"]:
            return self._show(store, found, options["json"])
        asks = next((str(way.asks) for way in found.ways if way.name == options["way"]), "")
        if asks:
            confirm(f"{asks}?", options["yes"])
        run = tidy.run_in_foreground(self.actor, store, options["way"], sure=True)
        if options["json"]:
            self.json(tidy.json_run(run))
        else:
            self.line(f"{run.state}: {run.bytes} bytes given back in {run.seconds:.1f} s.")
        if run.error:
            raise Error(run.error)
        return DONE if run.state == RunState.DONE else REFUSED

    def _show(self, store: Store, found: TidyOffer, as_json: bool) -> int:
        if as_json:
            self.json({"store": store.id, **asdict(found)})
            return DONE
        if found.why:
            self.line(str(found.why))
        for way in found.ways:
            self.line(f"{way.name}: {way.does}")
            self.line(f"  {'; '.join(way.statements)}")
            self.line(f"  {way.locks}")
            self.line(f"  about {way.seconds:.0f} s, {size(way.room)} of disk meanwhile")
            if way.refused:
                self.line(f"  Not now: {way.refused}")
        return DONE
