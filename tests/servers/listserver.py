"""An HTTP server on a loopback port that answers as a test wants it, well or badly."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Answer = Callable[[str, dict[str, str], Callable[[bytes], None]], None]
"""Gets the path, the headers (lower case) and a function that sends bytes; may send for ever."""


def ok(body: bytes, headers: str = "") -> bytes:
    """A complete answer."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class ListServer:
    """Each connection runs the answer once; what was asked is kept in `requests`."""

    def __init__(self, answer: Answer | bytes, context: ssl.SSLContext | None = None) -> None:
        self.answer: Answer = (lambda path, headers, send: send(answer)) if isinstance(answer, bytes) else answer
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.context = context
        self.stopped = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                wire = self.context.wrap_socket(connection, server_side=True) if self.context else connection
                with wire:
                    raw = b""
                    while b"\r\n\r\n" not in raw:
                        piece = wire.recv(65_536)
                        if not piece:
                            return
                        raw += piece
                    first, *rest = raw.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
                    headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in rest}
                    self.requests.append((first.split(" ")[1], headers))
                    self.answer(first.split(" ")[1], headers, wire.sendall)
        except OSError:
            return

    def wait(self, seconds: float) -> bool:
        """Pause inside an answer; true when the server is being stopped."""
        return self.stopped.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stopped.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)
