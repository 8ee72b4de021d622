"""`import-config`: take the definitions out of a Stalwart configuration, a running server, or the settings in its data store."""

from __future__ import annotations

import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, USAGE, Error, KvCommand, usage
from stores.registry import find_store
from stores.services import importer, server_import
from stores.services.importer import ImportResult, PreviewRow
from stores.stalwart_toml import ImportPlan

MOST_BYTES: Final = 16 << 20


class Command(KvCommand):
    help = "Define the stores of a Stalwart config.toml, of 0.16's config.json, or of a running server. Doing it twice changes nothing."
    details = """\
Definitions that differ from the file are reported and left as they are, unless --update is given. The file's storage.lookup becomes
the default lookup store when this import creates it. Secrets are neither shown nor stored in clear; %{env:..}% and %{file:..}% are
resolved whenever a store is opened.

  import-config /opt/stalwart/etc/config.toml --dry-run
  import-config config.toml --table settings.json    (settings that Stalwart keeps in its data store: {"key": "value"})
  import-config config.toml --settings-of data       (the same, read out of the data store that is defined here as "data")
  import-config --settings-of data                   (only those settings: lookup.*, http-lookup.*, limits)
  import-config --server https://mail.example.org --user kvadmin --password-env MAIL_PASSWORD

A server of 0.11 to 0.15 needs an account with the permissions authenticate and settings-list; one of 0.16 with authenticate and the
permissions to get InMemoryStore, StoreLookup, MemoryLookupKey, MemoryLookupKeyValue, HttpLookup and DataRetention. The credential is
used for this once and not kept. Without --user it is an API key; without --password-env and --password-stdin it is asked for, or that
of the saved mail server is used when the address is its.

With --json: {"file", "dialect", "version", "default", "dry_run", "stores": [{"id", "type", "state": "new"|"unchanged"|"differs"|
"blocked", "default", "supported", "purge", "why", "differences", "lines"}], "skipped": [{"id", "type", "reason", "line"}],
"problems": [{"severity", "message", "fix", "key", "line"}], "ignored": {first part of a setting's name: how many}, "result"}.
"result" is null with --dry-run, else {"created", "updated", "unchanged", "differing", "left_out", "failed": [{"id", "message"}],
"unsupported", "default"}. Exit code 1 when a store could not be
created, or when the file has none."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", nargs="?", default="", help="the configuration; - for stdin")
        parser.add_argument("--server", metavar="URL", help="ask a running server instead")
        parser.add_argument("--user", default="", help="its account; without one the credential is an API key")
        parser.add_argument("--password-env", metavar="NAME", help="environment variable with the password or API key")
        parser.add_argument("--password-stdin", action="store_true", help="read the password or API key from stdin")
        parser.add_argument("--allow-invalid-certs", action="store_true", help="take a certificate that cannot be checked")
        parser.add_argument("--settings-of", metavar="ID", help="read the settings that the server keeps in this store")
        parser.add_argument("--dry-run", action="store_true", help="show what would be done, change nothing")
        parser.add_argument("--update", action="store_true", help="also bring definitions in line that differ from the file")
        parser.add_argument("--table", metavar="FILE", help="JSON object of settings from Stalwart's data store")
        parser.add_argument("--repair", action="store_true", help="read keys that only lack quotes as if they had them")

    def run(self, options: dict[str, Any]) -> int:
        planned = self._plan(options)
        rows = importer.preview(planned)
        result = None
        if not options["dry_run"]:
            chosen = [row.id for row in rows if row.state != "blocked"] if options["update"] else None
            result = importer.apply(self.actor, planned, chosen)
        if options["json"]:
            self.json(_shape(planned, rows, result, options["dry_run"]))
        else:
            self._show(planned, rows, result)
        if not planned.stores and not planned.limits:
            raise Error(f"{planned.source} defines no store that could be used for lookups.")
        return REFUSED if result is not None and result.failed else DONE

    def _plan(self, options: dict[str, Any]) -> ImportPlan:
        """The plan of the one source that was named."""
        file, server, store_id = options["file"], options["server"], options["settings_of"]
        if bool(file) + bool(server) > 1 or not (file or server or store_id) or (server and (store_id or options["table"])):
            raise Error("Name one source: FILE, --server URL, or --settings-of ID (also beside FILE).", returncode=USAGE)
        if server:
            found = server_import.ask(self.actor, _access(options))
        elif not file:
            found = server_import.ask_store(self.actor, find_store(store_id))
        else:
            table = _table(options["table"]) if options["table"] else {}
            if store_id:
                table |= server_import.of_store(find_store(store_id))
            return importer.plan(_text(file), file, table=table or None, repair=options["repair"])
        return importer.remarked(importer.plan(found.text, found.name), found.remarks)

    def _show(self, planned: ImportPlan, rows: tuple[PreviewRow, ...], result: ImportResult | None) -> None:
        cells = [(row.id, row.label, row.state.value, row.purge or "-", _remarks(row)) for row in rows]
        self.table(("ID", "TYPE", "STATE", "PURGE", "REMARKS"), cells)
        for row in rows:
            for each in row.differences:
                self.line(f"{row.id}: {each.name} is {each.before or 'not set'}, the file says {each.after or 'not set'}")
        for skipped in planned.skipped:
            self.line(f"skipped {skipped.id} ({skipped.type}): {skipped.reason}")
        for problem in planned.problems:
            place = f"{problem.place}: " if problem.place else ""
            self.stderr.write(f"{problem.severity.value}: {place}{problem.message} {problem.fix}".rstrip())
        if planned.ignored_count:
            self.line(f"{planned.ignored_count} settings have nothing to do with lookup stores.")
        if result is None:
            self.line("Nothing was changed.")
            return
        counts = {"created": result.created, "updated": result.updated, "unchanged": result.unchanged, "differing": result.differing}
        words = ", ".join(f"{len(ids)} {name}" for name, ids in counts.items())
        self.line(f"{words}; {result.default} is now the default." if result.default else f"{words}.")
        for failure in result.failed:
            self.stderr.write(f"{failure.id}: {failure.message}")


def _remarks(row: PreviewRow) -> str:
    words = ["default"] * row.default + ([row.why] if row.why else []) + ["not supported yet"] * (not row.supported and not row.why)
    return ", ".join(words) or "-"


def _shape(planned: ImportPlan, rows: tuple[PreviewRow, ...], result: ImportResult | None, dry_run: bool) -> dict[str, Any]:
    return {
        "file": planned.source,
        "dialect": planned.dialect,
        "version": planned.version or None,
        "default": planned.default or None,
        "dry_run": dry_run,
        "stores": [row.as_json() for row in rows],
        "skipped": [{"id": each.id, "type": each.type, "reason": each.reason, "line": each.line or None} for each in planned.skipped],
        "problems": [
            {"severity": each.severity.value, "message": each.message, "fix": each.fix, "key": each.key or None, "line": each.line or None}
            for each in planned.problems
        ],
        "ignored": dict(planned.ignored),
        "result": None if result is None else result.as_json(),
    }


def _access(options: dict[str, Any]) -> server_import.Access:
    """Address and credential; the latter is never an argument, where other users of the machine would see it."""
    secret = ""
    if name := options["password_env"]:
        secret = os.environ.get(name, "")
        if not secret:
            raise Error(f"The environment variable {name} is not set.", returncode=USAGE)
    elif options["password_stdin"]:
        secret = sys.stdin.readline().rstrip("\r\n")
    elif options["user"] and sys.stdin.isatty():
        secret = getpass.getpass(f"Password of {options['user']}: ")
    with usage():
        return server_import.checked_access(
            options["server"], options["user"], secret, unchecked=options["allow_invalid_certs"], allow_private=True
        )


def _text(path: str) -> str:
    try:
        data = sys.stdin.buffer.read(MOST_BYTES + 1) if path == "-" else _read(Path(path))
    except OSError as error:
        raise Error(f"{path} cannot be read: {error.strerror}.") from None
    if len(data) > MOST_BYTES:
        raise Error(f"{path} is larger than {MOST_BYTES >> 20} MiB; that is no configuration.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Error(f"{path} is not a text file in UTF-8.") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _table(path: str) -> dict[str, str]:
    try:
        found = json.loads(_text(path))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Error(f'{path} is not a JSON object of texts, such as {{"lookup.vip.ana": "7"}}.', returncode=USAGE)
    return found
