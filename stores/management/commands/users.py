"""`users`: who may sign in, and what they may do."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, KvCommand
from stores.services import accounts


class Command(KvCommand):
    help = "List the accounts with their roles and grants."
    details = """\
With --json: one list of {"name", "role", "grants": {STORE: ROLE}, "active", "second_factor", "provider", "last_login"}."""

    def arguments(self, parser: CommandParser) -> None:
        """None."""

    def run(self, options: dict[str, Any]) -> int:
        infos = accounts.listed(self.actor)
        if options["json"]:
            self.json([_json(info) for info in infos])
            return DONE
        rows = [(info.user.username, info.role.value, _grants(info), _marks(info)) for info in infos]
        self.table(("name", "role", "in single stores", ""), rows)
        return DONE


def _json(info: accounts.Info) -> dict[str, Any]:
    return {
        "name": info.user.username,
        "role": info.role.value,
        "grants": {store: role.value for store, role in info.grants.items()},
        "active": info.active,
        "second_factor": info.factors > 0,
        "provider": info.from_provider or not info.has_password,
        "last_login": int(info.last_login.timestamp()) if info.last_login else None,
    }


def _grants(info: accounts.Info) -> str:
    return ", ".join(f"{store}: {role.value}" for store, role in info.grants.items())


def _marks(info: accounts.Info) -> str:
    return ", ".join(["switched off"] * (not info.active) + ["second factor"] * (info.factors > 0) + ["provider"] * info.from_provider)
