"""`audit-verify`: is the audit still what was written?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, KvCommand, usage
from stores.services import audit_verify


class Command(KvCommand):
    help = "Verify the chain of the audit and name the first entry that does not fit."
    json_help = "one JSON document"
    details = """\
  audit-verify
  audit-verify --known 1841:5f0c...

Every entry is hashed with the one before it, and the hash is sealed with a key made of KVADMIN_SECRET_KEY. Keep the line that
is printed as "note" somewhere else: with --known the chain has to contain exactly that entry, so that nothing before it can
have been changed, removed or written anew since.

With --json: "sound", "entries", "first", "number" and "hash" (the newest entry), "older" (entries from before the chain), "foreign"
(sealed before the secret key was changed), "problem", "broken_at" (number of the first entry that does not fit, or null), "note".
Ends with 0 when everything fits, with 1 when something does not."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--known", default="", metavar="NUMBER:HASH", help="an entry noted earlier, which has to be there unchanged")

    def run(self, options: dict[str, Any]) -> int:
        with usage():
            found = audit_verify.verify(options["known"])
        if options["json"]:
            self.json(found.as_json())
        elif found.sound:
            self.line(f"{found.entries} entries fit.")
            self.line(f"note {found.note}")
        if found.foreign and not options["json"]:
            self.line(f"{found.foreign} were sealed with another secret key: before it was changed, or by somebody else.")
        if found.older and not options["json"]:
            self.line(f"{found.older} are older than the chain and are not protected.")
        if not found.sound:
            self.stderr.write(found.problem)
        return DONE if found.sound else REFUSED
