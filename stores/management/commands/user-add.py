"""`user-add`: make an account."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, KvCommand
from stores.management.passwords import add_password, given_password
from stores.services import accounts
from stores.services.rights import Role


class Command(KvCommand):
    help = "Make an account. Without a password one is made up and printed; it has to be changed at the first sign-in."
    details = """\
  user-add ana --role operator
  user-add ben --role none          (then: user-role ben viewer --store memstore)

With --json: {"name", "role", "password"}; the password is null when it was given."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--role", choices=[role.value for role in Role], default="viewer", help="for all stores; viewer unless given")
        add_password(parser)

    def run(self, options: dict[str, Any]) -> int:
        given = given_password(options)
        user, password = accounts.add(self.actor, options["name"], Role(options["role"]), given)
        if options["json"]:
            self.json({"name": user.username, "role": options["role"], "password": None if given else password})
        else:
            self.line(f"The account {user.username} is made." + ("" if given else f" First password: {password}"))
        return DONE
