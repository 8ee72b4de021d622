"""`rotate-keys`: from an old encryption key to a new one, without an hour in which stored passwords cannot be read."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from kvadmin import keyfiles
from kvadmin.environment import FIELD_KEYS, Environment
from stores.errors import NotSupported
from stores.management.base import DONE, REFUSED, KvCommand
from stores.services import key_rotation
from stores.services.key_rotation import Column, Rotation


class Command(KvCommand):
    help = "Encrypt everything that kvadmin keeps encrypted with the first of KVADMIN_FIELD_KEYS."
    json_help = "one JSON document"
    details = """\
  rotate-keys --new-key     put a new key first into field.keys in the data folder; then restart kvadmin
  rotate-keys               encrypt everything with the first key; can be stopped and started again
  rotate-keys --drop-old    remove the other keys from field.keys, if nothing is left under them; then restart kvadmin
  rotate-keys --check       only look what is left

Where KVADMIN_FIELD_KEYS is set, the first and the third step are yours: put the new key first, separated by a comma, and remove
the old one at the end. All processes have to know the new key before the second step. Encrypted are the settings of stores, the
mail server's credential, webhooks, questions over the network and their answers, the secrets of second factors, and codes and
tokens in the trash.

With --json: "values", "rotated", "left" (under another key), "unreadable" (under a key that is not among KVADMIN_FIELD_KEYS).
Ends with 0 when nothing is left under another key, otherwise with 1."""

    def arguments(self, parser: CommandParser) -> None:
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--new-key", action="store_true", help="make a key and put it first")
        way.add_argument("--drop-old", action="store_true", help="give up all keys but the first")
        way.add_argument("--check", action="store_true", help="change nothing")

    def run(self, options: dict[str, Any]) -> int:
        if options["new_key"]:
            return self._new_key()
        found = key_rotation.remains() if options["check"] or options["drop_old"] else key_rotation.rotate(self._progress(options))
        if not options["drop_old"] or not found.complete:
            return self._report(found, options)
        return self._drop_old()

    def _new_key(self) -> int:
        self._require_file()
        keyfiles.add_field_key(settings.DATA_DIR)
        self.line("A new key is the first one in field.keys. Restart kvadmin, then run rotate-keys.")
        return DONE

    def _drop_old(self) -> int:
        self._require_file()
        count = keyfiles.keep_first_field_key(settings.DATA_DIR)
        self.line(f"{count} older keys are gone from field.keys. Restart kvadmin.")
        return DONE

    def _require_file(self) -> None:
        """The keys have to be those of the file. Raises NotSupported."""
        kept = keyfiles.field_keys(settings.DATA_DIR)
        if tuple(kept.split(",")) != tuple(Environment.read().field_keys):
            raise NotSupported(f"{FIELD_KEYS.name} is set, so the keys are not those of the data folder.", "Change the variable.")

    def _progress(self, options: dict[str, Any]) -> Any:
        def said(column: Column, rotated: int) -> None:
            if rotated and not options["json"]:
                self.line(f"{column.label}: {rotated}")

        return said

    def _report(self, found: Rotation, options: dict[str, Any]) -> int:
        if options["json"]:
            values = {"values": found.looked_at, "rotated": found.rotated, "left": found.left, "unreadable": found.unreadable}
            self.json(values)
        else:
            self.line(f"{found.looked_at} values, {found.rotated} encrypted again, {found.left} left under an older key.")
        if found.unreadable:
            self.stderr.write(f"{found.unreadable} were written with a key that is not among {FIELD_KEYS.name}; put it back.")
        return DONE if found.complete else REFUSED
