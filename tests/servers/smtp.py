"""A mail server that keeps what it is sent: the few verbs of SMTP that a client needs, on a free loopback port."""

from __future__ import annotations

import socketserver
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any


@dataclass
class Received:
    """One mail: the envelope, and the message."""

    sender: str
    recipients: list[str]
    message: Message


@dataclass
class MailSink:
    """A running server; `refuse` is said instead of taking a recipient ("550 5.1.1 unknown")."""

    refuse: str = ""
    mails: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        sink = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                sink.converse(self)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def converse(self, session: Any) -> None:
        """One connection to its end."""
        sender, recipients = "", list[str]()

        def say(line: str) -> None:
            session.wfile.write(line.encode() + b"\r\n")

        say("220 sink")
        while line := session.rfile.readline().decode().strip():
            verb = line.upper()
            if verb.startswith("MAIL FROM:"):
                sender, recipients = _address(line), []
                say("250 ok")
            elif verb.startswith("RCPT TO:"):
                if not self.refuse:
                    recipients.append(_address(line))
                say(self.refuse or "250 ok")
            elif verb == "DATA":
                say("354 go on")
                lines = list(iter(session.rfile.readline, b".\r\n"))
                self.mails.append(Received(sender, recipients, message_from_bytes(b"".join(lines))))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
