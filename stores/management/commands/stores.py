"""`stores`: the definitions."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, KvCommand
from stores.services import definitions


class Command(KvCommand):
    help = "List the store definitions. Connects to none of them."
    details = """\
With --json: one list of {"id", "type", "default", "version", "purge", "enabled", "read_only", "supported", "settings"}.
"type" is Stalwart's name of it, "static" for lookup.<id>; "version" the Stalwart version that decides encodings; "purge" the
frequency or null; secrets in "settings" are masked."""

    def arguments(self, parser: CommandParser) -> None:
        """None of its own."""

    def run(self, options: dict[str, Any]) -> int:
        found = definitions.list_stores()
        if options["json"]:
            self.json([info.as_json() for info in found])
            return DONE
        if not found:
            self.line("No stores are defined. Add one with store-add or import-config.")
            return DONE
        rows = []
        for info in found:
            marks = ["default"] * info.default + ["off"] * (not info.enabled) + ["read only"] * info.read_only
            marks += ["paused"] * bool(info.purge and info.purge_paused) + ["not supported yet"] * (not info.supported)
            rows.append((info.id, info.label, info.effective_version, info.purge or "-", ", ".join(marks) or "-"))
        self.table(("ID", "TYPE", "VERSION", "PURGE", "REMARKS"), rows)
        return DONE
