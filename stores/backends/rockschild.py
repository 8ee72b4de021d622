"""The process that has a RocksDB database open for another one and answers it over a socket.

The engine's binding keeps Python's lock while it opens a database, which takes seconds when the server's write-ahead log is large:
in the web server's own process every page would stand still. Started by `rocksprocess`, as `python -m`; ends when that side goes away.
"""

from __future__ import annotations

import marshal
import os
import pickle
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from stores.backends.rockslocal import LocalDatabase
from stores.errors import StoreError

LOOK_SECONDS: Final = 1.0
"""How often to see whether the process that asked for this one still lives: a copy of the socket may survive it elsewhere."""

OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    operation.__name__: operation
    for operation in (
        LocalDatabase.families,
        LocalDatabase.counter_table,
        LocalDatabase.rows,
        LocalDatabase.page,
        LocalDatabase.count,
        LocalDatabase.settings,
        LocalDatabase.size,
        LocalDatabase.census_begin,
        LocalDatabase.census_next,
        LocalDatabase.census_end,
        LocalDatabase.hold,
        LocalDatabase.let_go,
        LocalDatabase.change,
        LocalDatabase.purge_step,
        LocalDatabase.compact_begin,
        LocalDatabase.compacted,
    )
}
"""Everything that may be asked, by name."""


def main() -> None:
    """Serve one database: descriptor of the socket, process that asks, path, version of the layout."""
    descriptor, asker, path, version = sys.argv[1:5]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    database = LocalDatabase(Path(path), version)
    try:
        with Connection(int(descriptor)) as connection:
            serve(connection, database, int(asker))
    finally:
        database.close()


def serve(connection: Connection, database: LocalDatabase, asker: int) -> None:
    """Answer one request after the other until the asking side is gone."""
    while True:
        while not connection.poll(LOOK_SECONDS):
            if os.getppid() != asker:
                return
        try:
            name, arguments = marshal.loads(connection.recv_bytes())  # noqa: S302 - from the process that started this one
            connection.send_bytes(marshal.dumps(answer(database, name, arguments)))
        except (EOFError, ConnectionError):
            return
        if name == LocalDatabase.census_next.__name__:
            database.read_ahead(*arguments)


def answer(database: LocalDatabase, name: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """The result, or the error as its class and, pickled because they are texts of many languages, its message and fix."""
    try:
        found = OPERATIONS[name](database, *arguments)
    except StoreError as error:
        return False, (type(error).__name__, pickle.dumps((error.message, error.fix)))
    return True, tuple(found) if isinstance(found, tuple) else found


if __name__ == "__main__":
    main()
