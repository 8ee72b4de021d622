"""`store-test`: the connection test."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, KvCommand
from stores.registry import find_store
from stores.services import definitions
from stores.types import CheckState


class Command(KvCommand):
    help = "Try a store step by step and say what to do where it fails. Exit code 1 when a step failed."
    details = """\
With --json: {"store", "ok", "checks": [{"name", "state": "ok"|"warn"|"failed"|"skipped", "detail", "fix"}]}."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", help="the store; '' is the default lookup store")

    def run(self, options: dict[str, Any]) -> int:
        store = find_store(options["id"])
        checks = definitions.test_store(store)
        ok = all(check.state is not CheckState.FAILED for check in checks)
        if options["json"]:
            steps = [{"name": check.name, "state": check.state.value, "detail": check.detail, "fix": check.fix} for check in checks]
            self.json({"store": store.id, "ok": ok, "checks": steps})
        else:
            for check in checks:
                self.line(f"{check.state.value:7}  {check.name}: {check.detail}")
                if check.fix and check.state is not CheckState.OK:
                    self.line(f"         {check.fix}")
        return DONE if ok else REFUSED
