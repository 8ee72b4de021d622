"""`limited`: the running rate windows of all stores, and resetting them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, KvCommand, confirm, expiry_words, printable, usage
from stores.management.selection import SHAPE
from stores.registry import find_store
from stores.services import limited, relief
from stores.services.limited import LimitedNow, Window
from stores.services.relief import Target


class Command(KvCommand):
    help = "Who is limited now: the running rate windows of all stores, the highest count first."
    json_help = "JSON Lines, one a window"
    details = f"""\
  limited
  limited --class rate-auth --at-least 50
  limited --store memstore --class rate-auth --text 203.0.113.20 --reset --dry-run

--reset removes the windows that are listed, number and marker, each only if it is still as listed. They go to the trash;
`restore` brings them back. It asks first; without a terminal it needs --yes.

With --json, one line a window: "store", "subject", "count", "limit" (null: not known), "rule", "window_end" (Unix seconds), "full" (the
next one is refused; null: not known), and of the key
{SHAPE}
A store that does not answer is named on stderr and makes the exit code 1."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--store", metavar="ID", help="only in this store; '' is the default lookup store")
        parser.add_argument("--class", dest="class", metavar="SLUG", default="", help=f"one of {', '.join(limited.CLASSES)}")
        parser.add_argument("--text", metavar="WORDS", default="", help="part of the subject")
        parser.add_argument("--at-least", type=int, default=0, metavar="N", help="windows with a count of at least N")
        parser.add_argument("--full", action="store_true", help="only windows whose limit is known and used up")
        parser.add_argument("--reset", action="store_true", help="remove the windows that are listed")
        parser.add_argument("--dry-run", action="store_true", help="with --reset: change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def run(self, options: dict[str, Any]) -> int:
        found = self._look(options)
        windows = [window for window in found.windows if _wanted(window, options)]
        for window in windows:
            if options["json"]:
                self.json(limited.json_window(window))
        if not options["json"]:
            self._show(windows)
        failed = bool(found.failed)
        for each in found.failed:
            self.stderr.write(printable(f"{each.store_id}: not known. {each.error}"))
        for each in found.stores:
            if each.running > len(each.windows):
                self.stderr.write(f"{each.store_id}: {each.running} windows run, the {len(each.windows)} fullest are listed.")
        if options["reset"] and windows and not options["dry_run"]:
            failed |= self._reset(windows, options)
        return REFUSED if failed else DONE

    def _look(self, options: dict[str, Any]) -> LimitedNow:
        stores = None if options["store"] is None else [find_store(options["store"])]
        with usage():
            return limited.limited(stores, options["class"], budget_seconds=None)

    def _show(self, windows: list[Window]) -> None:
        if not windows:
            self.line("No rate window is running.")
            return
        rows = [
            (
                str(window.count), str(window.limit.requests) if window.limit else "?", window.slug, window.subject,
                expiry_words(window.end), window.store_id, window.rule or "limit not known",
            )
            for window in windows
        ]  # fmt: skip
        self.table(("COUNT", "LIMIT", "CLASS", "SUBJECT", "ENDS", "STORE", "RULE"), rows)

    def _reset(self, windows: list[Window], options: dict[str, Any]) -> bool:
        """Remove the listed windows; answers whether some are left."""
        confirm(f"Reset {len(windows)} counters?", options["yes"])
        left, done = 0, 0
        for start in range(0, len(windows), relief.MOST_TARGETS):
            part = windows[start : start + relief.MOST_TARGETS]
            targets = [Target.of_row(window.store_id, window.row) for window in part]
            outcome = relief.carry_out(self.actor, relief.action_of("reset"), targets)
            for result in outcome.results:
                if result.state != "done":
                    left += result.state != "gone"
                    self.stderr.write(printable(f"{result.target.store_id}: {result.target.key.hex()}: {result.message}"))
            done += outcome.done
        self.stderr.write(f"{done} counters reset" + (f", {left} left." if left else "."))
        return bool(left)


def _wanted(window: Window, options: dict[str, Any]) -> bool:
    if options["full"] and not window.full:
        return False
    return window.count >= options["at_least"] and options["text"].casefold() in window.subject.casefold()
