"""`user-role`: what an account may do."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, USAGE, Error, KvCommand
from stores.registry import find_store
from stores.services import accounts
from stores.services.rights import Role


class Command(KvCommand):
    help = "Set the role of an account, for all stores or for single ones."
    details = """\
  user-role ana admin
  user-role ben viewer --store memstore     only for this store
  user-role ben none --store secrets        the store is hidden from ben
  user-role ben default --store memstore    as for all stores again

With --json: {"name", "role", "grants": {STORE: ROLE}}."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("role", choices=[*(role.value for role in Role), "default"])
        parser.add_argument("--store", metavar="ID", help="for this store only")

    def run(self, options: dict[str, Any]) -> int:
        user = accounts.find(options["name"])
        role = None if options["role"] == "default" else Role(options["role"])
        if options["store"] is not None:
            accounts.set_grant(self.actor, user, find_store(options["store"]), role)
        elif role is None:
            raise Error("default is for a single store.", returncode=USAGE)
        else:
            accounts.set_role(self.actor, user, role)
        info = accounts.info(accounts.find(user.username))
        grants = {store: found.value for store, found in info.grants.items()}
        if options["json"]:
            self.json({"name": user.username, "role": info.role.value, "grants": grants})
        else:
            more = "".join(f", {store}: {found}" for store, found in grants.items())
            self.line(f"{user.username}: {info.role.value}{more}.")
        return DONE
