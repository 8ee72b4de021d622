"""`user-password`: let somebody in again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, KvCommand
from stores.management.passwords import add_password, given_password
from stores.services import accounts


class Command(KvCommand):
    help = "Set a new password; all sessions of the account end. Without one it is made up, printed, and changed at the next sign-in."
    details = """\
  user-password admin
  user-password ana --reset-second-factor    also removes app, passkeys and recovery codes
  user-password ana --on                     and switches the account on again

With --json: {"name", "password", "factors_removed"}; the password is null when it was given."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        add_password(parser)
        parser.add_argument("--reset-second-factor", action="store_true", help="remove app, passkeys and recovery codes")
        parser.add_argument("--on", action="store_true", help="switch the account on again")
        parser.add_argument("--off", action="store_true", help="only switch the account off; its password stays")

    def run(self, options: dict[str, Any]) -> int:
        user = accounts.find(options["name"])
        if options["off"]:
            accounts.set_active(self.actor, user, False)
            self._say(options, user.username, None, 0, "is switched off")
            return DONE
        given = given_password(options)
        password = accounts.reset_password(self.actor, user, given)
        removed = accounts.reset_factors(self.actor, user) if options["reset_second_factor"] else 0
        if options["on"] and not user.is_active:
            accounts.set_active(self.actor, user, True)
        said = "has a new password" if given else f"has the password {password}"
        self._say(options, user.username, None if given else password, removed, said)
        return DONE

    def _say(self, options: dict[str, Any], name: str, password: str | None, removed: int, said: str) -> None:
        if options["json"]:
            self.json({"name": name, "password": password, "factors_removed": removed})
        else:
            self.line(f"{name} {said}." + (" The second factor is removed." if removed else ""))
