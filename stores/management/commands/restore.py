"""`restore`: bring back what was deleted or overwritten from here."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, USAGE, Error, KvCommand, add_hex, expiry_words, key_of, local
from stores.management.commands.keys import key_words
from stores.models import Store
from stores.registry import find_store
from stores.services import reveal, runs, trash
from stores.services.trash import TrashFilter

MESSAGES: Final = 100
"""Reasons that are printed; all are counted."""


class Command(KvCommand):
    help = "Bring keys back from the trash with their absolute expiry. A newer value is never overwritten without --overwrite."
    details = """\
  restore memstore --list
  restore memstore vip/ana@example.org
  restore memstore --run 0b0e6f0c-1f2a-4d55-9d0a-3f0c6a1f0b11

With --json: {"store", "restored", "conflicts", "failed"}; with --list JSON Lines of {"id", "key_hex", "class", "kind", "reason",
"deleted_at", "deleted_by", "expires_at", "kept_until", "label"}, times in Unix seconds. Exit code 1 unless everything was restored."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        parser.add_argument("keys", metavar="KEY", nargs="*")
        add_hex(parser)
        parser.add_argument("--run", metavar="ID", default="", help="everything that this run deleted")
        parser.add_argument("--list", action="store_true", help="show what is in the trash")
        parser.add_argument("--overwrite", action="store_true", help="also over newer values; those go to the trash")

    def run(self, options: dict[str, Any]) -> int:
        store = find_store(options["store"])
        if sum((bool(options["keys"]), bool(options["run"]), options["list"])) != 1:
            raise Error("Give keys, --run ID or --list.", returncode=USAGE)
        if options["list"]:
            return self._list(store, options)
        if options["run"]:
            return self._restore_run(store, options)
        return self._by_name(store, options)

    def _by_name(self, store: Store, options: dict[str, Any]) -> int:
        counts = Counter[str]()
        for text in options["keys"]:
            kept = trash.latest(store, key_of(text, options))
            if kept is None:
                counts["failed"] += 1
                self.stderr.write(f"{text}: not in the trash.")
            else:
                self._restore([kept.pk], counts, options)
        return self._report(store, counts, options)

    def _restore_run(self, store: Store, options: dict[str, Any]) -> int:
        wanted = TrashFilter(store.id, run_id=str(runs.find(options["run"]).pk))
        counts = Counter[str]()
        cursor = ""
        while True:
            page = trash.list_trash(wanted, cursor, 500)
            self._restore([row.trash.pk for row in page.rows], counts, options)
            cursor = page.next
            if not cursor:
                return self._report(store, counts, options)

    def _restore(self, trash_ids: list[int], counts: Counter[str], options: dict[str, Any]) -> None:
        for outcome in trash.restore_many(self.actor, trash_ids, options["overwrite"]):
            counts[outcome.state] += 1
            if outcome.message and counts.total() - counts["restored"] <= MESSAGES:
                self.stderr.write(f"{outcome.trash_id}: {outcome.message}")

    def _report(self, store: Store, counts: Counter[str], options: dict[str, Any]) -> int:
        restored, conflicts, failed = counts["restored"], counts["conflict"], counts["failed"]
        if options["json"]:
            self.json({"store": store.id, "restored": restored, "conflicts": conflicts, "failed": failed})
        else:
            self.line(f"{restored} restored, {conflicts} hold something newer, {failed} failed.")
        return DONE if restored and not conflicts and not failed else REFUSED

    def _list(self, store: Store, options: dict[str, Any]) -> int:
        cursor = ""
        while True:
            page = trash.list_trash(TrashFilter(store.id), cursor, 500)
            if options["json"]:
                reveal.printed(self.actor, store, sum(found.row.secret for found in page.rows))
            for found in page.rows:
                kept, row = found.trash, found.row
                if options["json"]:
                    self.json(
                        {
                            "id": kept.pk, "key_hex": row.entry.key.hex(), "class": kept.class_slug or None, "kind": kept.kind,
                            "reason": kept.reason, "deleted_at": int(kept.deleted_at.timestamp()), "deleted_by": kept.deleted_by,
                            "expires_at": row.entry.expires_at, "kept_until": int(kept.kept_until.timestamp()), "label": row.decoded.label,
                        }
                    )  # fmt: skip
                else:
                    when, words = local(kept.deleted_at), expiry_words(row.entry.expires_at)
                    self.line(f"{key_words(row)}  {row.decoded.label}  {kept.reason} {when} by {kept.deleted_by}, expires {words}")
            cursor = page.next
            if not cursor:
                return DONE
