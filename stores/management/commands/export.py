"""`export`: the keys of a filter as a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import CommandParser

from stores.management.base import DONE, USAGE, Error, KvCommand, usage
from stores.management.commands.keys import words
from stores.management.selection import SHAPE, add_filter, filter_of
from stores.models import Store
from stores.registry import find_store
from stores.services.bulk_change import Change, Do
from stores.services.bulk_export import export
from stores.services.bulk_preview import look
from stores.services.filters import KeyFilter, parse_hex
from stores.services.keyfile_lines import Format, last_row


class Command(KvCommand):
    help = (
        "Write the keys of a filter to standard output or a file as JSON Lines or CSV. Codes and keys that give access are left out "
        "unless --secrets."
    )
    details = f"""\
  export memstore > memstore.jsonl
  export memstore --class greylist --csv > greylist.csv
  export memstore --file memstore.jsonl
  export memstore --file memstore.jsonl --go-on

The lines are those of `keys --json`, streamed, with the expiry as an absolute time:
{SHAPE}
Columns of the CSV: key_hex, key, class, kind, value_hex, counter, expires_at, expires, label, value. Text that a spreadsheet would
run as a formula begins with a quote. An outage in the middle ends with exit code 1: the file is not complete then. --go-on takes the
same filter and goes on after the last whole row of the file, on stores that keep their keys in order (all but Redis)."""
    json_help = "JSON Lines, which is what comes without --csv too"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="the store; '' is the default lookup store")
        add_filter(parser)
        parser.add_argument("--secrets", action="store_true", help="also codes and keys that give access; keep the file safe")
        parser.add_argument("--after", metavar="HEX", default="", help="go on after this key, the last of a file that was interrupted")
        parser.add_argument("--csv", action="store_true", help="comma separated values instead of JSON Lines")
        parser.add_argument(
            "--file", metavar="PATH", default="", help="write this new file, for nobody else to read, instead of standard output"
        )
        parser.add_argument("--go-on", action="store_true", help="go on with the interrupted --file")
        parser.add_argument("--dry-run", action="store_true", help="count and show samples, write nothing")

    def run(self, options: dict[str, Any]) -> int:
        store, wanted = find_store(options["store"]), filter_of(options)
        format: Format = "csv" if options["csv"] else "jsonl"
        with usage():
            after = parse_hex(options["after"], "after") if options["after"] else None
        if options["go_on"] and (after is not None or not options["file"]):
            raise Error("--go-on takes --file and no --after.", returncode=USAGE)
        if options["dry_run"]:
            return self._counted(store, wanted, options)
        if options["file"]:
            return self._to_file(store, wanted, format, after, options)
        for piece in export(self.actor, store, wanted, format, secrets=options["secrets"], after=after):
            self.stdout.write(piece.decode(), ending="")
        return DONE

    def _to_file(self, store: Store, wanted: KeyFilter, format: Format, after: bytes | None, options: dict[str, Any]) -> int:
        with _opened(options["file"], options["go_on"]) as file:
            head = None
            if options["go_on"]:
                with usage():
                    end, after = last_row(file, format)
                head = end == 0
            pieces = export(self.actor, store, wanted, format, secrets=options["secrets"], after=after, head=head)
            if options["go_on"]:
                file.seek(end)
                file.truncate()
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        return DONE

    def _counted(self, store: Store, wanted: KeyFilter, options: dict[str, Any]) -> int:
        found = look(store, Change(Do.COPY, wanted, time.time()), None)
        if options["json"]:
            self.json({"store": store.id, "dry_run": True, "matched": found.keys, "bytes": found.bytes})
            return DONE
        for row in found.samples:
            self.line(words(row))
        self.line(f"{found.keys} keys, {found.bytes} bytes, would be written.")
        return DONE


@contextmanager
def _opened(path: str, existing: bool) -> Iterator[BinaryIO]:
    """The file, made with mode 0600; an existing one is never overwritten. What the disk refuses is said by name."""
    try:
        if existing:
            with Path(path).open("r+b") as file:
                yield file
        else:
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                yield file
    except FileExistsError:
        raise Error(f"{path} exists already; --go-on goes on with it.", returncode=USAGE) from None
    except OSError as error:
        raise Error(f"{path}: {error.strerror}.", returncode=USAGE) from None
