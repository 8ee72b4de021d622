"""`get`: one key."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, Error, KvCommand, add_hex, expiry_words, key_of, local
from stores.management.commands.keys import key_words
from stores.management.selection import SHAPE
from stores.registry import find_store
from stores.services import reveal
from stores.services.browse import Row, json_row, read_key


class Command(KvCommand):
    help = "Show one key as it is stored, expired or not. Exit code 1 when there is none."
    details = f"""\
With --json:
{SHAPE}
With --raw: the payload's bytes and nothing else.

Codes and tokens are hidden in words and exact with --json and --raw; --reveal shows them in words. The audit says that they were seen,
not what they are."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        parser.add_argument("key", metavar="KEY")
        add_hex(parser)
        parser.add_argument("--reveal", action="store_true", help="show what is hidden of a code or token")
        parser.add_argument("--raw", action="store_true", help="write the payload's bytes to stdout")

    def run(self, options: dict[str, Any]) -> int:
        store, key = find_store(options["store"]), key_of(options["key"], options)
        if options["reveal"]:
            self._show(reveal.reveal(self.actor, store, key), hidden=False)
            return DONE
        row = read_key(store, key)
        if row is None:
            raise Error("There is no such key.")
        if options["raw"] or options["json"]:
            reveal.printed(self.actor, store, int(row.secret))
        if options["raw"]:
            self._write_bytes(row)
        elif options["json"]:
            self.json(json_row(row))
        else:
            self._show(row)
        return DONE

    def _write_bytes(self, row: Row) -> None:
        if row.entry.value is None:
            raise Error(row.entry.problem or "This key is a counter; it has no payload.")
        sys.stdout.buffer.write(row.entry.value)

    def _show(self, row: Row, *, hidden: bool = True) -> None:
        entry, decoded = row.entry, row.decoded
        self.line(f"key      {key_words(row) if hidden else entry.key.hex()}")
        self.line(f"class    {decoded.slug or '-'}: {decoded.title}")
        self.line(f"kind     {entry.kind.value}")
        self.line(f"subject  {decoded.label}")
        if entry.counter is not None:
            self.line(f"counter  {entry.counter}")
        if decoded.value_label:
            self.line(f"value    {decoded.value_label}")
        at = "" if entry.expires_at is None or entry.expires_at > 253_402_300_799 else f" ({local(entry.expires_at)})"
        self.line(f"expires  {expiry_words(entry.expires_at)}{at}")
        for name, value in decoded.fields.items():
            self.line(f"         {name}: {value}")
        for remark in (decoded.note, decoded.problem, entry.problem):
            if remark:
                self.line(f"note     {remark}")
