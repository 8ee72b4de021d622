"""`store-add`: define a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, USAGE, Error, KvCommand
from stores.models import VERSIONS
from stores.services import definitions


class Command(KvCommand):
    help = "Define a store by Stalwart's id. Connects to nothing: try it with store-test."
    details = """\
Settings carry Stalwart's own names. To keep a password out of the command line, name an environment variable or a file:

  store-add redis1 --type redis --set urls=redis://:%{env:REDIS_PASSWORD}%@127.0.0.1:6379/0
  store-add pg --type postgresql --set host=db.example.org database=stalwart user=ro 'password=%{file:/etc/kvadmin/pg}%'
  store-add vip --type static --entry ana@example.org=7 --entry ben@example.org=3

With --json: the new definition, as an element of `stores --json`."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", help="Stalwart's id of the store; may contain dots")
        types = "sqlite, postgresql, mysql, redis, rocksdb, foundationdb, sql-read-replica, sharded-in-memory, http or static"
        parser.add_argument("--type", required=True, help=types)
        parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="a setting of the type")
        parser.add_argument("--entry", action="append", default=[], metavar="KEY=VALUE", help="a key of a static store")
        parser.add_argument("--version", default="", choices=VERSIONS, metavar="V", help="Stalwart's version, such as 0.11; else detected")
        parser.add_argument("--default", action="store_true", help="make it the default lookup store")
        parser.add_argument("--read-only", action="store_true", help="let kvadmin never write to it")

    def run(self, options: dict[str, Any]) -> int:
        store = definitions.create_store(
            self.actor,
            id=options["id"],
            type=options["type"],
            settings=dict(_pairs(options["set"], "--set")),
            version=options["version"],
            read_only=options["read_only"],
            make_default=options["default"],
            entries=list(_pairs(options["entry"], "--entry")),
            origin="command line",
        )
        if options["json"]:
            self.json(definitions.info(store).as_json())
        else:
            self.line(f"Store {store.id} is defined.")
        return DONE


def _pairs(arguments: Iterable[str], option: str) -> Iterable[tuple[str, str]]:
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise Error(f"{option} wants NAME=VALUE, not {argument!r}.", returncode=USAGE)
        yield name, value
