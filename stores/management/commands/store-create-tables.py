"""`store-create-tables`: create the lookup tables that an SQL store lacks."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, KvCommand, confirm
from stores.registry import find_store
from stores.services import table_setup


class Command(KvCommand):
    help = "Create the tables m and y of an SQL store where they are missing, with Stalwart's own statements. Others stay as they are."
    details = """\
Stalwart 0.16 creates tables in its data store only: a store lookup (x:StoreLookup) on SQL fails until somebody creates them.

  store-create-tables other --dry-run      show the statements
  store-create-tables other --yes

With --json: {"store", "missing", "statements", "created"}; "created" is empty with --dry-run and where nothing was missing."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        parser.add_argument("--dry-run", action="store_true", help="show the statements, change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def run(self, options: dict[str, Any]) -> int:
        store = find_store(options["store"])
        setup = table_setup.look(store)
        created: tuple[str, ...] = ()
        if setup.missing and not options["dry_run"]:
            confirm(f"Create {' and '.join(setup.missing)} in the database of {store.id}?", options["yes"])
            created = table_setup.create(self.actor, store)
        if options["json"]:
            self.json({"store": store.id, "missing": list(setup.missing), "statements": list(setup.statements), "created": list(created)})
        elif not setup.missing:
            self.line("Both tables are there; nothing was done.")
        else:
            for statement in setup.statements:
                self.line(f"{statement};")
            self.line(f"Created {' and '.join(created)}." if created else "Nothing was changed.")
        return DONE
