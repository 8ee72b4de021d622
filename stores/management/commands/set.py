"""`set`: write a value or a counter."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, USAGE, Error, KvCommand, add_hex, expiry_words, key_of, usage
from stores.management.selection import SHAPE
from stores.registry import find_store
from stores.services import edit
from stores.services.browse import json_row
from stores.services.durations import parse_expiry
from stores.services.filters import parse_hex
from stores.types import ABSENT, ANYTHING


class Command(KvCommand):
    help = "Write a value, or with --counter a number. The expiry stays as it is unless --ttl is given; a new key never expires."
    details = f"""\
What is overwritten goes to the trash (see restore).

  set memstore vip/ana@example.org 7
  set memstore greeting "hello" --ttl "2 days"
  set memstore --hex 05cb007114000000000000506d --counter 0
  set memstore blob --file image.bin --new

With --json, the row as it is stored now:
{SHAPE}"""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        parser.add_argument("key", metavar="KEY")
        parser.add_argument("value", metavar="VALUE", nargs="?", help="text; a whole number with --counter")
        add_hex(parser)
        parser.add_argument("--value-hex", metavar="HEX", help="the value's bytes instead of VALUE")
        parser.add_argument("--file", metavar="PATH", help="read the value from a file, - for stdin")
        parser.add_argument("--counter", action="store_true", help="set a counter: number and expiry marker together")
        parser.add_argument("--ttl", metavar="WHEN", default="", help='"90", "1h30m", "2030-01-31 18:00", "never"')
        parser.add_argument("--new", action="store_true", help="refuse when the key exists")

    def run(self, options: dict[str, Any]) -> int:
        store, key = find_store(options["store"]), key_of(options["key"], options)
        with usage():
            expires = parse_expiry(options["ttl"], time.time())
        expect = ABSENT if options["new"] else ANYTHING
        if options["counter"]:
            row = edit.set_counter(self.actor, store, key, self._number(options), expires, expect)
        else:
            row = edit.set_value(self.actor, store, key, self._value(options), expires, expect)
        if options["json"]:
            self.json(json_row(row))
        else:
            self.line(f"Set; expires {expiry_words(row.entry.expires_at)}.")
        return DONE

    def _number(self, options: dict[str, Any]) -> int:
        text = options["value"] or ""
        if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 20:
            raise Error(f"{text!r} is not a whole number.", returncode=USAGE)
        return int(text)

    def _value(self, options: dict[str, Any]) -> bytes:
        given = [name for name in ("value", "value_hex", "file") if options[name] is not None]
        if len(given) != 1:
            raise Error("Give exactly one of VALUE, --value-hex and --file.", returncode=USAGE)
        if options["value_hex"] is not None:
            with usage():
                return parse_hex(options["value_hex"], "value")
        if options["file"] == "-":
            return sys.stdin.buffer.read()
        if options["file"] is not None:
            try:
                return Path(options["file"]).read_bytes()
            except OSError as error:
                raise Error(f"{options['file']} cannot be read: {error.strerror}.") from None
        return os.fsencode(options["value"])
