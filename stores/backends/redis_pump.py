"""Census slices of one server, one ahead: while one slice is being counted here, the server works on the next."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from stores.backends.redis_errors import DriverError
from stores.backends.redis_link import Link, pipelined
from stores.backends.redis_measure import SLICE, measure_keyed
from stores.backends.redis_scripts import learned
from stores.backends.redis_server import lines_of, refuse_part, run_id_of
from stores.types import CensusColumns


@dataclass(frozen=True, slots=True)
class Slice:
    """One answer: where SCAN goes on (0 at the end), how long the server took, which server process it was."""

    cursor: int
    micros: int
    run_id: str
    columns: CensusColumns


class SlicePump:
    """Keeps one connection for itself, so that every answer is known to come from the process that said its run id on it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._connection: Any = None
        self._run_id = ""
        self._loaded = self._sent = False
        self._wanted = (0, 0)

    def __enter__(self) -> SlicePump:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._drop()

    def ask(self, cursor: int, count: int) -> None:
        """Have the server begin with a slice. `answer` fetches it, and asks again when this did not get through."""
        self._wanted = (cursor, count)
        if self._connection is not None:
            try:
                self._send()
            except DriverError:
                self._drop()

    def answer(self) -> Slice:
        """The slice that was asked for. Raises StoreError."""
        dialect = self.link.dialect
        while dialect.read_scripts or dialect.scripts:
            found = self.link.run(self._receive)
            if found is not None:
                return found
        self._drop()
        return self.link.run(self._without_scripts)

    def _receive(self) -> Slice | None:
        """The script's answer; None after learning that it has to be asked for in another way.

        A connection that broke since the last slice is replaced once, without waiting: reading again does no harm.
        """
        used = self._connection is not None
        try:
            return self._exchange()
        except ResponseError as error:
            if isinstance(error, NoScriptError):
                self._loaded = False
            elif not learned(self.link, error):
                raise
            return None
        except DriverError:
            self._drop()
            if not used:
                raise
            return None

    def _exchange(self) -> Slice:
        if self._connection is None:
            self._open()
        if not self._sent:
            self._send()
        self._sent = False
        reply = self._connection.read_response()
        self._loaded = True
        return Slice(int(reply[1]), int(reply[0]), self._run_id, CensusColumns(*reply[2:]))

    def _without_scripts(self) -> Slice:
        cursor, count = self._wanted
        client = self.link.primaries()[0].client
        page, server = pipelined(client, [("SCAN", cursor, "COUNT", count), ("INFO", "server")])
        if isinstance(page, Exception):
            raise page
        refuse_part(self.link, client, server)
        return Slice(int(page[0]), 0, run_id_of(server), measure_keyed(self.link, list(dict.fromkeys(page[1]))))

    def _open(self) -> None:
        """Take a connection and ask who is at its other end."""
        client = self.link.primaries()[0].client
        self._pool = client.connection_pool
        self._connection = self._pool.get_connection()
        self._connection.send_command("INFO", "server")
        try:
            server: Any = lines_of(self._connection.read_response())
        except ResponseError:
            server = None
        self._run_id = run_id_of(server)
        refuse_part(self.link, client, server)

    def _send(self) -> None:
        suffix = "_RO" if self.link.dialect.read_scripts else ""
        script = (f"EVALSHA{suffix}", SLICE.sha) if self._loaded else (f"EVAL{suffix}", SLICE.text)
        cursor, count = self._wanted
        self._connection.send_command(*script, 0, "1" if self.link.dialect.pexpiretime else "0", cursor, count)
        self._sent = True

    def _drop(self) -> None:
        """Give the connection back; one with an answer still to come is closed."""
        if self._connection is None:
            return
        if self._sent:
            self._connection.disconnect()
        self._pool.release(self._connection)
        self._connection, self._sent = None, False
